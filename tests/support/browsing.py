"""A client's browser as the services see it, with an app whose provider answers what the test says, at once."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from app import clock
from app.extensions import db
from app.models import Bundle, Connection, ConnectionRequest, Flow
from app.oauth.identify import Identity
from app.oauth.token import Token
from app.services import callbacks, flows, intake, link_tokens
from app.services.callbacks import Landing
from app.services.intake import Intake, Opening
from app.vault import Masked


@dataclass
class Browser:
    """One browser: an intake session, the cookies of its flows, and the states that it was sent away with."""

    session_id: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    address: str = field(default_factory=lambda: f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1")
    cookies: dict[str, str] = field(default_factory=dict)
    clients: dict[str, str] = field(default_factory=dict)

    @property
    def id_hash(self) -> bytes:
        return hashlib.sha256(self.session_id.encode()).digest()

    def open(self, link: str | Bundle) -> Opening:
        """Follow a link, given as token or as the bundle whose present link it is."""
        token = link if isinstance(link, str) else link_tokens.of(link)
        db.session().info["address"] = self.address
        return intake.open_link(token, id_hash=self.id_hash)

    def enter(self, bundle: Bundle) -> Intake | None:
        return intake.enter(self.id_hash, bundle.public_id, at=clock.now())

    def start(self, asked: ConnectionRequest, typed: Mapping[str, str] | None = None) -> str:
        """Press “Connect”; returns the state that the provider will send back."""
        assert asked.bundle is not None
        found = self.enter(asked.bundle)
        assert found is not None
        started = flows.start(found, asked.public_id, typed=typed or {}, session_hash=self.id_hash)
        self.cookies[started.cookie] = started.secret
        query = parse_qs(urlsplit(started.url).query)
        state = query["state"][0]
        self.clients[state] = query["redirect_uri"][0].rpartition("/")[2]
        return state

    def finish(self, state: str, *pairs: tuple[str, str], client: str | None = None) -> Landing | None:
        """Come back from the provider, with a code unless the test says with what."""
        given = pairs or (("code", secrets.token_hex(8)),)
        key = client or self.clients.get(state, "")
        return callbacks.finish(
            key, [("state", state), *given], cookie=self.cookies.get, session_hash=lambda _: self.id_hash
        )


@dataclass
class StubbedProvider:
    """What every exchange gives from now on: whose account it is, which scopes (None: all that were asked), or an error.

    The account is called by its address, and the provider vouches for that unless `email` says otherwise.
    """

    account: str = "ann@client.example"
    email: str | None = None
    scopes: tuple[str, ...] | None = None
    error: Exception | None = None
    exchanges: int = 0

    def exchange(self, *_: object, scopes: tuple[str, ...], **__: object) -> Token:
        self.exchanges += 1
        if self.error:
            raise self.error
        return Token(
            access_token=Masked(f"access-{secrets.token_hex(8)}"),
            refresh_token=Masked(f"refresh-{secrets.token_hex(8)}"),
            expires_at=clock.now() + timedelta(hours=1),
            scopes=scopes if self.scopes is None else self.scopes,
        )

    def identify(self, *_: object, **__: object) -> Identity:
        email = self.account if self.email is None else self.email
        return Identity(issuer="https://provider.example", id=f"id of {self.account}", label=self.account, email=email)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> StubbedProvider:
    """In place of the two calls to a provider; all around them is real."""
    provider = StubbedProvider()
    monkeypatch.setattr(callbacks, "exchange", provider.exchange)
    monkeypatch.setattr(callbacks, "identify", provider.identify)
    return provider


def the_flow() -> Flow | None:
    """The last that was begun."""
    db.session.rollback()
    return db.session.scalars(select(Flow).order_by(Flow.id.desc())).first()


def connections() -> Sequence[Connection]:
    """All that there are, the oldest first."""
    db.session.rollback()
    return db.session.scalars(select(Connection).order_by(Connection.id)).all()
