from datetime import timedelta

import pytest
from sqlalchemy import select

from app import clock as app_clock
from app.errors import NotFound, Refused
from app.extensions import db
from app.models import AuditEvent, Member, OutboxItem, PortalSession
from app.services import letters, members
from tests import factories
from tests.support.shared_app import *  # noqa: F403

pytestmark = pytest.mark.both_databases


def audited():
    rows = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id))
    return [(row.type, row.workspace_id, row.subject) for row in rows]


def test_add_makes_a_member_of_this_workspace_alone(agency, owner, workspace):
    other = factories.make_workspace(agency, "Tannery Row")
    member = members.add(workspace, name="Dana Reyes", email="Dana.Reyes@HarborDental.example", by=owner)

    assert [each.email for each in members.page(workspace).items] == ["dana.reyes@harbordental.example"]
    assert members.page(other).items == []
    assert audited() == [("member.added", workspace.id, member.public_id)]


@pytest.mark.parametrize(
    ("name", "email", "field"),
    [
        ("", "dana@harbordental.example", "name"),
        ("x" * 81, "dana@harbordental.example", "name"),
        ("Dana\r\nBcc: x", "dana@harbordental.example", "name"),
        ("Dana", "", "email"),
        ("Dana", "dana@harbordental", "email"),
        ("Dana", "dana@harbordental.example, eve@elsewhere.example", "email"),
        ("Dana", "Dana <dana@harbordental.example>", "email"),
    ],
)
def test_add_refuses_bad_input_at_its_field(owner, workspace, name, email, field):
    with pytest.raises(Refused) as refused:
        members.add(workspace, name=name, email=email, by=owner)

    assert refused.value.field == field


def test_add_refuses_a_second_of_the_same_address_until_the_first_is_removed(owner, workspace):
    first = members.add(workspace, name="Dana", email="dana@harbordental.example", by=owner)
    with pytest.raises(Refused, match="This address is a member already") as refused:
        members.add(workspace, name="Dana again", email="DANA@harbordental.example", by=owner)
    assert refused.value.field == "email"

    members.remove(workspace, first.public_id, by=owner)
    second = members.add(workspace, name="Dana again", email="dana@harbordental.example", by=owner)

    assert members.page(workspace).items == [second]


def test_remove_happens_once(owner, workspace):
    member = factories.make_member(workspace)
    members.remove(workspace, member.public_id, by=owner)

    assert members.page(workspace).items == []
    with pytest.raises(NotFound):
        members.remove(workspace, member.public_id, by=owner)
    assert audited() == [("member.removed", workspace.id, member.public_id)]


def test_get_knows_members_of_this_workspace_only(agency, owner, workspace, stranger):
    elsewhere = factories.make_member(factories.make_workspace(agency, "Tannery Row"))
    with factories.across_tenants("a test's setting"):
        foreign = factories.make_member(factories.make_workspace(stranger.agency, "Kestrel")).public_id

    for public_id in (elsewhere.public_id, foreign, "nobody"):
        with pytest.raises(NotFound):
            members.get(workspace, public_id)
        with pytest.raises(NotFound):
            members.remove(workspace, public_id, by=owner)


def test_counts_leaves_out_who_was_removed(agency, owner, workspace):
    other = factories.make_workspace(agency, "Tannery Row")
    gone = factories.make_member(workspace, "dana@harbordental.example")
    factories.make_member(workspace, "priya@harbordental.example")
    members.remove(workspace, gone.public_id, by=owner)

    assert members.counts([workspace, other]) == {workspace.id: 1}


# ── What they own ───────────────────────────────────────────────────────────

DANA = "dana@harbordental.example"
NOON = app_clock.now().replace(hour=12)  # what is counted by the day is then counted in one


def test_what_a_removed_member_owned_passes_to_the_others_and_back(owner, workspace, clock):
    member = members.add(workspace, name="Dana", email=DANA, by=owner)
    own = factories.make_connection(workspace, owner_email=DANA)
    other = factories.make_connection(workspace, "hubspot", owner_email="ann@harbordental.example")

    assert members.remove(workspace, member.public_id, by=owner) == 1
    assert (own.owner_left_at, other.owner_left_at) == (clock.now, None)

    members.add(workspace, name="Dana", email=DANA, by=owner)
    assert own.owner_left_at is None
    assert [act for act, _, subject in audited() if subject == own.public_id] == [
        "connection.owner_left",
        "connection.owner_returned",
    ]


def test_what_they_own_elsewhere_stays_theirs(agency, owner, workspace):
    member = members.add(workspace, name="Dana", email=DANA, by=owner)
    elsewhere = factories.make_connection(factories.make_workspace(agency, "Tannery Row"), owner_email=DANA)

    assert members.remove(workspace, member.public_id, by=owner) == 0
    assert elsewhere.owner_left_at is None


def test_removing_ends_their_sessions_there_alone(app, agency, owner, workspace):
    elsewhere = factories.make_workspace(agency, "Tannery Row")
    member = members.add(workspace, name="Dana", email=DANA, by=owner)
    for place in (workspace, elsewhere):
        factories.signed_in_client(app, DANA, place)

    members.remove(workspace, member.public_id, by=owner)

    assert db.session.scalars(select(PortalSession.workspace_id)).all() == [elsewhere.id]


def invitations_due(email=DANA):
    found = (
        select(OutboxItem.due_at)
        .join(Member, Member.id == OutboxItem.payload["member"].as_integer())
        .where(OutboxItem.kind == letters.INVITED, Member.email == email)
    )
    return sorted(db.session.scalars(found))


def test_removing_and_adding_again_passes_none_of_the_limits_of_invitations(agency, owner, workspace, clock):
    clock.to(NOON)
    for _ in range(12):
        clock.forward(seconds=30)
        member = members.add(workspace, name="Dana", email=DANA, by=owner)
        members.remove(workspace, member.public_id, by=owner)

    due = invitations_due()
    assert len(due) == 4
    assert due[0] == NOON + timedelta(seconds=30)
    assert all(each - due[0] >= timedelta(minutes=5) for each in due[1:])
    back = members.add(workspace, name="Dana", email=DANA, by=owner)
    with pytest.raises(Refused, match="three times"):
        members.invite_again(workspace, back.public_id, by=owner)
    elsewhere = factories.make_workspace(agency, "Tannery Row")
    members.add(elsewhere, name="Dana", email=DANA, by=owner)
    members.add(workspace, name="Tom", email="tom@harbordental.example", by=owner)
    assert (len(invitations_due()), len(invitations_due("tom@harbordental.example"))) == (5, 1)


def test_who_comes_back_the_next_day_is_invited_at_once(owner, workspace, clock):
    clock.to(NOON)
    first = members.add(workspace, name="Dana", email=DANA, by=owner)
    members.remove(workspace, first.public_id, by=owner)
    clock.forward(days=1)
    members.add(workspace, name="Dana", email=DANA, by=owner)

    assert invitations_due() == [NOON, NOON + timedelta(days=1)]


def test_an_invitation_waits_five_minutes_and_three_in_a_day_are_enough(owner, workspace, clock):
    clock.to(NOON)
    member = members.add(workspace, name="Dana", email=DANA, by=owner)
    with pytest.raises(Refused, match="five minutes"):
        members.invite_again(workspace, member.public_id, by=owner)
    for hours in (1, -3, 2):
        clock.leap(hours=hours)
        with pytest.raises(Refused, match="five minutes"):
            members.invite_again(workspace, member.public_id, by=owner)
    for _ in range(3):
        clock.forward(minutes=5)
        members.invite_again(workspace, member.public_id, by=owner)
    clock.forward(minutes=5)

    with pytest.raises(Refused, match="three times"):
        members.invite_again(workspace, member.public_id, by=owner)
    sent = db.session.scalars(select(OutboxItem.key).where(OutboxItem.key.startswith(member.public_id))).all()
    assert sorted(sent) == [f"{member.public_id}:{number}" for number in (1, 2, 3, 4)]
