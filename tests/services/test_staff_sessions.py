import hashlib
import itertools
import secrets
import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.errors import Conflict, RateLimited, Refused
from app.extensions import db
from app.models import Agency, AuditEvent, Role, Staff, StaffSession
from app.services import passwords, staff, staff_sessions
from app.services.staff_passwords import Proven
from app.tenancy import acting_for
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.statements import counted

pytestmark = pytest.mark.both_databases


def fresh_id():
    return hashlib.sha256(secrets.token_bytes(8)).digest()


def began(person, *, id_hash=None, **more):
    id_hash = id_hash or fresh_id()
    staff_sessions.start(Proven(person, person.password_hash), id_hash=id_hash, **more)
    return id_hash


def audited(kind):
    return [row.subject for row in db.session.scalars(select(AuditEvent).where(AuditEvent.type == kind))]


def test_authenticate_finds_the_person_however_they_write_their_address(owner):
    found = staff_sessions.authenticate(f"  {owner.email.upper()} ", factories.PASSWORD)

    assert found.person.id == owner.id


def test_authenticate_refuses_a_wrong_password_and_nobody_in_the_same_words(owner):
    answers = set()
    for email in (owner.email, "nobody@nowhere.example"):
        with pytest.raises(Refused) as refused:
            staff_sessions.authenticate(email, "not the password")
        answers.add((str(refused.value), refused.value.field))

    assert answers == {("This e-mail address and password do not match.", None)}
    assert audited("staff.sign_in_failed") == [owner.public_id]


def test_authenticate_does_the_same_work_for_nobody(owner, monkeypatch):
    verified = []
    matches = passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda stored, typed: verified.append(typed) or matches(stored, typed))
    work = []
    for email in (owner.email, "nobody@nowhere.example"):
        db.session.rollback()
        with counted() as statements, pytest.raises(Refused):
            staff_sessions.authenticate(email, "not the password")
        work.append([statement.split()[0] for statement in statements])

    assert work[0] == work[1]
    assert len(verified) == 2


def test_authenticate_refuses_the_disabled_as_if_they_were_nobody(owner, teammate):
    staff.disable(owner.agency, teammate.public_id, by=owner)

    with pytest.raises(Refused, match="do not match"):
        staff_sessions.authenticate(teammate.email, factories.PASSWORD)


def test_authenticate_takes_a_one_time_password_for_seven_days(owner, clock):
    person, password = staff.add(
        owner.agency, name="Ines", email=f"ines@{owner.agency.slug}.example", role=Role.MEMBER, by=owner
    )
    clock.forward(days=6, hours=23)
    assert staff_sessions.authenticate(person.email, password.reveal()).person.id == person.id

    clock.forward(hours=1)
    with pytest.raises(Refused, match="do not match"):
        staff_sessions.authenticate(person.email, password.reveal())


def test_authenticate_hashes_anew_once_the_parameters_are_raised(owner):
    old = passwords._hasher(light=False).hash(factories.PASSWORD.encode())
    with factories.transaction():
        owner.password_hash = old

    staff_sessions.authenticate(owner.email, factories.PASSWORD)

    assert owner.password_hash != old
    assert not passwords.is_outdated(owner.password_hash)
    assert passwords.matches(owner.password_hash, factories.PASSWORD)


def come_from(address):
    db.session().info["address"] = address


def networks():
    """Addresses that nobody in this module has come from."""
    site = secrets.token_hex(2)
    return (f"2001:db8:{site}:{number:x}::1" for number in range(2**16))


def try_wrong(email, times):
    for _ in range(times):
        with pytest.raises(Refused):
            staff_sessions.authenticate(email, "not the password")


@pytest.mark.parametrize("known", [True, False])
def test_authenticate_stops_a_visitor_after_ten_tries_at_one_address_whoever_it_is(owner, clock, known):
    email = owner.email if known else f"{secrets.token_hex(4)}@nowhere.example"
    come_from(next(networks()))
    try_wrong(email, 10)

    with pytest.raises(RateLimited) as limited:
        staff_sessions.authenticate(email, factories.PASSWORD)

    assert 0 < limited.value.retry_after <= 900
    clock.forward(seconds=limited.value.retry_after)
    try_wrong(email, 1)


def test_authenticate_lets_nobodys_wrong_tries_shut_the_owner_out(owner, clock):
    elsewhere, here = itertools.islice(networks(), 2)
    come_from(elsewhere)
    try_wrong(owner.email, 10)
    for _ in range(300):
        with pytest.raises(RateLimited):
            staff_sessions.authenticate(owner.email, "not the password")

    come_from(here)
    assert staff_sessions.authenticate(owner.email, factories.PASSWORD).person.id == owner.id


def test_authenticate_stops_a_visitor_who_tries_many_addresses(owner, clock):
    come_from(next(networks()))
    for number in range(50):
        try_wrong(f"{number}-{secrets.token_hex(3)}@nowhere.example", 1)

    with pytest.raises(RateLimited):
        staff_sessions.authenticate(owner.email, factories.PASSWORD)


@pytest.mark.parametrize("known", [True, False])
def test_authenticate_stops_many_visitors_at_one_account_but_not_a_familiar_one(owner, clock, known):
    email = owner.email if known else f"{secrets.token_hex(4)}@nowhere.example"
    home, *others, stranger = itertools.islice(networks(), 22)
    come_from(home)
    began(owner)
    for other in others:
        come_from(other)
        try_wrong(email, 10)

    come_from(stranger)
    with pytest.raises(RateLimited):
        staff_sessions.authenticate(email, factories.PASSWORD)
    come_from(home)
    assert staff_sessions.authenticate(owner.email, factories.PASSWORD).person.id == owner.id


def test_resume_finds_the_person_and_their_agency(owner):
    found = staff_sessions.resume(began(owner, user_agent="Browser" * 99))

    assert (found.staff.id, found.staff.agency.id) == (owner.id, owner.agency_id)
    assert len(found.user_agent) == 255
    assert staff_sessions.resume(fresh_id()) is None


def test_resume_ends_after_two_idle_hours(owner, clock):
    id_hash = began(owner)
    clock.forward(hours=1, minutes=59)
    assert staff_sessions.resume(id_hash)
    clock.forward(hours=1, minutes=59)
    assert staff_sessions.resume(id_hash)

    clock.forward(hours=2)
    assert staff_sessions.resume(id_hash) is None


def test_resume_ends_after_twelve_hours_however_busy(owner, clock):
    id_hash = began(owner)
    for _ in range(11):
        clock.forward(hours=1)
        assert staff_sessions.resume(id_hash)
    clock.forward(minutes=59)
    assert staff_sessions.resume(id_hash)

    clock.forward(minutes=1)
    assert staff_sessions.resume(id_hash) is None


def test_resume_takes_no_poll_for_a_sign_of_life(owner, clock):
    id_hash = began(owner)
    for _ in range(7):
        clock.forward(minutes=15)
        assert staff_sessions.resume(id_hash, is_poll=True)

    clock.forward(minutes=15)
    assert staff_sessions.resume(id_hash, is_poll=True) is None


def test_resume_writes_at_most_once_a_minute(owner, clock):
    id_hash = began(owner)
    clock.forward(seconds=59)
    with counted() as statements:
        staff_sessions.resume(id_hash)
    assert statements.writes == []

    clock.forward(seconds=1)
    with counted() as statements:
        staff_sessions.resume(id_hash)
    assert len(statements.writes) == 1


def test_resume_ends_with_the_persons_access(owner, teammate):
    id_hash = began(teammate)
    staff.disable(owner.agency, teammate.public_id, by=owner)

    assert staff_sessions.resume(id_hash) is None


def test_start_lets_nobody_in_whose_password_was_reset_since_they_proved_it(agency, owner, teammate):
    proven = staff_sessions.authenticate(teammate.email, factories.PASSWORD)
    staff.renew_password(agency, teammate.public_id, by=owner)

    with pytest.raises(Conflict, match="Your password was changed meanwhile"):
        staff_sessions.start(proven, id_hash=fresh_id())

    assert staff_sessions.of(teammate) == []


def test_start_lets_nobody_in_who_was_disabled_since(agency, owner, teammate):
    proven = staff_sessions.authenticate(teammate.email, factories.PASSWORD)
    staff.disable(agency, teammate.public_id, by=owner)

    with pytest.raises(Conflict):
        staff_sessions.start(proven, id_hash=fresh_id())


def test_start_and_a_reset_at_once_both_come_to_their_end(app, agency, owner, teammate, monkeypatch):
    """The reset waits for the sign-in, which needs the agency's row for its own."""
    ids, room, answers = (agency.id, owner.id, teammate.public_id), staff_sessions._make_room, []

    def reset():
        with app.app_context(), acting_for(ids[0]):
            staff.renew_password(db.session.get_one(Agency, ids[0]), ids[2], by=db.session.get_one(Staff, ids[1]))
            answers.append("reset")

    other = threading.Thread(target=reset)

    def make_room(*given):
        other.start()
        other.join(0.5)
        room(*given)

    monkeypatch.setattr(staff_sessions, "_make_room", make_room)
    id_hash = began(teammate)
    other.join(20)

    assert answers == ["reset"]
    assert staff_sessions.resume(id_hash) is None


def test_start_takes_the_place_of_the_browsers_former_session(owner):
    before = began(owner)
    began(owner, replacing=before)

    assert staff_sessions.resume(before) is None
    assert audited("staff.signed_in") == [owner.public_id] * 2


def test_start_lets_the_oldest_of_twenty_go(owner, clock):
    ids = []
    for _ in range(21):
        clock.forward(seconds=1)
        ids.append(began(owner))

    assert staff_sessions.resume(ids[0]) is None
    assert [each.id_hash for each in staff_sessions.of(owner)] == ids[:0:-1]


def test_start_forgets_sessions_that_are_over(owner, clock):
    began(owner)
    clock.forward(hours=3)
    began(owner)

    assert db.session.scalar(select(func.count()).select_from(StaffSession)) == 1


def test_of_lists_ones_own_live_sessions_alone(owner, teammate, clock):
    began(owner)
    began(teammate)
    clock.forward(hours=1)
    latest = began(owner)
    clock.forward(hours=1, minutes=30)

    assert [each.id_hash for each in staff_sessions.of(owner)] == [latest]


def test_end_signs_out_of_one_browser_once(owner):
    here, elsewhere = began(owner), began(owner)
    staff_sessions.end(owner, here)
    staff_sessions.end(owner, here)

    assert staff_sessions.resume(here) is None
    assert staff_sessions.resume(elsewhere)
    assert audited("staff.signed_out") == [owner.public_id]


def test_end_leaves_the_sessions_of_others_alone(owner, teammate):
    theirs = began(teammate)
    staff_sessions.end(owner, theirs)

    assert staff_sessions.resume(theirs)


def test_end_all_signs_out_everywhere_and_nobody_else(owner, teammate):
    mine, theirs = [began(owner), began(owner)], began(teammate)
    staff_sessions.end_all(owner)

    assert [staff_sessions.resume(each) for each in mine] == [None, None]
    assert staff_sessions.resume(theirs)
    assert audited("staff.signed_out_everywhere") == [owner.public_id]


def test_a_session_is_stored_as_a_hash_alone(owner):
    session_id = secrets.token_urlsafe(32)
    began(owner, id_hash=hashlib.sha256(session_id.encode()).digest())

    row = db.session.scalars(select(StaffSession)).one()
    assert row.id_hash != session_id.encode()
    assert row.expires_at - row.created_at == timedelta(hours=12)
