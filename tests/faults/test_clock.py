"""Clocks are set while we run, differ between hosts, and change to summer time; what is promised holds (R13, R14)."""

import hashlib
import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from app import clock as app_clock
from app.database import transaction
from app.errors import RateLimited
from app.extensions import db
from app.mailer import bundle_sent
from app.models import Recipient, Staff
from app.services import counters, intake, link_tokens, sending, staff_sessions
from app.tenancy import acting_for
from tests import factories
from tests.support import shared_app
from tests.support.databases import migrate
from tests.support.installed import Installation
from tests.support.people import STEP, Crowd, Person, toast_of, token_in
from tests.support.postgres import fresh_database
from tests.support.variant import Change

app_on_postgres, app_on_sqlite = shared_app.apps
agency, app, config, stranger = shared_app.fixtures
both = pytest.mark.both_databases
WAIT = timedelta(minutes=5)
WEEK = timedelta(days=7)


@pytest.fixture
def asked(clock, workspace, owner):
    return factories.make_sent(factories.make_workflow(workspace, owner, STEP), owner)[0]


def resend(agency, asked, owner):
    """Press “Resend”; the seconds that are said to be left, none if it was sent."""
    try:
        sending.resend(agency, asked.public_id, by=owner)
    except RateLimited as limited:
        return limited.retry_after
    return None


# ── A clock that is set ─────────────────────────────────────────────────────


@both
@pytest.mark.parametrize("hours", [1, 26, -1, -26])
def test_a_clock_that_is_set_ahead_or_back_neither_ends_nor_lengthens_a_wait(agency, asked, owner, clock, hours):
    clock.forward(minutes=1)
    clock.leap(hours=hours)

    assert resend(agency, asked, owner) == 240
    clock.forward(minutes=3, seconds=59)
    assert resend(agency, asked, owner) == 1
    clock.forward(seconds=1)
    assert resend(agency, asked, owner) is None
    assert resend(agency, asked, owner) == 300


@both
def test_a_clock_that_was_wrong_for_a_while_neither_ends_nor_lengthens_a_wait(agency, asked, owner, clock):
    clock.leap(hours=3)
    clock.forward(minutes=1)
    clock.leap(hours=-3)

    assert resend(agency, asked, owner) == 240
    clock.forward(minutes=4)
    assert resend(agency, asked, owner) is None


def shortest_wait(agency, asked, owner, clock, *, chance, steps):
    """The least time that truly went by between two mails, while the clock is set again and again."""
    last, shortest, mails = float("-inf"), float("inf"), 0
    for _ in range(steps):
        if chance.random() < 0.2:
            clock.leap(seconds=chance.choice([-1, 1]) * chance.uniform(1, 6 * 3600))
        clock.forward(seconds=chance.uniform(1, 200))
        if resend(agency, asked, owner) is None:
            shortest = min(shortest, clock.steady() - last)
            last, mails = clock.steady(), mails + 1
    return timedelta(seconds=shortest), mails


def test_no_two_mails_are_closer_than_the_rule_however_the_clock_is_set(
    proof, agency, asked, owner, clock, monkeypatch
):
    """Somebody presses “Resend” at random, and the clock is set hours ahead and back in between: measured by a clock
    that nobody sets, no two mails to a recipient are less than five minutes apart.
    """
    monkeypatch.setattr(sending, "MOST_RESENDS", 10**6)
    with monkeypatch.context() as unprotected:
        unprotected.setattr(app_clock, "lead", lambda _since: timedelta(0))
        found, _ = shortest_wait(agency, asked, owner, clock, chance=proof.random, steps=150)
        assert found < WAIT, "a shorter wait would not be noticed"
    clock.forward(days=2)

    shortest, mails = shortest_wait(
        agency, asked, owner, clock, chance=proof.random, steps=proof.size(check=60, prove=5000)
    )
    assert shortest >= WAIT
    proof.title = "Clocks: set by hours, ahead and back"
    proof.figure("mails sent while the clock was set at random", mails)
    proof.figure("least time between two of them", f"{shortest.total_seconds():.1f} s")
    proof.figure("least time with the mend switched off", f"{found.total_seconds():.1f} s")


def opens(asked):
    db.session.rollback()
    db.session.refresh(asked)
    return intake.open_link(link_tokens.of(asked.bundle), id_hash=b"b" * 32).bundle is not None


@both
@pytest.mark.parametrize("hours", [-6, 6])
@pytest.mark.parametrize("made", ["before", "meanwhile"])
def test_a_link_lives_for_its_time_and_at_most_what_the_clock_was_wrong_by(clock, workspace, owner, hours, made):
    asked = None
    if made == "before":
        asked = factories.make_sent(factories.make_workflow(workspace, owner, STEP), owner)[0]
    clock.leap(hours=hours)
    asked = asked or factories.make_sent(factories.make_workflow(workspace, owner, STEP), owner)[0]
    clock.leap(hours=-hours)
    lives = WEEK + (timedelta(hours=hours) if made == "meanwhile" else timedelta(0))

    clock.forward(seconds=lives.total_seconds() - 1)
    assert opens(asked)
    clock.forward(seconds=1)
    assert not opens(asked)


@both
def test_a_session_ends_though_the_clock_be_set_back(app, clock, owner):
    cookie = factories.signed_in(app, owner).get_cookie("gh_staff").value
    session = hashlib.sha256(cookie.encode()).digest()
    clock.leap(hours=-5)
    for _ in range(16):
        assert staff_sessions.resume(session)
        clock.forward(hours=1)
    assert staff_sessions.resume(session)
    clock.forward(hours=1)

    assert staff_sessions.resume(session) is None


@both
def test_a_limit_that_is_spent_is_spent_when_the_clock_comes_back(agency, clock):
    def hit():
        return counters.hit("tries", at=app_clock.now(), window=timedelta(minutes=15), limit=3)

    assert [hit() for _ in range(4)] == [True, True, True, False]
    clock.leap(hours=2)
    assert [hit() for _ in range(4)] == [True, True, True, False]
    clock.leap(hours=-2)
    assert not hit()


# ── Hosts that differ ───────────────────────────────────────────────────────

OWN_CLOCK = Change("app.cli.serve", "    share_clock(db.engine)\n", "")


def off_by(seconds):
    """A host whose clock is wrong by so much."""
    return Change(
        "app.clock", "moment = datetime.now(UTC) if", f"moment = datetime.now(UTC) + timedelta(seconds={seconds}) if"
    )


@pytest.fixture
def installation(postgres_url, tmp_path, smtp):
    with fresh_database(postgres_url) as url:
        migrate(factories.driver(url), tmp_path)
        yield Installation(tmp_path, url, smtp.url)


def mailed_four_minutes_ago(crowd):
    """The address of a request whose recipient has a minute to wait, by the true clock."""
    with crowd.app.app_context(), acting_for(crowd.agency_id):
        owner = db.session.get_one(Staff, crowd.owner_id)
        asked = factories.make_sent(
            factories.make_workflow(factories.make_workspace(owner.agency, secrets.token_hex(4)), owner, STEP), owner
        )
        with transaction() as session:
            session.execute(update(Recipient).values(mailed_at=app_clock.now() - timedelta(minutes=4)))
        path = f"/panel/requests/{asked[0].public_id}/resend"
        db.session.remove()
    return path


def pressed_at(crowd, installation, path, *changes):
    """What staff are told who press “Resend” at a host of that kind."""
    with installation.serve(changes=changes), Person(crowd, crowd.cookies[0]) as staff:
        return toast_of(staff.press(path, token_in(staff.page("/panel/account"))))


def test_hosts_that_differ_by_90_seconds_keep_the_same_wait(proof, installation, smtp):
    """A host whose clock is 90 seconds ahead of the other, or behind, goes by the clock of their database: a recipient
    who was mailed four minutes ago has another minute to wait, whichever host is asked.
    """
    with installation.app() as app:
        crowd = Crowd(app, installation.url, smtp.inbox, staff=1)
        for wrong in (90, -90)[: proof.size(check=1, prove=2)]:
            said = pressed_at(crowd, installation, mailed_four_minutes_ago(crowd), off_by(wrong))
            left = int(re.search(r"available in (\d):(\d\d)", said)[2]) + 60 * int(re.search(r"in (\d):", said)[1])
            assert 30 <= left <= 60
            proof.figure(f"seconds to wait at a host that is {wrong:+} s wrong, of 60", left)
        said = pressed_at(crowd, installation, mailed_four_minutes_ago(crowd), off_by(90), OWN_CLOCK)
        assert "Sent a fresh e-mail" in said, "a wait that is too short would not be noticed"
    proof.title = "Clocks: hosts that differ by 90 seconds"


# ── Summer time ─────────────────────────────────────────────────────────────

CHANGES = [  # the night in which a clock is changed there: ahead, or back; one by half an hour, one that never is
    ("America/New_York", datetime(2027, 3, 14, 6, 59, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2027, 10, 31, 0, 59, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2027, 4, 3, 14, 59, tzinfo=UTC)),
    ("America/Santiago", datetime(2027, 9, 5, 3, 59, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2027, 3, 28, 0, 59, tzinfo=UTC)),
]


@pytest.fixture
def in_zone(monkeypatch):
    """Have the whole host live in a time zone."""

    def live(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield live
    monkeypatch.undo()
    time.tzset()


@both
@pytest.mark.parametrize(("zone", "night"), CHANGES)
@pytest.mark.parametrize("recipient", ["link", "portal"])
def test_a_lifetime_is_elapsed_time_through_the_night_that_clocks_change(
    clock, in_zone, agency, workspace, owner, zone, night, recipient
):
    in_zone(zone)
    with transaction():
        agency.timezone = zone
    lifetime, to = (
        (WEEK, "priya@client.example") if recipient == "link" else (timedelta(hours=4), "dana@client.example")
    )
    if recipient == "portal":
        factories.make_member(workspace, to)
    clock.to(night - lifetime / 2)
    (asked,) = factories.make_sent(factories.make_workflow(workspace, owner, STEP), owner, recipient=to)
    raw = bundle_sent.compose(factories.leaving(asked.bundle), at=app_clock.now()).as_bytes()
    text = message_from_bytes(raw, policy=policy.default).get_body(("plain",)).get_content()
    ends = (night + lifetime / 2).astimezone(ZoneInfo(zone))
    assert f"{ends:%-d %B %Y, %H:%M %Z}" in text

    clock.forward(seconds=lifetime.total_seconds() - 1)
    assert not asked.bundle.is_expired(app_clock.now())
    assert recipient == "portal" or opens(asked)
    clock.forward(seconds=1)
    assert asked.bundle.is_expired(app_clock.now())
    assert not opens(asked)


@pytest.mark.parametrize(("zone", "night"), CHANGES)
def test_a_wait_is_elapsed_time_through_the_night_that_clocks_change(
    clock, in_zone, agency, workspace, owner, zone, night
):
    in_zone(zone)
    clock.to(night - timedelta(minutes=2))
    asked = factories.make_sent(factories.make_workflow(workspace, owner, STEP), owner)[0]

    clock.forward(minutes=4, seconds=59)
    assert resend(agency, asked, owner) == 1
    clock.forward(seconds=1)
    assert resend(agency, asked, owner) is None
