"""Letting go of a connection: what ends at once, what is said of it, and what of it can come back."""

import pytest
from sqlalchemy import func, select

from app.database import transaction
from app.errors import Conflict, NotFound
from app.extensions import db
from app.models import (
    AuditEvent,
    ConnectionRequest,
    Health,
    Kind,
    OutboxItem,
    OutboxState,
    Revocation,
    Secret,
    Status,
)
from app.services import (
    attention,
    badges,
    board,
    connection_requests,
    connections,
    intake,
    letters,
    lost_keys,
    node_views,
    revocations,
    secrets,
    sending,
    slots,
    workflows,
)
from app.services.audit import Actor
from app.services.slots import NeedsConfirmation
from app.services.workflows import State
from tests import factories
from tests.services.settling import settle
from tests.support import browsing, shared_app
from tests.support.browsing import Browser
from tests.support.elsewhere import at_once, outcomes
from tests.support.rows import rows_of

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub

PRIYA = "priya.nair@harbordental.example"
TOKENS = {"access_token": "the access", "refresh_token": "the refresh"}


def seal(connection, clock, **tokens):
    with transaction():
        secrets.keep(connection, tokens or TOKENS, at=clock.now)
    return connection


@pytest.fixture
def slack(workspace, sent, clock):
    """Priya's Slack, for which she was asked; it fills a slot."""
    scopes = ["chat:write", "channels:read"]
    made = factories.make_connection(workspace, account="ann@slack.example", owner_email=PRIYA, scopes=scopes)
    settle(sent[0], seal(made, clock))
    db.session.refresh(made)
    return made


def jobs():
    db.session.rollback()
    return db.session.scalars(select(OutboxItem).where(OutboxItem.kind == revocations.KIND)).all()


def told(act):
    db.session.rollback()
    return db.session.scalars(select(AuditEvent).where(AuditEvent.type == act)).all()


def reauthorize(connection, workflow, status=Status.PENDING, **values):
    with transaction() as session:
        asked = ConnectionRequest(
            agency_id=workflow.agency_id,
            workspace_id=workflow.workspace_id,
            workflow_id=workflow.id,
            connection_id=connection.id,
            app_key=connection.app_key,
            kind=Kind.REAUTHORIZE,
            status=status,
            recipient=PRIYA,
            created_at=connection.created_at,
            **values,
        )
        session.add(asked)
    return asked


# ── Revoking ────────────────────────────────────────────────────────────────


def test_revoke_ends_all_use_at_once(slack, sent, owner, clock):
    revocations.revoke(slack, by=owner)

    assert (slack.health, slack.revoked_at, slack.revocation) == (Health.REVOKED, clock.now, Revocation.PENDING)
    assert (sent[0].status, sent[0].slot.connection_id) == (Status.REVOKED, slack.id)
    with pytest.raises(Conflict, match="was revoked"):
        secrets.reveal(slack)
    (job,) = jobs()
    assert job.payload == {"connection": slack.id}
    (event,) = told("connection.revoked")
    assert (event.actor_kind, event.subject, event.data["account"]) == ("staff", slack.public_id, "ann@slack.example")
    assert [each.subject for each in told("request.revoked")] == [sent[0].public_id]


def test_revoke_twice_is_once(slack, owner, agency):
    revocations.revoke(slack, by=Actor.client(PRIYA))
    before = rows_of(agency)

    revocations.revoke(slack, by=owner)

    assert rows_of(agency) == before


@pytest.mark.parametrize("how", ["another's", "left", "deleted"])
def test_revoke_is_not_for_a_client_whose_it_is_not_any_more(slack, agency, clock, how):
    changes = {"another's": {"owner_email": "sam@cobalt-it.example"}, "left": {"owner_left_at": clock.now}}
    with transaction():
        for name, value in changes.get(how, {"deleted_at": clock.now}).items():
            setattr(slack, name, value)
    before = rows_of(agency)

    with pytest.raises(NotFound):
        revocations.revoke(slack, by=Actor.client(PRIYA))

    assert rows_of(agency) == before


def test_revoke_at_once_by_several_is_once(slack, owner):
    acts = [lambda held: revocations.revoke(held, by=Actor.client(PRIYA))] * 6

    assert outcomes(at_once(acts, slack)) == [None] * 6
    assert (len(jobs()), len(told("connection.revoked")), len(told("request.revoked"))) == (1, 1, 1)


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PENDING, Status.DECLINED])
def test_revoke_asks_nobody_any_more_to_mend_it(slack, workflow, owner, status):
    asked = reauthorize(slack, workflow, status)
    others = factories.make_connection(workflow.workspace, name="another")
    elsewhere = reauthorize(others, workflow, status)

    revocations.revoke(slack, by=owner)

    assert (asked.status, elsewhere.status) == (Status.CANCELLED, status)
    assert workflow.slots[0].connection_id == slack.id


def test_revoke_shreds_at_once_where_there_is_nobody_to_ask(workspace, owner, clock):
    keys = {"oauth_client": None, "app_key": "openai"}
    made = seal(factories.make_connection(workspace, **keys), clock)
    forms = seal(factories.make_connection(workspace, "typeform"), clock)
    gone = seal(factories.make_connection(workspace, "left-the-catalog"), clock)
    bare = factories.make_connection(workspace, name="without a secret")

    for each in (made, forms, gone, bare):
        revocations.revoke(each, by=owner)

    found = [each.revocation for each in (made, forms, gone, bare)]
    assert found == [Revocation.UNSUPPORTED] * 2 + [Revocation.UNCONFIRMED] * 2
    assert db.session.scalar(select(func.count(Secret.id))) == 0
    assert jobs() == []


def test_revoke_asks_where_discovery_named_an_address(workspace, owner, clock):
    made = seal(factories.make_connection(workspace, "typeform", endpoints={"revoke": "https://a.example"}), clock)

    revocations.revoke(made, by=owner)

    assert (made.revocation, len(jobs())) == (Revocation.PENDING, 1)


def test_a_second_revocation_of_the_same_account_is_another(slack, owner, clock):
    """Its secret's count of writings begins anew once it was shredded."""
    for _ in range(2):
        revocations.revoke(slack, by=owner)
        with transaction():
            secrets.destroy(slack)
            slack.health = Health.ACTIVE
        seal(slack, clock)

    assert len({job.key for job in jobs()}) == 2


def test_a_revoked_connection_pauses_what_uses_it(slack, sent, workflow, agency, owner, clock):
    settle(sent[1], factories.make_connection(workflow.workspace, "hubspot", scopes=["crm.objects.contacts.write"]))
    workflows.publish(workflow, by=owner)
    assert workflows.progress_of([workflow])[workflow.id].state is workflows.State.READY

    revocations.revoke(slack, by=owner)

    progress = workflows.progress_of([workflow])[workflow.id]
    assert (progress.state, progress.connected) == (workflows.State.PAUSED, 1)
    workflow = workflows.get(workflow.workspace, workflow.public_id)
    view = node_views.view(workflow, agency, at=clock.now)[0].slot
    assert (view.stage, view.badge.text) == (node_views.Stage.BROKEN, "Revoked")
    (group,) = board.view(workflow, at=clock.now).groups
    card = next(each for each in group.cards if each.asked.id == sent[0].id)
    assert (group.connected, group.total, card.badge.text, card.may_ask_again) == (1, 2, "Revoked", True)
    assert badges.of_request(sent[0], at=clock.now).text == "Revoked"
    assert [slot.id for slot in workflows.unasked(workflow)] == [sent[0].slot_id]


def test_a_revoked_connection_can_not_be_chosen_or_offered(slack, sent, workflow, workspace, owner):
    revocations.revoke(slack, by=owner)
    again = connection_requests.request_again(owner.agency, sent[0].public_id, by=owner)

    assert slots.candidates(workflow.slots) == []
    with pytest.raises(NotFound):
        slots.use_connection(sent[1].slot, slack.public_id, confirmed=True, by=owner)
    with pytest.raises(Conflict):
        intake.use_offer(sent[1].bundle, sent[1].public_id, slack.public_id)
    assert again.status is Status.QUEUED


def test_affected_names_the_published_workflows_that_use_it(slack, workflow, workspace, owner):
    drafted = factories.make_workflow(workspace, owner, ("slack", "find_user"), name="A draft")
    gone = factories.make_workflow(workspace, owner, ("slack", "find_user"), name="Archived")
    with transaction():
        drafted.slots[0].connection_id = gone.slots[0].connection_id = slack.id
        workflow.version = gone.version = 1
        gone.archived_at = workflow.created_at

    assert [each.name for each in revocations.affected(slack)] == ["New patient intake"]


def test_a_lost_key_leaves_a_revoked_connection_revoked(slack, workspace, owner, clock):
    revocations.revoke(slack, by=owner)
    other = seal(factories.make_connection(workspace, name="alive"), clock)
    ids = [slack.secret_id, other.secret_id]
    with transaction() as session:
        lost_keys._end_credentials(session.connection(), ids, clock.now)

    db.session.expire_all()
    assert (slack.health, slack.revocation, slack.secret_id) == (Health.REVOKED, Revocation.UNCONFIRMED, None)
    assert (other.health, other.secret_id) == (Health.ERROR, None)


@pytest.mark.parametrize("owner_email", [PRIYA, None])
def test_a_lost_key_breaks_a_connection_as_all_else_does(workspace, owner, clock, owner_email):
    alive = seal(factories.make_connection(workspace, name="alive", owner_email=owner_email), clock)
    before = seal(
        factories.make_connection(workspace, name="broken", health=Health.ERROR, health_reason="credential"), clock
    )
    with transaction() as session:
        alive.refresh_lease, alive.refresh_called_at = "of a dead process", clock.now
        lost_keys._end_credentials(session.connection(), [alive.secret_id, before.secret_id], clock.now)

    db.session.expire_all()
    assert (alive.health, alive.health_reason, alive.broken_at) == (Health.ERROR, "key_lost", clock.now)
    assert (alive.refresh_lease, alive.refresh_called_at, alive.secret_id) == (None, None, None)
    assert "is lost" in connections.why_broken(alive)
    assert (before.health_reason, before.broken_at, before.secret_id) == ("credential", None, None)
    told = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "connection.broken")).all()
    assert [(each.subject, each.data["cause"]) for each in told] == [(alive.public_id, "key_lost")]
    (letter,) = db.session.scalars(select(OutboxItem).where(OutboxItem.kind == letters.BROKEN))
    assert letter.payload["connection"] == alive.id
    assert ("staff" in letter.payload) is (owner_email is None)
    assert (letter.state, letter.due_at) == (OutboxState.QUEUED, clock.now)


# ── Deleting ────────────────────────────────────────────────────────────────


def test_delete_takes_it_away_and_frees_its_name(workspace, owner, agency, clock):
    made = seal(factories.make_connection(workspace, name="Ann's Slack"), clock)

    revocations.delete(agency, made.public_id, by=owner)

    assert (made.deleted_at, made.health, made.revocation) == (clock.now, Health.REVOKED, Revocation.PENDING)
    assert len(jobs()) == 1
    assert [each.subject for each in told("connection.deleted")] == [made.public_id]
    factories.make_connection(workspace, name="Ann's Slack")
    with pytest.raises(NotFound):
        connections.get(agency, made.public_id)
    with pytest.raises(NotFound):
        revocations.delete(agency, made.public_id, by=owner)


def test_delete_is_refused_with_a_list_while_workflows_use_it(slack, sent, workflow, owner, agency):
    before = rows_of(agency)
    with pytest.raises(NeedsConfirmation, match=r"^New patient intake uses this connection and loses it\.$"):
        revocations.delete(agency, slack.public_id, by=owner)
    assert rows_of(agency) == before

    revocations.delete(agency, slack.public_id, confirmed=True, by=owner)

    assert (sent[0].status, sent[0].slot.connection_id) == (Status.REVOKED, None)
    assert [each.data["connection"] for each in told("slot.connection_removed")] == [slack.public_id]


@pytest.mark.parametrize("mend", ["reconnect", "choose"])
def test_a_workflow_whose_connection_was_deleted_is_paused_until_it_has_another(
    slack, sent, workflow, workspace, owner, agency, stub, mend
):
    with transaction():
        workflow.version = 1
    state = workflows.progress_of([workflow])[workflow.id].state
    revocations.delete(agency, slack.public_id, confirmed=True, by=owner)
    assert (state, workflows.progress_of([workflow])[workflow.id].state) == (State.WAITING, State.PAUSED)

    slot = sent[0].slot
    if mend == "reconnect":
        asked = factories.make_request(slot, owner)
        sending.send(workflow, by=owner)
        browser = Browser()
        browser.open(asked.bundle)
        browser.finish(browser.start(asked))
    else:
        other = factories.make_connection(workspace, name="Another", scopes=["chat:write", "channels:read"])
        slots.use_connection(slot, other.public_id, by=owner)

    assert slot.connection_id is not None
    assert workflows.progress_of([workflow])[workflow.id].state is State.WAITING


def test_a_draft_that_loses_a_connection_and_is_published_later_waits(slack, sent, workflow, owner, agency):
    revocations.delete(agency, slack.public_id, confirmed=True, by=owner)
    with transaction():
        workflow.version = 1

    assert workflows.progress_of([workflow])[workflow.id].state is State.WAITING


def test_delete_names_all_workflows(slack, workspace, owner, agency):
    other = factories.make_workflow(workspace, owner, ("slack", "find_user"), name="Another")
    with transaction():
        other.slots[0].connection_id = slack.id

    with pytest.raises(NeedsConfirmation, match=r"^Another and New patient intake use this connection and lose it\.$"):
        revocations.delete(agency, slack.public_id, by=owner)


def test_delete_of_a_revoked_one_asks_no_second_time(slack, workflow, owner, agency):
    revocations.revoke(slack, by=owner)
    asked = reauthorize(slack, workflow)

    revocations.delete(agency, slack.public_id, confirmed=True, by=owner)

    assert (len(jobs()), len(told("connection.revoked")), asked.status) == (1, 1, Status.CANCELLED)


def test_delete_knows_no_other_agencys_connections(slack, stranger, owner):
    with pytest.raises(NotFound):
        revocations.delete(stranger.agency, slack.public_id, confirmed=True, by=owner)
    assert slack.health is Health.ACTIVE


def test_deleted_at_once_by_two_is_once(slack, owner, agency):
    def delete(agency, owner):
        revocations.delete(agency, public_id, confirmed=True, by=owner)

    public_id = slack.public_id
    found = outcomes(at_once([delete] * 4, agency, owner))

    assert sorted(map(str, found)) == sorted(map(str, [None] + [NotFound] * 3))
    assert (len(told("connection.deleted")), len(jobs())) == (1, 1)


def test_a_deleted_connection_is_in_no_list(slack, workflow, owner, agency):
    with transaction():
        slack.health = Health.ERROR
    revocations.delete(agency, slack.public_id, confirmed=True, by=owner)

    assert attention.counts(agency).broken == 0
    assert slots.candidates(workflow.slots) == []


def test_the_same_account_connected_again_brings_a_deleted_one_back(workspace, owner, agency, stub, clock):
    def connect(name):
        made = factories.make_workflow(workspace, owner, ("slack", "send_channel_message"), name=name)
        (asked,) = factories.make_sent(made, owner)
        browser = Browser()
        browser.open(asked.bundle)
        assert browser.finish(browser.start(asked)).is_connected
        db.session.rollback()
        return asked.connection

    first = connect("One")
    revocations.delete(agency, first.public_id, confirmed=True, by=owner)
    factories.make_connection(workspace, name="ann@client.example")

    again = connect("Two")

    assert (again.id, again.deleted_at, again.revoked_at, again.revocation) == (first.id, None, None, None)
    assert (again.health, again.name, again.name_key) == (Health.ACTIVE, *["ann@client.example (2)"] * 2)
    assert "access_token" in secrets.reveal(again)
