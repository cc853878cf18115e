"""A provider to give back to, what is given back to it, and what has come of it."""

import pytest
from sqlalchemy import delete, select

from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, OutboxItem
from app.oauth.revoke import RevokeOutcome
from app.services import giving_back, grants, revocations, secrets
from app.tenancy import across_tenants
from app.worker import Worker
from app.worker.handlers import HANDLERS
from tests import factories

MINE = [handler for handler in HANDLERS if handler.kind == revocations.KIND]  # others left work of other kinds

PRIYA = "priya.nair@harbordental.example"
ACCOUNT = {"issuer": "https://slack.example", "external_id": "T1"}


class Provider:
    """What a provider was asked to end, and what it answers; `meanwhile` happens before it does."""

    def __init__(self):
        self.asked, self.answer, self.meanwhile = [], RevokeOutcome.CONFIRMED, None

    def revoke(self, app, client, endpoints, *, access_token, refresh_token, fields):
        assert not db.session().in_transaction(), "nothing stays open while the provider is waited for"
        self.asked.append((access_token.reveal(), refresh_token.reveal() if refresh_token else None, dict(fields)))
        if self.meanwhile:
            happens, self.meanwhile = self.meanwhile, None
            happens()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture(autouse=True)
def apart(agency, monkeypatch):
    """An account that no other test knows, and nothing of this kind to do that others left."""
    monkeypatch.setitem(ACCOUNT, "external_id", f"T{agency.id}")
    with across_tenants("a worker does everybody's work"), transaction() as session:
        session.execute(delete(OutboxItem).where(OutboxItem.kind.in_([revocations.KIND, grants.KIND])))


@pytest.fixture
def provider(monkeypatch):
    provider = Provider()
    monkeypatch.setattr(giving_back, "revoke", provider.revoke)
    return provider


def connected(workspace, clock, app_key="slack", *, access="access", **values):
    made = factories.make_connection(
        workspace, app_key, owner_email=PRIYA, endpoints=ENDPOINTS, **ACCOUNT | {"name": access} | values
    )
    with transaction():
        secrets.keep(made, {"access_token": access, "refresh_token": f"{access} refresh"}, at=clock.now)
    db.session.refresh(made)
    return made


ENDPOINTS = {name: f"https://slack.example/{name}" for name in ("authorize", "token", "refresh", "revoke")}


@pytest.fixture
def forms(workspace, clock):
    """Of a provider that ends one token and leaves others of the account alone."""
    return connected(workspace, clock, "typeform", kept={"team": "T1"})


@pytest.fixture
def revoked(forms, owner):
    revocations.revoke(forms, by=owner)
    return forms


@pytest.fixture
def work(app):
    return lambda: Worker(app, handlers=MINE, patience=0).run_once()


def job():
    db.session.rollback()
    return db.session.scalars(select(OutboxItem).where(OutboxItem.kind == revocations.KIND)).one()


def came_to(connection):
    db.session.rollback()
    db.session.refresh(connection)
    return connection.revocation, connection.secret_id


def token(connection):
    return secrets.reveal(connection)["access_token"].reveal()


def told():
    db.session.rollback()
    return [
        event.data["outcome"]
        for event in db.session.scalars(select(AuditEvent).where(AuditEvent.type == "connection.discarded"))
    ]


fixtures = (apart, forms, provider, revoked, work)
