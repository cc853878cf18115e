"""Dana's connections as the portal shows them: who looks, and what the page and its rows say."""

import re

import pytest

from app import clock
from app.database import transaction
from app.models import Connection
from app.services import audit
from app.services.audit import Actor
from tests import factories
from tests.support.visitor import Visitor

DANA, PRIYA, TOM = (f"{name}@harbordental.example" for name in ("dana.reyes", "priya.nair", "tom.hale"))
PAGE = "/portal/connections"
STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))


@pytest.fixture
def member(workspace):
    return factories.make_member(workspace, DANA)


@pytest.fixture
def dana(app, workspace, member) -> Visitor:
    return Visitor(factories.signed_in_client(app, DANA, workspace))


@pytest.fixture
def slack(workspace) -> Connection:
    """Dana's own."""
    return factories.make_connection(workspace, "slack", owner_email=DANA, name="Front desk")


def visitor(app, email, workspace) -> Visitor:
    return Visitor(factories.signed_in_client(app, email, workspace))


def words(html: str) -> str:
    """What a page says, without tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", html.replace("<wbr>", "")).split())


def row(html: str, connection: Connection) -> str:
    """What the connection's row says."""
    found = re.search(rf'<tr role="row" id="connection-{connection.public_id}">.*?</tr>', html, re.DOTALL)
    assert found, "no such row"
    return words(found[0])


def note(connection: Connection, act: str, by: Actor, **told: object) -> None:
    with transaction():
        audit.record(act, connection, by=by, at=clock.now(), **told)


fixtures = (dana, member, slack)
