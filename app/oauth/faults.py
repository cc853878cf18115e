"""What can go wrong with a provider, in codes of our own; its own words go to the log alone, cut and cleaned."""

from __future__ import annotations

import base64
import html
import json
import logging
import math
import re
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from urllib.parse import quote, quote_plus

from app.egress import EgressError, EgressFailed
from app.vault import Masked

LONGEST_TEXT = 200
LONGEST_WAIT = 24 * 3600
SHORTEST_INSIDE = 8  # characters of a secret that is looked for within base64
_LONG = re.compile(r"""[^\s"'<>()\[\]{},;]{16,}""")  # what may be a token, of whatever signs and however encoded
_PLAIN = re.compile(r"[a-z_]{1,40}|[0-9]{1,6}")
_SILENT = frozenset({"busy", "resolve", "connect", "tls", "timeout", "connection"})
_log = logging.getLogger(__name__)


class Fault(StrEnum):
    """The causes that services tell apart; each has one sentence of ours."""

    DENIED = "denied"  # the person said no
    GRANT_ENDED = "grant_ended"  # the code or the grant is no longer good: the person must be asked again
    CREDENTIAL = "credential"  # the app does not accept the credential
    REFUSED = "refused"  # the app does not do what was asked: because of the credential, or for a reason that passes
    MISCONFIGURED = "misconfigured"  # the agency's client or the app's addresses are at fault
    LIMITED = "limited"  # too many calls
    UNAVAILABLE = "unavailable"  # no answer, or a server error
    GARBAGE = "garbage"  # an answer that can't be understood
    MISMATCH = "mismatch"  # not the provider, the person or the parameters agreed on
    ERROR = "error"  # anything else that the provider refuses


PASSING = frozenset({Fault.LIMITED, Fault.UNAVAILABLE, Fault.GARBAGE})


class OAuthError(Exception):
    """A step of the protocol failed; `retryable` if the same call may succeed by itself, after `retry_after` seconds if given."""

    def __init__(self, code: Fault, *, retry_after: int | None = None) -> None:
        super().__init__(code.value)
        self.code = code
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        """Whether waiting may help."""
        return self.code in PASSING


def of_egress(error: EgressError) -> Fault:
    """Say in our codes why an exchange gave no answer."""
    if not isinstance(error, EgressFailed):
        return Fault.MISCONFIGURED
    return Fault.UNAVAILABLE if error.reason in _SILENT else Fault.GARBAGE


def of_status(status: int) -> Fault:
    """Say in our codes what a status alone means (RFC 9110 15); success has no place here but as an answer amiss."""
    if status == 429:
        return Fault.LIMITED
    if status >= 500 or status in {408, 425}:
        return Fault.UNAVAILABLE
    return Fault.GARBAGE


def wait(header: str | None, at: datetime) -> int | None:
    """Read Retry-After, seconds or a date (RFC 9110 10.2.3), as seconds from `at`; a day at most."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), LONGEST_WAIT)
    try:
        seconds = math.ceil((parsedate_to_datetime(text) - at).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0), LONGEST_WAIT)


def note(event: str, app: str, text: object, *, status: int = 0, hide: tuple[Masked | None, ...] = ()) -> None:
    """Log what a provider said: 200 printable characters, without the secrets that it may have echoed."""
    _log.warning("%s app=%s status=%d said: %s", event, app, status, printable(text, hide))


def note_answer(
    event: str, app: str, text: object, *, status: int, word: str = "", hide: tuple[Masked | None, ...] = ()
) -> None:
    """Log what an answer said that may hold new secrets too: nothing of it that is as long as one.

    `word` is the provider's own code for what went wrong, which is told if it is a plain one.
    """
    said = printable(_LONG.sub(str(Masked("")), _hidden(text, hide)))
    if word:
        said = f"{word if _PLAIN.fullmatch(word) else 'error'}: {said}"[:LONGEST_TEXT]
    _log.warning("%s app=%s status=%d said: %s", event, app, status, said)


def printable(text: object, hide: tuple[Masked | None, ...] = ()) -> str:
    """Return at most 200 printable characters, with the secrets to `hide` replaced."""
    said = _hidden(text, hide)
    return "".join(character if character.isprintable() else " " for character in said)[:LONGEST_TEXT]


def _hidden(text: object, hide: tuple[Masked | None, ...]) -> str:
    said = str(text)[:65536]
    for secret in hide:
        if secret:
            forms = sorted(set(_forms(secret.reveal())), key=len, reverse=True)
            said = re.sub("|".join(map(re.escape, forms)), str(secret), said, flags=re.IGNORECASE)
    return said


def _forms(secret: str) -> Iterator[str]:
    """How a secret looks in what a provider may echo: a form, a header, markup, JSON, or a dump of one of them."""
    yield from (secret, quote(secret, safe=""), quote_plus(secret), quote(secret), html.escape(secret))
    yield from (json.dumps(secret)[1:-1], secret.encode().hex())
    if len(secret) >= SHORTEST_INSIDE:
        for before in range(3):  # within something longer in base64 it begins at one of three places
            inner = base64.b64encode(b" " * before + secret.encode()).rstrip(b"=")[4 if before else 0 : -1].decode()
            yield from (inner, inner.translate(str.maketrans("+/", "-_")))
