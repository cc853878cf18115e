"""Who is signed in in the present browser: a cookie with a random id, the accounts in the store."""

from __future__ import annotations

import re
import secrets

from flask import Response, request

from app.sandbox.provider import current

COOKIE = "sandbox_browser"
DAYS_30 = 30 * 24 * 3600
_ID = re.compile(r"[A-Za-z0-9_-]{32}")


def accounts() -> tuple[str, ...]:
    """Return the accounts used in this browser, the one signed in first."""
    known = _id()
    return current().store.accounts(known) if known else ()


def account() -> str | None:
    """Return the account that is signed in."""
    return next(iter(accounts()), None)


def sign_in(answer: Response, email: str) -> None:
    """Sign in, in this browser and for every app."""
    browser = _id() or secrets.token_urlsafe(24)
    current().store.sign_in(browser, email)
    answer.set_cookie(COOKIE, browser, max_age=DAYS_30, path="/", httponly=True, samesite="Lax")


def sign_out(answer: Response) -> None:
    """Forget all accounts of this browser."""
    known = _id()
    if known:
        current().store.sign_out(known)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="Lax")


def _id() -> str | None:
    value = request.cookies.get(COOKIE, "")
    return value if _ID.fullmatch(value) else None
