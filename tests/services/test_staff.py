import threading

import pytest
from sqlalchemy import select

from app.errors import Conflict, Forbidden, NotFound, Refused
from app.extensions import db
from app.models import AuditEvent, Role, Staff
from app.services import passwords, staff, staff_sessions
from app.services.staff_passwords import Proven
from app.tenancy import acting_for
from tests import factories
from tests.support.shared_app import *  # noqa: F403

pytestmark = pytest.mark.both_databases


@pytest.fixture
def admin(agency):
    return factories.make_staff(agency, "Ines Duarte", role=Role.ADMIN)


def began(person, id_hash):
    staff_sessions.start(Proven(person, person.password_hash), id_hash=id_hash)


def other_owner(agency):
    return factories.make_staff(agency, "Olu Owner", role=Role.OWNER)


def audited():
    rows = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id))
    return [(row.type, row.actor, row.subject) for row in rows]


def test_add_gives_a_one_time_password_that_is_stored_as_a_hash(agency, owner):
    person, password = staff.add(
        agency, name=" Ines Duarte ", email="Ines@Northwind.Example", role=Role.ADMIN, by=owner
    )

    assert (person.name, person.email, person.role) == ("Ines Duarte", "ines@northwind.example", Role.ADMIN)
    assert passwords.is_one_time(person.password_hash)
    assert passwords.matches(person.password_hash, password.reveal())
    assert audited() == [("staff.added", owner.email, person.public_id)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "Ines\u202eDuarte"}, "name"),
        ({"email": "ines"}, "email"),
        ({"email": "a@b.example, c@d.example"}, "email"),
    ],
)
def test_add_refuses_bad_input_at_its_field(agency, owner, changes, field):
    given = {"name": "Ines", "email": "ines@northwind.example", "role": Role.MEMBER} | changes
    with pytest.raises(Refused) as refused:
        staff.add(agency, **given, by=owner)

    assert refused.value.field == field
    assert audited() == []


def test_add_refuses_an_address_that_signs_in_already_even_at_another_agency(agency, owner, stranger):
    for taken in (owner.email, stranger.email):
        with pytest.raises(Refused, match="Somebody signs in with this address already") as refused:
            staff.add(agency, name="Ines", email=taken, role=Role.MEMBER, by=owner)
        assert refused.value.field == "email"


def test_add_lets_only_owners_make_owners(agency, owner, admin):
    with pytest.raises(Refused, match="Only an owner") as refused:
        staff.add(agency, name="Ole", email="ole@northwind.example", role=Role.OWNER, by=admin)
    assert refused.value.field == "role"

    staff.add(agency, name="Ole", email=f"ole@{agency.slug}.example", role=Role.OWNER, by=owner)


def test_get_finds_ones_own_people_only(agency, owner, stranger):
    assert staff.get(agency, owner.public_id).id == owner.id
    for foreign in (stranger.public_id, "nobody"):
        with pytest.raises(NotFound):
            staff.get(agency, foreign)


def test_page_lists_ones_own_people_only(agency, owner, teammate, stranger):
    assert {each.id for each in staff.page(agency).items} == {owner.id, teammate.id}


def test_change_role_is_written_down(agency, owner, teammate):
    staff.change_role(agency, teammate.public_id, role=Role.ADMIN, by=owner)
    staff.change_role(agency, teammate.public_id, role=Role.ADMIN, by=owner)

    assert teammate.role is Role.ADMIN
    assert audited() == [("staff.role_changed", owner.email, teammate.public_id)]


def changes(agency, person, by):
    return [
        lambda: staff.change_role(agency, person.public_id, role=Role.MEMBER, by=by),
        lambda: staff.disable(agency, person.public_id, by=by),
        lambda: staff.renew_password(agency, person.public_id, by=by),
        lambda: staff.enable(agency, person.public_id, by=by),
    ]


def test_nobody_changes_themselves(agency, owner):
    for change in changes(agency, owner, owner):
        with pytest.raises(Forbidden):
            change()


def test_members_change_nobody(agency, owner, admin, teammate):
    for person in (owner, admin):
        for change in changes(agency, person, teammate):
            with pytest.raises(Forbidden):
                change()


def test_admins_do_not_change_owners(agency, owner, admin):
    for change in changes(agency, owner, admin):
        with pytest.raises(Forbidden):
            change()


def test_nobody_changes_a_stranger(agency, owner, stranger):
    for change in changes(agency, stranger, owner):
        with pytest.raises(NotFound):
            change()


def test_owners_change_each_other(agency, owner):
    other = other_owner(agency)
    staff.change_role(agency, other.public_id, role=Role.MEMBER, by=owner)

    assert other.role is Role.MEMBER


def test_the_last_owner_stays_one(agency, owner, admin):
    """Only by a mistake elsewhere could somebody else be allowed to try."""
    with pytest.raises(Conflict, match="needs an owner"):
        staff._keep_an_owner(db.session(), owner)

    staff._keep_an_owner(db.session(), admin)
    other_owner(agency)
    staff._keep_an_owner(db.session(), owner)


def test_two_owners_who_unmake_each_other_at_once_leave_one(app, agency, owner):
    other = other_owner(agency)
    ids, agency_id = [owner.id, other.id], agency.id
    ready, answers = threading.Barrier(2), []

    def unmake(by_id, other_id):
        with app.app_context(), acting_for(agency_id):
            by, victim = db.session.get_one(Staff, by_id), db.session.get_one(Staff, other_id)
            own_agency, key = by.agency, victim.public_id
            ready.wait(60)
            try:
                staff.disable(own_agency, key, by=by)
                answers.append("done")
            except Forbidden:
                answers.append("refused")

    threads = [threading.Thread(target=unmake, args=pair) for pair in (ids, ids[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == ["done", "refused"]


def test_disable_ends_every_session_and_enable_asks_for_a_new_password(agency, owner, teammate):
    began(teammate, b"1" * 32)
    staff.disable(agency, teammate.public_id, by=owner)

    assert staff_sessions.resume(b"1" * 32) is None
    assert teammate.disabled_at
    with pytest.raises(Conflict):
        staff.disable(agency, teammate.public_id, by=owner)

    password = staff.enable(agency, teammate.public_id, by=owner)

    assert staff_sessions.authenticate(teammate.email, password.reveal()).person.id == teammate.id
    with pytest.raises(Refused):
        staff_sessions.authenticate(teammate.email, factories.PASSWORD)
    with pytest.raises(Conflict):
        staff.enable(agency, teammate.public_id, by=owner)


def test_renew_password_ends_the_old_one_and_its_sessions(agency, owner, teammate):
    began(teammate, b"2" * 32)
    password = staff.renew_password(agency, teammate.public_id, by=owner)

    assert staff_sessions.resume(b"2" * 32) is None
    assert passwords.matches(teammate.password_hash, password.reveal())
    assert audited()[-1] == ("staff.password_renewed", owner.email, teammate.public_id)


def test_rename_is_for_oneself(teammate):
    staff.rename(teammate, " Thomas\u00a0Achterberg ")

    assert teammate.name == "Thomas\u00a0Achterberg"
    with pytest.raises(Refused):
        staff.rename(teammate, " ")


def test_last_seen_says_when_somebody_was_last_active(owner, teammate, clock):
    began(owner, b"4" * 32)
    clock.forward(minutes=5)
    began(owner, b"5" * 32)

    assert staff.last_seen([owner, teammate]) == {owner.id: clock.now}
