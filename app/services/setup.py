"""The first run: an empty installation is set up by whoever can read its console."""

import hmac
from datetime import timedelta
from hashlib import sha256

from app import clock, runtime
from app.database import transaction
from app.errors import Conflict, Refused
from app.i18n import _
from app.services import agencies, counters, limits
from app.services.agencies import NewAgency
from app.services.audit import Actor
from app.services.staff_passwords import Proven

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: nothing in it is mistaken for something else
WINDOW = timedelta(minutes=15)
TRIES_PER_VISITOR, TRIES = 20, 100
EVER = timedelta(days=400_000)


def is_needed() -> bool:
    """Whether there is no agency yet."""
    return not agencies.exist()


def code() -> str:
    """The set-up code, XXXX-XXXX, the same in every process: drawn from the secret key, 40 bits."""
    number = int.from_bytes(hmac.digest(runtime.current().secret_key, b"gatehouse set-up code", sha256)[:5], "big")
    letters = "".join(ALPHABET[number >> shift & 31] for shift in range(35, -5, -5))
    return f"{letters[:4]}-{letters[4:]}"


def verify(typed: str) -> None:
    """Raise Refused for another code than the console's, RateLimited after too many tries."""
    at = clock.now()
    limits.spend(f"set-up code from {limits.visitor()}", at=at, window=WINDOW, limit=TRIES_PER_VISITOR)
    limits.spend("set-up code", at=at, window=WINDOW, limit=TRIES)
    letters = typed.upper().translate(str.maketrans("OIL", "011"))
    bare = "".join(letter for letter in letters if letter.isascii() and letter.isalnum())
    if not hmac.compare_digest(bare, code().replace("-", "")):
        raise Refused(_("This is not the code that the console shows."), field="code")


def create(typed: NewAgency) -> Proven:
    """Make the first agency, once; its owner, who may enter, is returned. The caller has verified the code."""
    at = clock.now()
    with transaction():
        first = counters.hit("set-up", at=at, window=EVER, limit=1)  # one row, so that two at once are one
        if not first or not is_needed():
            raise Conflict(_("This installation has been set up already."))
        owner = agencies.create(typed, by=Actor("staff", typed.owner_email.strip().lower()))
        return Proven(owner, owner.password_hash)
