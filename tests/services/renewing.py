"""An owner in the portal, who approves a connection of theirs anew."""

import hashlib
import secrets as random
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from app import clock as app_clock
from app.database import transaction
from app.extensions import db
from app.models import (
    FlowStatus,
    FlowSurface,
    Health,
    OutboxItem,
)
from app.oauth.faults import Fault
from app.services import (
    callbacks,
    portal_sessions,
    renewals,
    secrets,
)
from app.services.intake import Host
from tests import factories
from tests.services.settling import settle
from tests.support.browsing import the_flow

PRIYA, SAM = "priya.nair@harbordental.example", "sam@cobalt-it.example"
NEEDED = ["channels:read", "chat:write"]
ANN = {"issuer": "https://provider.example", "external_id": "id of ann@client.example", "account": "ann@client.example"}


@dataclass
class Portal:
    """A browser that somebody is signed in to the portal with."""

    agency: object
    who: str = PRIYA
    session: bytes = field(default_factory=lambda: random.token_bytes(32))
    cookies: dict[str, str] = field(default_factory=dict)
    sent: dict[str, list[str]] = field(default_factory=dict)

    def start(self, connection):
        host = Host(self.agency.id, self.agency.name, self.agency.slug, "", "", None, timezone="UTC")
        started = renewals.start(connection, by=self.who, agency=host, session_hash=self.session)
        self.cookies[started.cookie] = started.secret
        self.sent = parse_qs(urlsplit(started.url).query)
        return self.sent["state"][0]

    def finish(self, state, *pairs):
        given = pairs or (("code", random.token_hex(8)),)
        key = f"shared-{self.app}"
        return callbacks.finish(key, [("state", state), *given], cookie=self.cookies.get, session_hash=self.hash_of)

    def hash_of(self, surface):
        return self.session if surface is FlowSurface.PORTAL else hashlib.sha256(b"").digest()

    def renew(self, connection):
        landing = self.finish(self.start(connection))
        db.session.rollback()
        return landing.outcome

    app: str = "slack"


@pytest.fixture
def portal(agency, stub):
    return Portal(agency)


@pytest.fixture
def broken(workspace, sent, clock):
    """Priya's Slack, which fills a slot and no longer works."""
    made = factories.make_connection(workspace, owner_email=PRIYA, scopes=NEEDED, **ANN)
    with transaction():
        secrets.keep(made, {"access_token": "old", "refresh_token": "old refresh"}, at=clock.now)
    settle(sent[0], made)
    with transaction():
        made.health, made.health_reason, made.broken_at = Health.ERROR, Fault.GRANT_ENDED, clock.now
        made.refresh_failures, made.refresh_after = 3, clock.now
    db.session.refresh(made)
    return made


def sign_in(portal, workspace):
    """A member, or somebody who owns a connection there."""
    portal_sessions.start(portal.who, agency_id=None, id_hash=portal.session, at=app_clock.now())


def discards():
    db.session.rollback()
    return db.session.scalars(select(OutboxItem.key).where(OutboxItem.kind == "grant.discard")).all()


def stands(connection, health=Health.ERROR):
    """Whether it is as it was before, with what the provider issued to be given back."""
    flow = the_flow()
    db.session.refresh(connection)
    assert discards() == ([flow.public_id] if flow.grant else [])
    assert flow.status is not FlowStatus.DONE
    facts = (connection.health, connection.scopes, connection.secret.version, connection.owner_email)
    return facts == (health, NEEDED, 1, PRIYA)


fixtures = (portal, broken)
