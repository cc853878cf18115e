"""Signing in to the portal without a password: a six-digit code and a button by mail, for the browser that asked.

Both are made anew from a nonce and the secret key whenever they are needed, and stored nowhere. Nothing that is done here
while somebody waits for an answer depends on whether the address is known: the worker finds that out.

So many may be asked for an address in a day, from wherever; what is more is answered as ever and mails nothing, and leaves the
codes that were mailed good in their browsers. Strangers can use that up; a browser in which the client signed in before has an
allowance of its own (see `known_browsers`).
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, not_, or_, select, update

from app import runtime
from app.database import inserting, new_public_id, transaction
from app.errors import Refused
from app.extensions import db
from app.i18n import _, ngettext
from app.models import Agency, PortalCode
from app.services import addresses, counters, known_browsers, letters, limits
from app.tenancy import acting_for

LIFETIME = timedelta(minutes=10)
TRIES, DIGITS = 5, 6
NONCE_BYTES, NOT_MAILED = 16, b""
SOON, DAY = timedelta(minutes=15), timedelta(days=1)
PER_VISITOR, PER_BOTH, PER_BOTH_DAY, PER_ADDRESS_DAY, PER_KNOWN_DAY = 20, 5, 5, 10, 10
TRIES_PER_VISITOR = 50
SPACES, CODE = re.compile(r"[\s-]+"), re.compile(rf"[0-9]{{{DIGITS}}}")


def code_of(row: PortalCode) -> str:
    """The six digits."""
    number = int.from_bytes(_made("code", row.nonce, row.email)[:8], "big") % 10**DIGITS
    return f"{number:0{DIGITS}}"


def button_of(row: PortalCode) -> str:
    """What the address of the button ends in."""
    return _button(row.nonce, row.email)


def _button(nonce: bytes, email: str) -> str:
    return base64.urlsafe_b64encode(_made("button", nonce, email)).decode("ascii").rstrip("=")


def _made(what: str, nonce: bytes, email: str) -> bytes:
    key = runtime.current().secret_key
    return hmac.digest(key, f"portal {what} ".encode() + nonce + email.encode(), "sha256")


def _draw(email: str) -> tuple[bytes, str]:
    """A fresh nonce and its button, drawn until that ends in a letter or digit, as mail programs cut off other ends."""
    while True:
        nonce = secrets.token_bytes(NONCE_BYTES)
        button = _button(nonce, email)
        if button[-1].isalnum():
            return nonce, button


def ask(
    email: str,
    *,
    agency_id: int | None,
    browser_hash: bytes,
    at: datetime,
    to: str | None = None,
    mark: str | None = None,
) -> None:
    """Have a code mailed to an address, in place of what this browser was sent before; Refused for what is no address.

    `to` is the key of the page that the mailed button leads to, one of ours or none; `mark` the browser's (see `known_browsers`).
    RateLimited by the visitor's network, which has half of an address's day at most, so that nobody alone keeps others from
    their codes. Where the address has had enough, nothing is mailed, what this browser was sent for it stays good, and there
    is no code to guess.
    """
    address = addresses.normalise(email)
    known = known_browsers.name_of(mark, address)
    is_mailed = _spend(address, known, at)
    with transaction() as session:
        nonce, button = _draw(address)
        asked: dict[str, Any] = {
            "public_id": new_public_id(),
            "agency_id": agency_id,
            "email": address,
            "nonce": nonce if is_mailed else NOT_MAILED,
            "button_hash": digest(button),
            "tries": 0,
            "created_at": at,
            "expires_at": at + LIFETIME,
            "used_at": None,
        }
        adding = inserting(session.get_bind().dialect.name, PortalCode).values(browser_hash=browser_hash, **asked)
        replaced = None if is_mailed else or_(PortalCode.email != address, not_(_usable(at)))
        session.execute(adding.on_conflict_do_update(index_elements=["browser_hash"], set_=asked, where=replaced))
        if not is_mailed:
            return
        # The outbox is kept by agency; where none was named, the first one keeps it.
        keeper = agency_id or session.scalars(select(Agency.id).order_by(Agency.id).limit(1)).one()
        with acting_for(keeper):
            ids = {"code": asked["public_id"], "to": to} | ({"known": 1} if known else {})
            letters.put(letters.CODE, asked["public_id"], agency_id=keeper, at=at, **ids)


def _spend(address: str, known: str | None, at: datetime) -> bool:
    """Count one more; whether it may be mailed. What is counted does not depend on whether the address is known to us."""
    visitor, account = limits.visitor(), limits.digest(address)
    limits.spend(f"portal code from {visitor}", at=at, window=SOON, limit=PER_VISITOR)
    limits.spend(f"portal code for {account} from {visitor}", at=at, window=SOON, limit=PER_BOTH)
    own = f"portal codes a day for {account} by {limits.digest(known or '')}"
    if known is not None and counters.hit_lately(own, at=at, window=DAY, limit=PER_KNOWN_DAY):
        return True
    limits.spend_lately(f"portal codes a day for {account} from {visitor}", at=at, window=DAY, limit=PER_BOTH_DAY)
    return counters.hit_lately(f"portal codes a day for {account}", at=at, window=DAY, limit=PER_ADDRESS_DAY)


def waiting(browser_hash: bytes, *, at: datetime) -> PortalCode | None:
    """What this browser has asked for and can still use."""
    return db.session.scalar(select(PortalCode).where(PortalCode.browser_hash == browser_hash, _usable(at)))


def last(browser_hash: bytes) -> PortalCode | None:
    """What this browser asked for last, whether or not it can still be used."""
    return db.session.scalar(select(PortalCode).where(PortalCode.browser_hash == browser_hash))


def pressable(browser_hash: bytes, button: str, *, at: datetime) -> PortalCode | None:
    """What a button stands for, if it can be pressed in this browser."""
    return db.session.scalar(select(PortalCode).where(_pressed(browser_hash, button), _usable(at)))


def enter(code: str, *, browser_hash: bytes, at: datetime, missed: Callable[[str], None]) -> PortalCode:
    """Use up what this browser asked for by typing its code; Refused with how many tries are left, known address or not.

    RateLimited. A wrong try at a code that could be used is told to `missed` by the code's public id.
    """
    limits.spend(f"portal tries from {limits.visitor()}", at=at, window=SOON, limit=TRIES_PER_VISITOR)
    typed = SPACES.sub("", code)
    if not CODE.fullmatch(typed):  # a slip, which costs no try
        raise Refused(_("A code has six digits."), field="code")
    with transaction() as session:
        row = session.scalar(
            update(PortalCode)
            .where(PortalCode.browser_hash == browser_hash, _usable(at))
            .values(tries=PortalCode.tries + 1)
            .returning(PortalCode)
        )
        expected = code_of(row) if row and row.nonce != NOT_MAILED else "-" * DIGITS
        is_right = hmac.compare_digest(expected.encode(), typed.encode())
        used = _use(row, at) if row is not None and is_right else None
    if used is None:
        if row is not None:
            missed(row.public_id)
        raise Refused(_mismatch(TRIES - row.tries if row else 0), field="code")
    return used


def _mismatch(left: int) -> str:
    if not left:
        return _("This code does not match, or it has been used or replaced. Check it, or ask for a new one.")
    return ngettext(
        "This code does not match. One try is left.", "This code does not match. %(num)s tries are left.", left
    )


def press(button: str, *, browser_hash: bytes, at: datetime) -> PortalCode | None:
    """Use up what this browser asked for by its button; none if it is not this browser's, or over."""
    with transaction() as session:
        row = session.scalar(select(PortalCode).where(_pressed(browser_hash, button), _usable(at)))
        return _use(row, at) if row is not None else None


def _use(row: PortalCode, at: datetime) -> PortalCode | None:
    """The row, if nobody has used it before."""
    session = db.session()
    used = session.execute(
        update(PortalCode)
        .where(PortalCode.id == row.id, PortalCode.used_at.is_(None))
        .values(used_at=at)
        .execution_options(synchronize_session=False)
    )
    if used.rowcount != 1:  # type: ignore[attr-defined]
        return None
    return row


def _usable(at: datetime) -> ColumnElement[bool]:
    return and_(PortalCode.used_at.is_(None), PortalCode.expires_at > at, PortalCode.tries < TRIES)


def _pressed(browser_hash: bytes, button: str) -> ColumnElement[bool]:
    return and_(PortalCode.button_hash == digest(button), PortalCode.browser_hash == browser_hash)


def digest(button: str) -> bytes:
    """The SHA-256 under which a button is found."""
    return hashlib.sha256(button.encode("utf-8", "surrogatepass")).digest()
