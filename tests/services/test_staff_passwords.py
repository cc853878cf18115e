import secrets

import pytest
from sqlalchemy import select

from app.errors import Conflict, NotFound, RateLimited, Refused
from app.extensions import db
from app.models import Agency, AuditEvent, Staff
from app.services import passwords, staff, staff_passwords, staff_sessions
from app.services.staff_passwords import Proven
from app.tenancy import acting_for
from tests import factories
from tests.support.shared_app import *  # noqa: F403

pytestmark = pytest.mark.both_databases

NEW = "another harbour at dusk"


def began(proven):
    id_hash = secrets.token_bytes(32)
    staff_sessions.start(proven, id_hash=id_hash)
    return id_hash


@pytest.fixture
def signed_in(teammate):
    """The session that a teammate has."""
    return began(Proven(teammate, teammate.password_hash))


@pytest.fixture
def meanwhile(app, agency, monkeypatch):
    """Have something done by an owner elsewhere just before a new password is stored."""
    agency_id, real = agency.id, passwords.hashed

    def arrange(act, owner, person):
        owner_id, key = owner.id, person.public_id

        def hashed(password):
            monkeypatch.setattr(passwords, "hashed", real)
            with app.app_context(), acting_for(agency_id):
                act(db.session.get_one(Agency, agency_id), key, by=db.session.get_one(Staff, owner_id))
            return real(password)

        monkeypatch.setattr(passwords, "hashed", hashed)

    return arrange


def audited():
    return [(row.type, row.actor) for row in db.session.scalars(select(AuditEvent).order_by(AuditEvent.id))]


def test_change_wants_the_current_one_and_ends_all_sessions(teammate, signed_in):
    with pytest.raises(Refused) as refused:
        staff_passwords.change(teammate, current="not the password", new=NEW)
    assert refused.value.field == "current"

    proven = staff_passwords.change(teammate, current=factories.PASSWORD, new=NEW)

    assert passwords.matches(teammate.password_hash, NEW)
    assert staff_sessions.resume(signed_in) is None
    began(proven)
    assert audited()[-2:] == [("staff.password_changed", teammate.email), ("staff.signed_in", teammate.email)]


@pytest.mark.parametrize("new", ["short", factories.PASSWORD])
def test_change_refuses_a_poor_or_the_same_one(teammate, new):
    with pytest.raises(Refused) as refused:
        staff_passwords.change(teammate, current=factories.PASSWORD, new=new)

    assert refused.value.field == "new"


def test_change_lets_nobody_guess_the_current_one(teammate, clock):
    for _ in range(10):
        with pytest.raises(Refused):
            staff_passwords.change(teammate, current="not the password", new=NEW)

    with pytest.raises(RateLimited):
        staff_passwords.change(teammate, current=factories.PASSWORD, new=NEW)


def test_change_does_not_undo_a_reset_that_came_in_between(owner, teammate, signed_in, meanwhile):
    meanwhile(staff.renew_password, owner, teammate)

    with pytest.raises(Conflict, match="Your password was changed meanwhile"):
        staff_passwords.change(teammate, current=factories.PASSWORD, new=NEW)

    assert passwords.is_one_time(teammate.password_hash)
    assert not passwords.matches(teammate.password_hash, NEW)
    assert ("staff.password_changed", teammate.email) not in audited()


def test_change_is_too_late_once_access_was_taken_away(owner, teammate, meanwhile):
    meanwhile(staff.disable, owner, teammate)

    with pytest.raises(Conflict):
        staff_passwords.change(teammate, current=factories.PASSWORD, new=NEW)

    assert passwords.matches(teammate.password_hash, factories.PASSWORD)


def test_what_was_proven_is_worth_nothing_after_a_reset(agency, owner, teammate):
    proven = staff_passwords.change(teammate, current=factories.PASSWORD, new=NEW)
    staff.renew_password(agency, teammate.public_id, by=owner)

    with pytest.raises(Conflict):
        began(proven)


def test_what_was_proven_shows_no_password(teammate):
    assert teammate.password_hash not in repr(Proven(teammate, teammate.password_hash))


def test_choose_first_takes_the_place_of_a_one_time_one_and_no_other(agency, owner, teammate):
    staff.renew_password(agency, teammate.public_id, by=owner)
    staff_passwords.choose_first(teammate, NEW)

    assert not passwords.is_one_time(teammate.password_hash)
    with pytest.raises(Conflict, match="already"):
        staff_passwords.choose_first(teammate, "yet another harbour")


def test_choose_first_does_not_undo_a_reset_that_came_in_between(agency, owner, teammate, meanwhile):
    staff.renew_password(agency, teammate.public_id, by=owner)
    before = teammate.password_hash
    meanwhile(staff.renew_password, owner, teammate)

    with pytest.raises(Conflict, match="meanwhile"):
        staff_passwords.choose_first(teammate, NEW)

    assert passwords.is_one_time(teammate.password_hash)
    assert teammate.password_hash != before


def test_rehash_leaves_a_password_alone_that_was_reset_in_between(owner, teammate, meanwhile):
    known = Proven(teammate, teammate.password_hash)
    meanwhile(staff.renew_password, owner, teammate)
    proven = staff_passwords.rehash(known, factories.PASSWORD)

    assert passwords.is_one_time(teammate.password_hash)
    with pytest.raises(Conflict):
        began(proven)


def test_reset_lets_a_sole_owner_back_in_and_ends_their_sessions(owner):
    session = began(Proven(owner, owner.password_hash))
    person, ended = staff_passwords.reset(f" {owner.email.upper()} ", NEW)

    assert (person.id, ended) == (owner.id, 1)
    assert staff_sessions.resume(session) is None
    assert staff_sessions.authenticate(owner.email, NEW).person.id == owner.id
    with pytest.raises(Refused):
        staff_sessions.authenticate(owner.email, factories.PASSWORD)
    assert ("staff.password_renewed", "gatehouse") in audited()


def test_reset_can_be_done_twice(owner):
    staff_passwords.reset(owner.email, NEW)
    _person, ended = staff_passwords.reset(owner.email, NEW)

    assert ended == 0
    assert staff_sessions.authenticate(owner.email, NEW)


def test_reset_takes_the_place_of_a_one_time_password(agency, owner, teammate):
    staff.renew_password(agency, teammate.public_id, by=owner)
    staff_passwords.reset(teammate.email, NEW)

    assert not passwords.is_one_time(teammate.password_hash)


def test_reset_refuses_nobody_the_disabled_and_a_poor_password(agency, owner, teammate):
    staff.disable(agency, teammate.public_id, by=owner)
    before = audited()

    with pytest.raises(NotFound, match=r"Nobody signs in with nobody@nowhere\.example"):
        staff_passwords.reset("nobody@nowhere.example", NEW)
    with pytest.raises(Conflict, match="is disabled"):
        staff_passwords.reset(teammate.email, NEW)
    with pytest.raises(Refused):
        staff_passwords.reset(owner.email, "short")

    assert audited() == before
    assert passwords.matches(owner.password_hash, factories.PASSWORD)
