"""The same external account, given by somebody else: whose the connection is then, and who is told and reads what."""

import hashlib
from secrets import token_urlsafe

import pytest
from sqlalchemy import select

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, ConnectionRequest, Flow, FlowStatus, Health, Notice, OutboxItem, Role, Status
from app.services import activity, audit, connections, grants, letters, members, portal_visitors, right_account, secrets
from app.services.audit import Actor
from tests import factories
from tests.services.settling import change
from tests.support import browsing, shared_app
from tests.support.browsing import Browser

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub

DANA, SAM = "dana@harbordental.example", "sam@cobalt-it.example"
SLACK = ("slack", "send_channel_message")


@pytest.fixture
def connect(workspace, owner, stub):
    """Have somebody be asked for Slack and approve it; returns the request as it is then."""

    def connect(recipient, *, expected="", anyway=False) -> ConnectionRequest:
        made = factories.make_workflow(workspace, owner, SLACK, name=f"For {recipient}")
        (asked,) = factories.make_sent(made, owner, recipient=recipient)
        change(asked, expected_account=expected)
        browser = Browser()
        browser.open(asked.bundle)
        browser.finish(browser.start(asked))
        if anyway:
            right_account.use(browser.enter(asked.bundle), asked.public_id, session_hash=browser.id_hash)
        return fresh(asked)

    return connect


def fresh(row):
    db.session.rollback()
    db.session.refresh(row)
    return row


def events(act, subject=None):
    rows = db.session.scalars(select(AuditEvent).where(AuditEvent.type == act).order_by(AuditEvent.id))
    return [row for row in rows if subject in (None, row.subject)]


def told():
    return db.session.scalars(select(OutboxItem).where(OutboxItem.kind == letters.OWNER_CHANGED)).all()


def of_staff(agency, role):
    return factories.make_staff(agency, "Tom Reed", role=role).email


# ── Staff ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("way", ["at once", "anyway"])
@pytest.mark.parametrize("health", [Health.ACTIVE, Health.ERROR])
def test_staff_replace_nothing_that_a_client_gave(agency, connect, role, way, health):
    held = connect(DANA).connection
    change(held, health=health)
    before = (held.owner_email, held.secret_id, held.granted_at, held.health)
    how = {"expected": "harbordental.example", "anyway": True} if way == "anyway" else {}

    asked = connect(of_staff(agency, role), **how)

    fresh(held)
    assert (held.owner_email, held.secret_id, held.granted_at, held.health) == before
    assert connections.is_owned(held, DANA)
    assert (asked.status, asked.notice, asked.slot.connection_id) == (Status.PENDING, Notice.THEIRS, None)
    flow = db.session.scalars(select(Flow).order_by(Flow.id.desc())).first()
    assert (flow.status, flow.outcome) == (FlowStatus.FAILED, Notice.THEIRS)
    assert flow.grant is not None
    due = db.session.scalars(select(OutboxItem).where(OutboxItem.key == flow.public_id)).one()
    assert (due.kind, due.due_at <= flow.finished_at) == (grants.KIND, True)
    assert (told(), events(letters.OWNER_CHANGED)) == ([], [])


def test_staff_replace_nothing_that_passed_to_the_members(agency, workspace, owner, connect):
    dana = factories.make_member(workspace, DANA)
    held = connect(DANA).connection
    members.remove(workspace, dana.public_id, by=owner)

    assert connect(of_staff(agency, Role.ADMIN)).notice is Notice.THEIRS
    assert (fresh(held).owner_email, held.owner_left_at is None) == (DANA, False)


@pytest.mark.parametrize("whose", ["their own", "a colleague's", "the agency's", "deleted"])
def test_staff_connect_again_what_no_client_has(agency, owner, connect, whose):
    staff = of_staff(agency, Role.MEMBER)
    held = connect({"their own": staff, "a colleague's": owner.email}.get(whose, DANA)).connection
    if whose == "the agency's":
        change(held, owner_email=None)
    if whose == "deleted":
        change(held, health=Health.REVOKED, deleted_at=clock.now())

    asked = connect(staff)

    assert (asked.status, asked.connection_id) == (Status.FULFILLED, held.id)
    assert (fresh(held).owner_email, held.deleted_at) == (staff, None)
    assert len(told()) == (1 if whose == "a colleague's" else 0)


# ── Another client ───────────────────────────────────────────────────────────


def test_who_connects_the_same_account_has_it_from_then_on_and_its_former_owner_is_told(workspace, connect):
    held = connect(DANA).connection
    connections.rename(held, "Front desk", by=Actor.client(DANA))
    before = held.secret_id

    assert connect(SAM).connection_id == held.id

    assert (fresh(held).owner_email, held.secret_id != before) == (SAM, True)
    assert (connections.is_owned(held, DANA), connections.is_owned(held, SAM)) == (False, True)
    (changed,) = events(letters.OWNER_CHANGED)
    assert (changed.subject, changed.workspace_id, changed.actor) == (held.public_id, workspace.id, SAM)
    version = held.secret.version
    assert changed.data == {"before": DANA, "after": SAM, "name": "Front desk", "version": version, "taken": True}
    assert changed.id < events("connection.updated")[-1].id
    (letter,) = told()
    assert (letter.key, letter.payload) == (
        f"{held.public_id}:{version}",
        {"connection": held.id, "version": version},
    )


def test_who_connects_their_own_again_changes_no_owner(connect):
    connect(DANA)
    connect(DANA)

    assert (told(), events(letters.OWNER_CHANGED)) == ([], [])


def test_each_time_it_passes_whoever_had_it_is_told(connect):
    for recipient in (DANA, SAM, DANA):
        connect(recipient)

    assert [(each.data["before"], each.data["after"]) for each in events(letters.OWNER_CHANGED)] == [
        (DANA, SAM),
        (SAM, DANA),
    ]
    assert len({letter.key for letter in told()}) == 2


def test_who_was_removed_is_not_told_that_another_has_it_and_is_seen_to_have_it_again(workspace, owner, connect):
    dana = factories.make_member(workspace, DANA)
    held = connect(DANA).connection
    members.remove(workspace, dana.public_id, by=owner)
    connect(SAM)
    assert [each.data["taken"] for each in events(letters.OWNER_CHANGED)] == [False]
    assert told() == []

    connect(DANA)
    change(held, owner_left_at=fresh(held).updated_at)
    connect(DANA)

    assert [each.data for each in events("connection.owner_returned")] == [{"owner": DANA}]
    assert fresh(held).owner_left_at is None


def test_a_change_that_does_not_come_about_tells_nobody(connect, stub, monkeypatch):
    held = connect(DANA).connection
    monkeypatch.setattr(letters, "tell_owner_changed", lambda *_args, **_more: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        connect(SAM)

    assert fresh(held).owner_email == DANA
    assert events(letters.OWNER_CHANGED) == []
    assert secrets.reveal(held)["access_token"]


# ── What each of them reads ──────────────────────────────────────────────────


@pytest.fixture
def reads(app, workspace):
    """What somebody's activity says, the latest first: name, what, and how; none of whoever may not enter."""

    def reads(email):
        session_id = token_urlsafe(32)
        factories.signed_in_client(app, email, workspace, session_id=session_id)
        id_hash = hashlib.sha256(session_id.encode()).digest()
        visitor = portal_visitors.enter(id_hash, at=clock.now())
        return visitor and [(each.name, each.act, each.how) for each in activity.page(visitor).items]

    return reads


def test_the_next_owner_reads_nothing_of_what_was_the_former_ones(connect, reads):
    held = connect(DANA).connection
    connections.rename(held, "Dana's private name", by=Actor.client(DANA))
    connect(SAM)
    connections.rename(held, "Sam's", by=Actor.client(SAM))

    assert reads(SAM) == [
        ("Sam's", "renamed", "by you, before: Dana's private name"),
        ("Sam's", "connected again", "by you"),
        ("Sam's", "became yours", "as you connected the same account"),
    ]


def test_the_former_owner_reads_that_it_passed_and_nothing_of_what_came_after(workspace, connect, reads):
    factories.make_connection(workspace, "hubspot", owner_email=DANA, name="Another")  # by which she may still enter
    held = connect(DANA).connection
    connections.rename(held, "Front desk", by=Actor.client(DANA))
    connect(SAM)
    connections.rename(held, "Sam's private name", by=Actor.client(SAM))

    assert reads(DANA) == [
        ("Front desk", "passed to somebody else", "who connected the same account"),
        ("Front desk", "renamed", "by you, before: ann@client.example"),
        ("Front desk", "connected", "by you"),
    ]


def test_who_had_it_twice_reads_both_times_and_nothing_between(connect, reads):
    held = connect(DANA).connection
    connect(SAM)
    connections.rename(held, "Sam's private name", by=Actor.client(SAM))
    connect(DANA)

    said = reads(DANA)

    assert [(act, how) for _name, act, how in said] == [
        ("connected again", "by you"),
        ("became yours", "as you connected the same account"),
        ("passed to somebody else", "who connected the same account"),
        ("connected", "by you"),
    ]
    assert SAM not in str(said)
    assert reads(SAM) is None


def test_members_read_the_whole_of_what_is_theirs_as_before(workspace, connect, reads):
    factories.make_member(workspace, SAM, "Sam")
    connect(DANA)
    connect(SAM)

    assert [(act, how) for _name, act, how in reads(SAM)] == [
        ("connected again", "by you"),
        ("became yours", "as you connected the same account"),
        ("connected", f"by {DANA}"),
    ]


def test_a_member_reads_to_whom_theirs_passed(workspace, connect, reads):
    factories.make_member(workspace, DANA, "Dana")
    connect(DANA)
    connect(SAM)

    assert reads(DANA)[0][1:] == (f"passed to {SAM}", "who connected the same account")


def test_what_was_deleted_since_is_not_read_by_whoever_had_it(workspace, connect, reads):
    factories.make_member(workspace, DANA, "Dana")
    held = connect(DANA).connection
    connect(SAM)
    change(held, health=Health.REVOKED, deleted_at=clock.now())

    assert reads(DANA) == []


def test_who_is_no_member_is_told_no_address_of_others(workspace, owner, connect, reads):
    held = connect(SAM).connection
    with transaction():
        for act, data in (
            ("connection.reauthorize_asked", {"recipient": DANA}),
            ("connection.owner_left", {"owner": DANA}),
            ("connection.owner_returned", {"owner": DANA}),
        ):
            audit.record(act, held, by=owner, at=clock.now(), **data)
        audit.record("connection.updated", held, by=Actor.client(DANA), at=clock.now())

    said = reads(SAM)

    assert len(said) == 5
    assert DANA not in str(said)
    assert owner.email not in str(said)
