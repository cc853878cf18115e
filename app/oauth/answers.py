"""Reading token answers (RFC 6749 5.1 and 5.2) as providers really write them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from app.catalog.protocol import Body, ExpiresAs, OAuth2, TokenAnswer
from app.catalog.schema import App
from app.egress import EgressFailed, Response
from app.oauth import paths, scopes
from app.oauth.client import ways_of
from app.oauth.faults import Fault, OAuthError, note_answer, of_status, wait
from app.oauth.token import Token
from app.vault import Masked

LONGEST_LIFE = timedelta(days=3650)
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")  # RFC 6749 A.12, without the space that would split a header
_UNUSABLE = frozenset({"mac", "dpop", "pop", "n_a"})  # RFC 6749 7.1: not to be used unless understood
_FINE = frozenset({"", "0", "ok", "success"})  # what some call the absence of an error
_MISCONFIGURED = frozenset(
    {
        "bad_client_secret",
        "bad_redirect_uri",
        "incorrect_client_credentials",
        "invalid_client",
        "invalid_client_id",
        "redirect_uri_mismatch",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)
_KINDS = frozenset(
    {"application/json", "application/x-www-form-urlencoded", "application/xml", "text/html", "text/plain", "text/xml"}
)
_PASSING = frozenset({"internal_error", "server_error", "temporarily_unavailable"})
_LIMITED = frozenset({"rate_limited", "ratelimited", "slow_down", "too_many_requests"})


class TokenError(OAuthError):
    """A token address gave no token; `ends_grant` says that asking it again is of no use to anybody."""

    @property
    def ends_grant(self) -> bool:
        """Whether the person must be asked again."""
        return self.code is Fault.GRANT_ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How an answer is to be read: when it came, what was asked, with which fields, and what must not reach the log."""

    at: datetime
    asked: tuple[str, ...]
    fields: Mapping[str, str]
    hide: tuple[Masked | None, ...]
    again: bool = False  # a later answer for a known grant: what it leaves out has not changed


def token(app: App, answer: Response, reading: Reading) -> Token:
    """Make a Token of an answer; what is none raises TokenError."""
    ways = ways_of(app)
    document = _checked(app, ways.token, answer, reading)

    def find(path: str, standard: str) -> Any:
        found = paths.pick(document, path)
        return document.get(standard) if found is None and reading.again else found

    access = _secret(find(ways.token.access_token, "access_token"))
    kind = paths.text(document.get("token_type")).strip().lower() or "bearer"
    if access is None or kind in _UNUSABLE:
        raise TokenError(Fault.GARBAGE)
    return Token(
        access_token=access,
        refresh_token=_secret(find(ways.token.refresh_token, "refresh_token")),
        id_token=_secret(paths.pick(document, ways.token.id_token)),
        token_type=kind,
        expires_at=ends(find(ways.token.expires, "expires_in"), ways.token.expires_as, reading.at),
        refresh_expires_at=ends(paths.pick(document, ways.token.refresh_expires), ExpiresAs.SECONDS, reading.at),
        scopes=scopes.granted(app, find(ways.reported.path, "scope"), reading.asked),
        kept=_kept(ways, document, reading),
        answer=document,
    )


def _kept(ways: OAuth2, document: dict[str, Any], reading: Reading) -> dict[str, str]:
    wanted = ways.response_keep
    if reading.again:
        wanted = tuple(kept for kept in wanted if paths.text(paths.pick(document, kept.path)))
    try:
        return paths.keep(wanted, lambda path: paths.pick(document, path), reading.fields)
    except OAuthError as error:
        raise TokenError(error.code) from None


def ends(value: Any, expires_as: ExpiresAs, at: datetime) -> datetime | None:
    """Say when something ends; None for what is missing, past, or further off than ten years, however it is written."""
    if expires_as is ExpiresAs.ABSENT or isinstance(value, bool):
        return None
    try:
        if expires_as is ExpiresAs.DATETIME:
            end = datetime.fromisoformat(str(value))
            end = end if end.tzinfo else end.replace(tzinfo=UTC)
        else:
            number = float(value)
            if not math.isfinite(number):
                return None
            if expires_as in {ExpiresAs.UNIX, ExpiresAs.UNIX_MS}:
                number = number / (1000 if expires_as is ExpiresAs.UNIX_MS else 1) - at.timestamp()
            end = at + timedelta(seconds=int(number))
    except (ValueError, TypeError, OverflowError):
        return None
    return end.astimezone(UTC) if at < end <= at + LONGEST_LIFE else None


def _checked(app: App, ways: TokenAnswer, answer: Response, reading: Reading) -> dict[str, Any]:
    """Return the answer's document if it is a success, by status, by its error and by the catalog's condition."""
    later = wait(answer.headers.get("Retry-After"), reading.at)
    document = parse(answer, ways.format)
    if document is None:
        note_answer("oauth.token_garbage", app.key, _outside(answer), status=answer.status)
        raise TokenError(of_status(answer.status), retry_after=later)
    error = paths.pick(document, ways.error) or document.get("error")
    code = _error_code(error)
    if answer.ok and code in _FINE and paths.holds(ways.ok, document):
        return document
    said = document.get("error_description")
    said = said if isinstance(said, str) else _outside(answer)
    note_answer("oauth.token_error", app.key, said, word=code, hide=reading.hide, status=answer.status)
    raise TokenError(_fault(ways, code, answer.status), retry_after=later)


def _outside(answer: Response) -> str:
    """Say what an answer looks like. What is in it may be the new tokens, whatever else is amiss with it."""
    kind = _kind(answer)
    return f"{len(answer.body)} bytes of {kind if kind in _KINDS else 'another type'}"


def _kind(answer: Response) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def parse(answer: Response, written: Body) -> dict[str, Any] | None:
    """Return the members of a body, JSON or a form (by its type, or because the catalog says so); None for anything else."""
    try:
        document = answer.json()
    except EgressFailed:
        if written is Body.FORM or _kind(answer) == "application/x-www-form-urlencoded":
            return _form(answer.body)
        return None
    return document if isinstance(document, dict) else None


def _form(body: bytes) -> dict[str, Any] | None:
    try:
        pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=100)
    except ValueError:
        return None
    members = dict(pairs)
    return members if len(members) == len(pairs) and {"access_token", "error"} & set(members) else None


def _error_code(error: Any) -> str:
    """Return the code of an error: a word, or an object that holds one."""
    if isinstance(error, dict):
        error = next((error[name] for name in ("error", "code", "type") if error.get(name)), "error")
    if isinstance(error, bool) or error is None:
        return "error" if error else ""
    return paths.text(error).strip().lower() if isinstance(error, str | int) else "error"


def _fault(ways: TokenAnswer, code: str, status: int) -> Fault:
    if status == 429 or code in _LIMITED:
        return Fault.LIMITED
    if status >= 500 or code in _PASSING:
        return Fault.UNAVAILABLE
    if code in {ended.lower() for ended in ways.grant_ended}:
        return Fault.GRANT_ENDED
    if code in _MISCONFIGURED:
        return Fault.MISCONFIGURED
    return Fault.ERROR if code not in _FINE else of_status(status)


def _secret(value: Any) -> Masked | None:
    return Masked(value) if isinstance(value, str) and _TOKEN.fullmatch(value) else None
