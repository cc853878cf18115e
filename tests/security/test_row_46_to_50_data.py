"""Tenants, fields, the audit trail, and input that stays input."""

import re
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from app.extensions import db
from app.models import AuditEvent, OutboxItem, Source, Staff, Status, Workspace
from app.services import (
    callbacks,
    connection_requests,
    members,
    sending,
    slots,
    workflows,
    workspaces,
)
from app.tenancy import TenantMissing
from tests import factories
from tests.support.browsing import Browser, StubbedProvider
from tests.support.rows import rows_of

ROOT = Path(__file__).resolve().parents[2]


# ── Row 46 ──────────────────────────────────────────────────────────────────


def test_row_46_nothing_of_a_tenant_is_touched_without_saying_whose(scenery):
    """`tests/test_database.py` has every way round it; `test_row_46_tenants.py` walks all addresses with foreign ids."""
    with scenery.app.app_context():
        for model in (Workspace, Staff, OutboxItem, AuditEvent):
            with pytest.raises(TenantMissing):
                db.session.scalars(select(model)).all()
        db.session.remove()


def test_row_46_one_agency_sees_none_of_the_other(scenery):
    with scenery.acting(scenery.ours) as (agency, owner):
        assert {row.agency_id for row in db.session.scalars(select(AuditEvent))} == {agency.id}
        theirs = scenery.theirs.names
        for look in (
            lambda: connection_requests.get(agency, theirs["request_id"]),
            lambda: workflows.get(db.session.scalars(select(Workspace)).one(), theirs["workflow_id"]),
            lambda: connection_requests.cancel(agency, theirs["request_id"], by=owner),
            lambda: sending.resend(agency, theirs["request_id"], by=owner),
        ):
            with pytest.raises(Exception, match="There is nothing here"):
                look()


def test_row_46_a_client_sees_one_workspace_of_one_agency(scenery, clock):
    """A second workspace of the same agency stays out of sight."""
    with scenery.acting(scenery.ours) as (agency, owner):
        other = factories.make_workspace(agency, "Cobalt")
        workflow = factories.make_workflow(other, owner, ("slack", "find_user"), name="Theirs alone")
        (asked,) = factories.make_sent(workflow, owner)
        bundle_id, request_id = asked.bundle.public_id, asked.public_id
    browser = scenery.client(scenery.ours)

    assert browser.get(f"/connect/{bundle_id}").status_code == 404
    html = browser.get(f"/connect/{scenery.ours.names['bundle_id']}").text
    assert "Theirs alone" not in html
    path = f"/connect/{scenery.ours.names['bundle_id']}/requests/{request_id}/decline"
    assert browser.post(path, data={"csrf_token": scenery.csrf(browser, path)}).status_code == 404


# ── Row 47 ──────────────────────────────────────────────────────────────────

SMUGGLED = {
    "id": "1",
    "agency_id": "2",
    "agency": "2",
    "public_id": "a" * 20,
    "role": "owner",
    "password_hash": "x",
    "disabled_at": "",
    "status": "fulfilled",
    "resends": "0",
    "bundle_id": "1",
    "connection_id": "1",
    "generation": "0",
    "created_by_id": "1",
    "version": "9",
    "mails_per_hour": "9",
    "slug": "evil",
    "workspace_id": "2",
}


def test_row_47_fields_that_no_form_names_are_left_alone(scenery, clock):
    names, browser = scenery.ours.names, scenery.staff(scenery.ours)
    workflow = f"/panel/workspaces/{names['workspace_id']}/workflows/{names['workflow_id']}"
    forms = {
        "/panel/account/name": {"name": "Maya"},
        f"/panel/workspaces/{names['workspace_id']}/rename": {"name": "Harbor Dental"},
        f"{workflow}/rename": {"name": "New patient intake"},
        f"/panel/workspaces/{names['workspace_id']}/members": {"name": "Zoe", "email": "zoe@harbordental.example"},
        f"/panel/requests/{names['request_id']}/recipient": {"recipient": "sam@cobalt-it.example"},
    }
    for path, fields in forms.items():
        data = {**SMUGGLED, **fields, "csrf_token": scenery.csrf(browser, path)}
        assert browser.post(path, data=data).status_code == 303, path

    with scenery.acting(scenery.ours) as (agency, owner):
        asked = connection_requests.get(agency, names["request_id"])
        assert (asked.status, asked.resends, asked.connection_id, asked.recipient) == (
            Status.PENDING,
            0,
            None,
            "sam@cobalt-it.example",
        )
        assert (agency.slug, agency.mails_per_hour, owner.role.value) == (scenery.ours.slug, 1000, "owner")
        assert asked.workflow.version == 0
        roles = {row.email.partition("@")[0]: row.role.value for row in db.session.scalars(select(Staff))}
        assert roles == {"maya": "owner", "tom": "member", "ines": "member"}


def test_row_47_a_client_types_the_fields_of_the_app_and_no_others(scenery, clock):
    browser, names = scenery.client(scenery.ours), scenery.ours.names
    path = f"/connect/{names['bundle_id']}/requests/{names['request_id']}/start"
    data = {
        **SMUGGLED,
        "scope": "admin",
        "redirect_uri": "https://evil.example",
        "state": "x" * 43,
        "client_id": "evil",
    }
    answer = browser.post(path, data=data | {"csrf_token": scenery.csrf(browser, path)})

    assert answer.status_code == 200
    assert not re.search("evil|admin", answer.text)
    with scenery.acting(scenery.ours) as (agency, _):
        assert connection_requests.get(agency, names["request_id"]).typed_fields == {}


def test_row_47_ids_on_the_outside_are_random(scenery):
    ids = [value for name, value in scenery.ours.names.items() if name.endswith("_id")]

    assert len(set(ids)) == len(ids) >= 8
    assert all(re.fullmatch(r"[a-km-np-z2-9]{20}", each) for each in ids)


# ── Row 49 ──────────────────────────────────────────────────────────────────


def acts_of(agency, owner, sent, queued, workflow, stub):
    """Everything that staff and clients do to requests, each as one call."""
    browser = Browser()

    def come_back():
        browser.open(sent[0].bundle)
        state = browser.start(sent[0])
        refuse_audit()
        browser.finish(state)

    return {
        "queue": lambda: factories.make_request(workflow.slots[2], owner),
        "send": lambda: sending.send(workflow, by=owner),
        "publish": lambda: workflows.publish(queued.workflow, by=owner),
        "cancel": lambda: connection_requests.cancel(agency, sent[0].public_id, by=owner),
        "move": lambda: sending.change_recipient(agency, sent[0].public_id, recipient="x@x.example", by=owner),
        "resend": lambda: sending.resend(agency, sent[0].public_id, by=owner),
        "decline": lambda: connection_requests.decline(sent[0], reason=""),
        "callback": come_back,
        "open": lambda: Browser().open(sent[0].bundle),
        "source": lambda: slots.set_source(workflow.slots[2], Source.AGENCY, by=owner),
        "rename": lambda: workflows.rename(workflow, "Another", by=owner),
        "member": lambda: members.add(workflow.workspace, name="Zoe", email="zoe@x.example", by=owner),
    }


ACTS = (
    "queue",
    "send",
    "publish",
    "cancel",
    "move",
    "resend",
    "decline",
    "callback",
    "open",
    "source",
    "rename",
    "member",
)


REFUSING = {  # not as a constraint does, which services may expect
    "sqlite": ["CREATE TRIGGER no_audit BEFORE INSERT ON audit_event BEGIN INSERT INTO no_audit VALUES (1); END"],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION no_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no_audit'; END $$",
        "CREATE TRIGGER no_audit BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION no_audit()",
    ],
}
WRITING = {"sqlite": "DROP TRIGGER IF EXISTS no_audit", "postgresql": "DROP TRIGGER IF EXISTS no_audit ON audit_event"}


def refuse_audit():
    """From now on the database takes no row of the trail, by whatever way it comes."""
    db.session.rollback()
    _execute(REFUSING[db.engine.dialect.name])


def _execute(statements):
    with db.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def trail(standing):
    """The installation, whose trail can be written again afterwards."""
    yield standing
    with standing.app.app_context():
        db.session.remove()
        _execute([WRITING[db.engine.dialect.name]])


@pytest.mark.both_databases
@pytest.mark.parametrize("act", ACTS)
def test_row_49_what_cannot_be_recorded_does_not_happen(trail, clock, monkeypatch, act):
    stub = StubbedProvider()
    monkeypatch.setattr(callbacks, "exchange", stub.exchange)
    monkeypatch.setattr(callbacks, "identify", stub.identify)
    with trail.acting(trail.ours) as (agency, owner):
        workspace = workspaces.get(agency, trail.ours.names["workspace_id"])
        steps = [(app, "find_user" if app == "slack" else "create_deal") for app in ("slack", "hubspot")]
        workflow = factories.make_workflow(workspace, owner, *steps, ("typeform", "new_response"), name="Audited")
        whom = f"{act}@cobalt-it.example"
        asked = factories.make_request(workflow.slots[0], owner, recipient=whom)
        sending.send(workflow, by=owner)
        queued = factories.make_request(workflow.slots[1], owner, recipient=whom)
        publishable = factories.make_workflow(workspace, owner, ("hubspot", "create_deal"), name="Ready to go")
        ready = factories.make_request(publishable.slots[0], owner)
        clock.forward(minutes=6)
        do = acts_of(agency, owner, [asked], ready, workflow, stub)[act]
        before, known = rows_of(agency), set(db.session.scalars(select(OutboxItem.id)))
        if act != "callback":
            refuse_audit()
        with pytest.raises(DBAPIError, match="no_audit"):
            do()
        db.session.rollback()
        after = rows_of(agency)
        if (
            act == "callback"
        ):  # before it the link was opened and the flow begun; after it the grant is to be given back
            for name in ("flow", "intake_session", "audit_event", "bundle", "outbox"):
                before.pop(name), after.pop(name)
            added = db.session.scalars(select(OutboxItem.kind).where(OutboxItem.id.not_in(known))).all()
            assert added == ["grant.discard"]
        assert after == before
        assert queued.status is Status.QUEUED


def test_row_49_the_acts_are_in_the_trail_with_who_and_from_where(scenery, clock):
    browser, path = scenery.staff(scenery.ours), f"/panel/requests/{scenery.ours.names['request_id']}/cancel"
    browser.post(path, data={"csrf_token": scenery.csrf(browser, path)}, environ_base={"REMOTE_ADDR": "203.0.113.49"})

    with scenery.acting(scenery.ours) as (_, owner):
        found = db.session.scalars(select(AuditEvent).where(AuditEvent.type == "request.cancelled")).one()
        assert (found.actor_kind, found.actor, found.address) == ("staff", owner.email, "203.0.113.49")
        assert (found.subject, found.at) == (scenery.ours.names["request_id"], clock.now)


# ── Row 50 ──────────────────────────────────────────────────────────────────

INJECTED = (
    "' OR 1=1 --",
    '"; DROP TABLE staff; --',
    "%",
    "_",
    "{{ 7*7 }}",
    "{% raw %}",
    "${7*7}",
    "<%= 7*7 %>",
    "\\",
    "a' || 'b",
)


@pytest.mark.parametrize("text", INJECTED)
def test_row_50_input_is_neither_sql_nor_template(scenery, clock, text):
    browser = scenery.staff(scenery.ours)
    path = f"/panel/workspaces/{scenery.ours.names['workspace_id']}/rename"
    assert browser.post(path, data={"name": text, "csrf_token": scenery.csrf(browser, path)}).status_code == 303

    html = browser.get("/panel/workspaces").text
    assert "49" not in re.sub(r'"[^"]*"', "", re.sub(r"<[^>]*>", "", html))
    with scenery.acting(scenery.ours):
        assert db.session.scalars(select(Workspace.name)).all() == [text]
    for search in INJECTED:
        found = browser.get("/panel/workspaces", query_string={"q": search})
        assert found.status_code == 200
    page = browser.get("/panel/workspaces", query_string={"after": text, "before": text})
    assert page.status_code == 200


def test_row_50_searching_for_a_wildcard_finds_it_alone(scenery, clock):
    browser = scenery.staff(scenery.ours)
    assert ">Harbor Dental<" in browser.get("/panel/workspaces", query_string={"q": "harbor"}).text
    for search in ("%", "_", "%%%"):
        assert ">Harbor Dental<" not in browser.get("/panel/workspaces", query_string={"q": search}).text


@pytest.mark.parametrize("name", ["app.txt", "dev.txt"])
def test_row_50_every_dependency_is_pinned_with_its_hashes(name):
    text = (ROOT / "constraints" / name).read_text()
    lines = [
        line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]

    assert len(lines) > 30
    for line in lines:
        assert re.match(r"[A-Za-z0-9._\[\],-]+==[^ ;]+( *;[^-]*)? +--hash=sha256:[0-9a-f]{64}", line), line[:80]
    assert "://" not in text
