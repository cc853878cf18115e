"""Who a browser is, by nothing but a random id in a cookie: one cookie for each surface, no storage of its own.

Services keep what belongs to a session under `id_hash`. The CSRF token is derived from the id, so that a form
can be shown and checked without a row.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from enum import Enum
from typing import Any, cast

from flask import Flask, Request, Response, current_app, g, request, session
from flask.sessions import SessionInterface, SessionMixin

CSRF = "csrf_token"
WELL_FORMED_ID = re.compile(r"[A-Za-z0-9_-]{43}")
DAY = 86400


class Surface(Enum):
    """A part of the site with a session of its own; the value is the name of its cookie."""

    STAFF = "gh_staff"
    INTAKE = "gh_intake"
    PORTAL = "gh_portal"

    @property
    def max_age(self) -> int | None:
        """How long the browser keeps the cookie, in seconds; None: until it closes. The server decides besides."""
        return 7 * DAY if self is Surface.INTAKE else None


def surface_of(path: str) -> Surface:
    """The surface that an address belongs to."""
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    clients = {"l": Surface.INTAKE, "connect": Surface.INTAKE, "oauth": Surface.INTAKE, "portal": Surface.PORTAL}
    return clients.get(first, Surface.STAFF)


def new_id() -> str:
    """An id for a session, of 256 random bits."""
    return secrets.token_urlsafe(32)


def hash_of(session_id: str) -> bytes:
    """The SHA-256 under which a session is stored."""
    return hashlib.sha256(session_id.encode()).digest()


class BrowserSession(SessionMixin):
    """A browser's session at one surface, read-only but for its id. Only the CSRF token can be read from it."""

    modified = False

    def __init__(self, surface: Surface, session_id: str | None) -> None:
        self.surface = surface
        self.is_new = session_id is None
        self.id = session_id or new_id()
        self.ended = False
        self._must_set = False

    @property
    def id_hash(self) -> bytes:
        """SHA-256 of the id: the key of everything stored about this session."""
        return hash_of(self.id)

    @property
    def must_set(self) -> bool:
        """Whether the answer has to carry the cookie: it changed, or a form was shown to a browser without one."""
        return self._must_set or (self.is_new and CSRF in g)

    def keep(self) -> None:
        """Have a new session's cookie set although no form is shown."""
        self._must_set = self._must_set or self.is_new

    def rotate(self, to: str | None = None) -> None:
        """Take a new id, as at every sign-in: whoever knew the old one is left with nothing."""
        self.id = to or new_id()
        self.is_new, self.ended, self._must_set = True, False, True
        g.pop(CSRF, None)

    def end(self) -> None:
        """Delete the cookie; what is stored under the id is the caller's to delete."""
        self.rotate()
        self.ended = True

    def __getitem__(self, key: str) -> str:
        if key != CSRF:
            raise KeyError(key)
        secret = derived_key(current_app, "csrf token")
        return hmac.new(secret, f"{self.surface.value} {self.id}".encode(), hashlib.sha256).hexdigest()

    def __contains__(self, key: object) -> bool:
        return key == CSRF

    def __setitem__(self, key: str, value: Any) -> None:
        raise TypeError("A session stores nothing: keep it in a row under session.id_hash.")

    def __delitem__(self, key: str) -> None:
        raise TypeError("A session stores nothing.")

    def __iter__(self) -> Iterator[str]:
        return iter((CSRF,))

    def __len__(self) -> int:
        return 1


class BrowserSessions(SessionInterface):
    """Flask's session, chosen by the surface of the address."""

    def open_session(self, app: Flask, request: Request) -> BrowserSession:
        return _open(app, request, surface_of(request.path))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:  # noqa: ARG002 - Flask's signature
        browser = cast("BrowserSession", session)
        name = browser.surface.value
        if browser.ended:
            delete_cookie(response, name)
        elif browser.must_set:
            set_cookie(response, name, browser.id, max_age=browser.surface.max_age)


def current_session() -> BrowserSession:
    """The session of the surface that is being visited."""
    return cast("BrowserSession", session)


def session_of(surface: Surface) -> BrowserSession:
    """The session that this browser has at another surface, to read; changing it sets no cookie."""
    return _open(current_app, request, surface)


def _open(app: Flask, incoming: Request, surface: Surface) -> BrowserSession:
    value = _cookie(app, incoming, surface.value) or ""
    return BrowserSession(surface, value if WELL_FORMED_ID.fullmatch(value) else None)


def derived_key(app: Flask, purpose: str) -> bytes:
    """A key for one purpose alone, drawn from the application's secret key."""
    return hmac.new(signing_key(app), f"gatehouse {purpose}".encode(), hashlib.sha256).digest()


def signing_key(app: Flask) -> bytes:
    """The key that all others are drawn from; one that verifies nothing while the real one is missing."""
    runtime = app.extensions.get("gatehouse")
    if runtime is not None:
        return secrets.token_bytes(32) if runtime.keys.unsigned else cast("bytes", runtime.secret_key)
    secret = app.secret_key or b""
    if not secret:
        raise RuntimeError("The application has no secret key.")
    return secret.encode() if isinstance(secret, str) else secret


def _https(app: Flask) -> bool:
    return bool(app.config["GATEHOUSE"].https)


def _full_name(app: Flask, name: str) -> str:
    return f"__Host-{name}" if _https(app) else name


def get_cookie(name: str) -> str | None:
    """The value of one of our cookies, by its name without the `__Host-` prefix."""
    return _cookie(current_app, request, name)


def _cookie(app: Flask, incoming: Request, name: str) -> str | None:
    name, sent = _full_name(app, name), incoming.cookies
    return sent[name] if name in sent else None  # noqa: SIM401 - get() makes an HTTP error of what is not there


def set_cookie(response: Response, name: str, value: str, *, max_age: int | None = None) -> None:
    """Set a cookie under the one rule for all: `__Host-` and Secure on https, HttpOnly, SameSite=Lax, Path=/."""
    response.set_cookie(
        _full_name(current_app, name),
        value,
        max_age=max_age,
        path="/",
        secure=_https(current_app),
        httponly=True,
        samesite="Lax",
    )


def delete_cookie(response: Response, name: str) -> None:
    """Take one of our cookies back."""
    response.delete_cookie(
        _full_name(current_app, name), path="/", secure=_https(current_app), httponly=True, samesite="Lax"
    )
