"""Row 24 with a crowd at the independent provider: a loser whose call leaves late is told `invalid_grant` by the provider itself.

No two processes ever ask with the same refresh token: a lease that lapses breaks the connection, and its owner's next approval
brings another. So what is left for a loser is the grant that was there before.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from app.extensions import db
from app.models import AuditEvent, Connection, Health, OutboxItem
from app.services import letters, refresh_leases, secrets
from tests import factories
from tests.support.crowd import Task, company
from tests.support.servers import wait_until
from tests.support.users import expire, use_late, use_once

PROCESSES, THREADS = 4, 5
STEP = ("northdesk", "find_ticket")


def approve(visitor, asked, person):
    page = visitor.open(asked)
    visitor.get(page)
    visitor.approve(visitor.start(page, asked), person)


@pytest.fixture
def connection(agency, workspace, owner, visitor, person, provider):
    """A connection to the provider, made by its owner and with a token that has ended."""
    (asked,) = factories.make_sent(factories.make_workflow(workspace, owner, STEP, name="The first"), owner)
    approve(visitor, asked, person)
    db.session.rollback()
    made = db.session.scalars(select(Connection).where(Connection.agency_id == agency.id)).one()
    expire(made.id)
    return made


def told_of(agency):
    """How often it was said that a connection broke: in the audit trail, and to its owner."""
    said = {AuditEvent: AuditEvent.type == "connection.broken", OutboxItem: OutboxItem.kind == letters.BROKEN}
    return [
        db.session.scalar(select(func.count()).where(kind.agency_id == agency.id, which))
        for kind, which in said.items()
    ]


@pytest.mark.both_databases
@pytest.mark.parametrize("lapses", [True, False], ids=["its lease lapsed", "the owner was quicker"])
def test_row_24_the_provider_tells_a_loser_invalid_grant_and_no_grant_is_lost(
    app, agency, workspace, owner, visitor, person, provider, connection, tmp_path, lapses
):
    """Its call leaves when the owner has taken the access away at the provider and given it anew, and nineteen others ask."""
    (again,) = factories.make_sent(factories.make_workflow(workspace, owner, STEP, name="The second"), owner)
    asking, gate, told, sign = (agency.id, connection.id, 30.0), *(tmp_path / name for name in ("gate", "told", "sign"))
    late = Task(use_late, (asking, str(gate), str(told)))
    others = [Task(use_once, (asking, str(sign)), number % PROCESSES) for number in range(1, PROCESSES * THREADS)]
    with company(app.config["GATEHOUSE"], processes=PROCESSES) as there, ThreadPoolExecutor(1) as aside:
        running = aside.submit(there.at_once, [late, *others])
        wait_until(gate.exists)
        db.session.rollback()
        (mark,) = [each for each in refresh_leases.in_hand() if each.connection_id == connection.id]
        if lapses:
            refresh_leases.lapse(mark)
            assert factories.read(connection).health_reason == "interrupted"
        provider.revoke_grants(email=person.email)
        approve(visitor, again, person)
        assert (factories.read(connection).health, connection.refresh_lease) == (Health.ACTIVE, None)
        expire(connection.id)
        before = told_of(agency)
        provider.reset()
        sign.touch()
        gate.unlink()
        tokens = running.result()

    assert told.read_text() == "grant_ended"
    assert sorted(call.status for call in provider.calls("token")) == [200, 400], "one winner, and the loser's own call"
    (token,) = set(tokens)
    assert provider.call_api(token)[0] == 200
    db.session.rollback()
    kept = factories.read(connection)
    assert (kept.health, kept.health_reason, kept.refresh_lease) == (Health.ACTIVE, None, None)
    assert secrets.reveal(kept)["access_token"].reveal() == token
    assert told_of(agency) == before == [int(lapses), int(lapses)]
