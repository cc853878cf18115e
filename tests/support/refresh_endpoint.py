"""A provider that gives a new refresh token each time and takes each but once, counts, and answers what a test says.

A module opts in with `apps_dir, catalog, config, endpoint, grown = refresh_endpoint.fixtures`; `grown` makes a connection whose
token was just issued there.
"""

import contextlib
import itertools
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from werkzeug.wrappers import Request, Response

from app import clock
from app.config import Config
from app.database import transaction
from app.models import Connection, Workspace
from app.services import refresh_plans, secrets
from app.tenancy import across_tenants, acting_for
from tests import factories
from tests.support.servers import serve_in_thread
from tests.support.token_endpoint import CLIENT, KEY, SCOPE, TOML

_numbers = itertools.count(1)


class RefreshEndpoint:
    """What it was asked, by account: `refreshes` that it did, `refusals` of tokens that were used up."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: Counter[str] = Counter()
        self.refreshes: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.answers: deque[Response] = deque()
        self.delay = 0.0
        self.rotates = True
        self.seconds = 3600
        self.spoilt: set[str] = set()  # access tokens that the app does not accept
        self.owners: dict[str, str] = {}  # what /me says of an account instead of itself
        self.limits: str | None = None  # the Retry-After of what /me refuses everybody with
        self.before: Callable[[], None] = lambda: None
        self.live: dict[str, str] = {}
        self._lock = threading.Lock()

    def issue(self, account: str) -> tuple[str, str]:
        """An access token and a refresh token."""
        number = next(_numbers)
        self.live[f"refresh.{account}.{number}"] = account
        return f"access.{account}.{number}", f"refresh.{account}.{number}"

    def write_app(self, folder: Path) -> Path:
        """Put its app into a folder for `GATEHOUSE_APPS_DIR`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{KEY}.toml").write_text(TOML.format(url=self.url))
        return folder

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked = Request(environ)
        answer = self._token(asked.form["refresh_token"]) if asked.path == "/token" else self._me(asked)
        return answer(environ, start_response)

    def _token(self, token: str) -> Response:
        account = token.split(".")[1]
        with self._lock:
            self.asked[account] += 1
            scripted = self.answers.popleft() if self.answers else None
        self.before()
        time.sleep(self.delay)
        if scripted is not None:
            return scripted
        with self._lock:
            if token not in self.live:
                self.refusals[account] += 1
                return said({"error": "invalid_grant"}, 400)
            self.refreshes[account] += 1
            if self.rotates:
                del self.live[token]
            access, refresh = self.issue(account)
        fresh = {"refresh_token": refresh} if self.rotates else {}
        return said(
            {"access_token": access, "token_type": "Bearer", "expires_in": self.seconds, "scope": SCOPE} | fresh
        )

    def _me(self, asked: Request) -> Response:
        if self.limits:
            return said({}, 429, **{"Retry-After": self.limits})
        token = asked.headers["Authorization"].removeprefix("Bearer ")
        account = token.split(".")[1]
        if token in self.spoilt:
            return said({"error": "invalid_token"}, 401)
        return said({"id": self.owners.get(account, account), "email": f"{account}@client.example"})


def said(document: Any, status: int = 200, **headers: str) -> Response:
    """An answer of JSON."""
    return Response(json.dumps(document), status, headers, content_type="application/json")


@contextlib.contextmanager
def refresh_endpoint() -> Iterator[RefreshEndpoint]:
    """Run one on loopback."""
    made = RefreshEndpoint()
    with serve_in_thread(made) as served:
        made.url = served.url
        yield made


def grow(endpoint: RefreshEndpoint, workspace: Workspace, account: str = "", **changes: Any) -> Connection:
    """A connection whose token was issued just now for an hour, and can be refreshed unless the test says otherwise."""
    account = account or f"account{next(_numbers)}"
    access, refresh = endpoint.issue(account)
    at = clock.now()
    urls = {"authorize": "authorize", "token": "token", "refresh": "token", "revoke": "revoke", "userinfo": "me"}
    values: dict[str, Any] = {
        "issuer": endpoint.url,
        "external_id": account,
        "account": f"{account}@client.example",
        "owner_email": f"{account}@client.example",
        "name": account,
        "endpoints": {step: f"{endpoint.url}/{path}" for step, path in urls.items()},
        "scopes": [SCOPE],
        "refreshable": True,
        "granted_at": at,
        "token_at": at,
        "expires_at": at + timedelta(hours=1),
    }
    made = factories.make_connection(workspace, KEY, **(values | changes))
    credential = {"access_token": access, "refresh_token": refresh if made.refreshable else None}
    with acting_for(made.agency_id), transaction():
        version = secrets.keep(made, {**credential, "token_type": "bearer"}, at=at).version
        if made.refreshable:
            refresh_plans.put(
                made, version, agency_id=made.agency_id, expires_at=made.expires_at, token_at=made.token_at, at=at
            )
    with across_tenants("a test's setting"):
        return factories.read(made)


def expired(**changes: Any) -> dict[str, Any]:
    """The changes that make a connection's token have ended a minute ago."""
    at = clock.now()
    return {"token_at": at - timedelta(minutes=61), "expires_at": at - timedelta(minutes=1)} | changes


@pytest.fixture
def endpoint() -> Iterator[RefreshEndpoint]:
    with refresh_endpoint() as running:
        yield running


@pytest.fixture
def apps_dir(endpoint: RefreshEndpoint, tmp_path: Path) -> Path:
    return endpoint.write_app(tmp_path / "apps")


@pytest.fixture
def catalog() -> None:
    """The installation reads its own apps."""


@pytest.fixture
def config(tmp_path: Path, database_url: str, apps_dir: Path) -> Config:
    return factories.config(tmp_path, database_url, apps_dir=apps_dir, oauth_clients={KEY: CLIENT})


@pytest.fixture
def grown(endpoint: RefreshEndpoint, workspace: Workspace) -> Callable[..., Connection]:
    """Make a connection of the endpoint's."""

    def grown(account: str = "", **changes: Any) -> Connection:
        return grow(endpoint, workspace, account, **changes)

    return grown


fixtures = (apps_dir, catalog, config, endpoint, grown)
