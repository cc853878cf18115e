"""Passwords of staff: argon2id (RFC 9106), and one-time passwords that must be changed at the first sign-in."""

import base64
import secrets
import unicodedata
from datetime import UTC, datetime, timedelta
from functools import cache

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from app import runtime
from app.database import PUBLIC_ID_ALPHABET
from app.errors import Refused
from app.i18n import _, ngettext
from app.vault import Masked

LEAST, MOST = 12, 200
LEAST_DIFFERENT = 5
ONE_TIME = "once"  # a stored one-time password is `once:<unix time of its end>:<hash>`
ONE_TIME_LIFE = timedelta(days=7)


@cache
def _hasher(*, light: bool) -> PasswordHasher:
    """RFC 9106, section 4: the second recommended parameters (3 passes, 64 MiB, 4 lanes)."""
    passes, memory, lanes = (1, 8, 1) if light else (3, 65536, 4)
    return PasswordHasher(passes, memory, lanes, hash_len=32, salt_len=16, type=Type.ID)


def _current() -> PasswordHasher:
    return _hasher(light=runtime.current().config.argon2_light)


def _bytes(password: str) -> bytes:
    """The same bytes from every keyboard (NIST SP 800-63B, section 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode()


def check(password: str, *, field: str = "password") -> None:
    """Raise Refused for a password that is too short, too long or too plain."""
    count = len(password)
    if count < LEAST:
        missing = LEAST - count
        more = ngettext("%(num)s more is needed.", "%(num)s more are needed.", missing)
        has = ngettext("This has %(num)s character;", "This has %(num)s characters;", count)
        raise Refused(f"{has} {more}", field=field)
    if count > MOST:
        raise Refused(_("At most %(most)s characters; this has %(count)s.", most=MOST, count=count), field=field)
    if len(set(password)) < LEAST_DIFFERENT:
        raise Refused(_("This repeats too few characters. A few words work well."), field=field)


def hashed(password: str) -> str:
    """What is stored of a password."""
    return _current().hash(_bytes(password))


def matches(stored: str | None, password: str) -> bool:
    """Whether it is this password. Takes as long when there is none to compare with (nobody of that address)."""
    encoded = (stored or _nobodys()).rpartition(":")[2]
    try:
        return _current().verify(encoded, _bytes(password))
    except (VerificationError, InvalidHashError):
        return False


def _nobodys() -> str:
    """A hash that no password has, with the parameters in force."""
    hasher = _current()

    def part(size: int) -> str:
        return base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")

    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${part(16)}${part(32)}"


def is_outdated(stored: str) -> bool:
    """Whether a password should be hashed anew, because the parameters were raised since."""
    return not is_one_time(stored) and _current().check_needs_rehash(stored)


def new_one_time(at: datetime) -> tuple[Masked, str]:
    """A password to hand over once, of 100 random bits, and what is stored of it; it lapses after seven days."""
    groups = ("".join(secrets.choice(PUBLIC_ID_ALPHABET) for _each in range(5)) for _group in range(4))
    password = "-".join(groups)
    ends = int((at + ONE_TIME_LIFE).timestamp())
    return Masked(password), f"{ONE_TIME}:{ends}:{hashed(password)}"


def is_one_time(stored: str) -> bool:
    """Whether the person has yet to choose a password of their own."""
    return stored.startswith(f"{ONE_TIME}:")


def is_lapsed(stored: str, at: datetime) -> bool:
    """Whether it is a one-time password that was not used in time."""
    return is_one_time(stored) and datetime.fromtimestamp(int(stored.split(":")[1]), UTC) <= at
