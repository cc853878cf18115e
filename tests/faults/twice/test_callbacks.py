"""The same callback many times at once, in two processes: one exchange, one connection."""

from collections import Counter
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import AuditEvent, Connection, ConnectionRequest, Flow, FlowStatus, Status
from tests import factories
from tests.faults.twice import unguarded
from tests.faults.twice.clients import Back, Clients, come_back
from tests.support import provided
from tests.support.consent import consent
from tests.support.crowd import Company, Task, company
from tests.support.visitor import Visitor

pytestmark = pytest.mark.both_databases
# For the installation behind which an independent provider stands.
catalog, config, visitor = provided.own
_, person, _ = provided.fixtures

AT_ONCE = 8
BEFORE = ("request.queued", "request.sent")


def at_once(there: Company, back: Back, chance) -> list:
    """It comes back eight times, four times in each process."""
    return there.at_once([Task(come_back, back, number % 2, chance.uniform(0, 0.004)) for number in range(AT_ONCE)])


def faults_of(asked: ConnectionRequest, back: Back, came_to: list, *, exchanges: int) -> list[str]:
    """Whatever shows that the callback had not exactly one effect."""
    db.session.rollback()
    flow = db.session.scalars(select(Flow).where(Flow.request_id == asked.id)).one()
    made = db.session.scalars(select(Connection).where(Connection.owner_email == asked.recipient)).all()
    subjects = [asked.public_id, flow.public_id, *(each.public_id for each in made)]
    written = Counter(db.session.scalars(select(AuditEvent.type).where(AuditEvent.subject.in_(subjects))))
    once = {"request.fulfilled": 1, "connection.created": 1, "flow.started": 1}
    holds = {
        f"one exchange, not {exchanges}": exchanges == 1,
        f"one connection, not {len(made)}": len(made) == 1 and asked.connection_id == made[0].id,
        f"fulfilled, not {asked.status}": (asked.status, flow.status) == (Status.FULFILLED, FlowStatus.DONE),
        f"written once, not {written}": {act: written[act] for act in written if act not in BEFORE} == once,
        f"all to the status page, not {came_to}": came_to == [(303, back.page)] * AT_ONCE,
    }
    return [name for name, is_so in holds.items() if not is_so]


def test_eight_callbacks_at_once_are_one_exchange_and_one_connection(place, proof, database_kind):
    """Eight times the same callback at the same moment, over two processes: the provider was asked for one token, one
    connection was made and one request fulfilled, and every browser landed on the status page.
    """
    clients, faults, exchanges = Clients(f"Quayside Callers {proof.seed}"), {}, Counter()
    for number in range(proof.size(check=4, prove=1000)):
        asked = clients.ask(number)
        code, back = clients.approve(asked, number)
        came_to = at_once(place.company, back, proof.random)
        exchanges[place.provider.exchanges[code]] += 1
        if found := faults_of(asked, back, came_to, exchanges=place.provider.exchanges[code]):
            faults[number] = found

    assert not faults
    proof.title = f"Twice: eight callbacks at once ({database_kind})"
    proof.figure("flows that came back eight times at once", exchanges.total())
    proof.figure("of them exchanged once at the provider", exchanges[1])
    proof.figure("most exchanges of one flow", max(exchanges))
    proof.figure("flows with more or less than one connection, or an answer other than the status page", len(faults))


def test_a_claim_that_is_switched_off_is_missed(place, proof):
    clients = Clients("Quayside Unclaimed")
    with unguarded.without(place.company, "the claim of a flow"):
        asked = clients.ask(0)
        code, back = clients.approve(asked, 0)
        came_to = at_once(place.company, back, proof.random)

    found = faults_of(asked, back, came_to, exchanges=place.provider.exchanges[code])
    assert [fault for fault in found if fault.startswith("one exchange")]


# ── With the independent provider ───────────────────────────────────────────


def test_eight_callbacks_are_one_exchange_at_an_independent_provider(
    config, visitor, person, provider, workspace, owner, proof, database_kind
):
    """The same with django-oauth-toolkit as the provider, in fewer rounds, since its pages take longer than all of ours."""
    faults, rounds, calls = {}, proof.size(check=1, prove=40), []
    with company(config) as there:
        for number in range(rounds):
            workflow = factories.make_workflow(workspace, owner, provided.STEPS[0], name=f"Desk {number}")
            (asked,) = factories.make_sent(workflow, owner, recipient=f"ann.{number}@harbordental.example")
            visitor.web.environ_base["REMOTE_ADDR"] = f"2001:db8:{number:x}::1"  # of each only so many links are opened
            back = _approve(visitor, asked, person)
            before = len(provider.calls("token"))
            came_to = at_once(there, back, proof.random)
            calls.append(len(provider.calls("token")) - before)
            if calls[-1] != 1 or came_to != [(303, back.page)] * AT_ONCE or _status(asked) is not Status.FULFILLED:
                faults[number] = (calls[-1], came_to, _status(asked))
    made = db.session.scalars(select(Connection)).all()

    assert (faults, len(made)) == ({}, 1)
    proof.title = f"Twice: eight callbacks at once, django-oauth-toolkit ({database_kind})"
    proof.figure("flows that came back eight times at once", rounds)
    proof.figure("calls of its token endpoint", sum(calls))
    proof.figure("connections of the one account", len(made))


def _approve(visitor: Visitor, asked: ConnectionRequest, person) -> Back:
    page = visitor.open(asked)
    visitor.get(page)
    query = consent(visitor.start(page, asked).headers["HX-Redirect"], person)
    cookies = {cookie.key: cookie.value for cookie in visitor.web._cookies.values()}
    return Back(urlsplit(query.pop("redirect_uri")).path, query, cookies, page)


def _status(asked: ConnectionRequest) -> Status:
    db.session.rollback()
    return asked.status
