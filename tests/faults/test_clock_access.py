"""What lives for a time at the portal and behind a connection, while clocks are set, differ between hosts, and change to summer time (R13, R14).

Each thing is made, and asked whether it still lives, by the services alone.
"""

import itertools
import secrets as random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from app import clock as app_clock
from app.database import transaction
from app.errors import Refused
from app.extensions import db
from app.models import Connection, Flow, OutboxItem
from app.oauth.answers import TokenError
from app.oauth.faults import Fault
from app.oauth.revoke import RevokeLater
from app.services import (
    claims,
    freshness,
    giving_back,
    grants,
    portal_codes,
    portal_sessions,
    portal_visitors,
    refresh_leases,
    refresh_plans,
    refresh_rows,
    refreshing,
    returns,
    revocations,
    secrets,
)
from app.services.audit import Actor
from app.services.giving_back import NotGivenBack
from app.services.leases import Watch
from tests import factories
from tests.faults import test_clock
from tests.support import browsing, shared_app
from tests.support.browsing import Browser
from tests.support.people import STEP

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
app_on_postgres, app_on_sqlite = shared_app.apps
stub, in_zone = browsing.stub, test_clock.in_zone
MAKE = Actor("system", "make")
HOUR = timedelta(hours=1)
_numbers = itertools.count(1)


@dataclass
class Scene:
    """Where things are made."""

    agency: Any
    workspace: Any
    owner: Any
    stub: Any

    def connected(self, **values: Any) -> Connection:
        """A connection whose token came now and ends in an hour."""
        at = app_clock.now()
        urls = {step: f"https://typeform.example/{step}" for step in ("authorize", "token", "refresh", "revoke")}
        given = {"refreshable": True, "granted_at": at, "token_at": at, "expires_at": at + HOUR, "endpoints": urls}
        named = {"owner_email": "ann@client.example", "name": f"account {next(_numbers)}"}
        made = factories.make_connection(self.workspace, "typeform", **named | given | values)
        with transaction():
            version = secrets.keep(made, {"access_token": "a", "refresh_token": "r"}, at=at).version
            refresh_plans.put(made, version, agency_id=made.agency_id, expires_at=made.expires_at, token_at=at, at=at)
        return factories.read(made)


Lives = Callable[[], bool]


def portal_code(scene: Scene) -> Lives:
    number, browser = next(_numbers), random.token_bytes(32)
    db.session().info["address"] = f"198.51.{number // 250}.{number % 250 + 1}"
    asking = {"agency_id": scene.agency.id, "browser_hash": browser}
    portal_codes.ask(f"dana{number}@client.example", **asking, at=app_clock.now())
    return lambda: portal_codes.waiting(browser, at=app_clock.now()) is not None


def portal_session(scene: Scene) -> Lives:
    """Of a member who does nothing; pages that ask by themselves are no sign of life."""
    email, hashed = f"dana{next(_numbers)}@client.example", random.token_bytes(32)
    factories.make_member(scene.workspace, email)
    portal_sessions.start(email, agency_id=scene.agency.id, id_hash=hashed, at=app_clock.now())
    return lambda: portal_visitors.enter(hashed, at=app_clock.now(), is_poll=True) is not None


def portal_request(scene: Scene) -> Lives:
    email = f"dana{next(_numbers)}@client.example"
    factories.make_member(scene.workspace, email)
    workflow = factories.make_workflow(scene.workspace, scene.owner, STEP, name=email)
    (asked,) = factories.make_sent(workflow, scene.owner, recipient=email)
    return lambda: not factories.read(asked).is_expired(app_clock.now())


def held_grant(scene: Scene) -> Lives:
    """One that lacks a permission and waits for the client's word."""
    step, name = ("typeform", "new_response"), f"Workflow {next(_numbers)}"
    (asked,) = factories.make_sent(factories.make_workflow(scene.workspace, scene.owner, step, name=name), scene.owner)
    browser, scene.stub.scopes = Browser(), ("offline",)
    browser.open(asked.bundle)
    browser.finish(browser.start(asked))
    flow = db.session.scalars(select(Flow).where(Flow.request_id == asked.id)).one()
    assert flow.grant is not None
    return lambda: not is_due(grants.KIND, flow.public_id)


def token_before_its_time(scene: Scene) -> Lives:
    """One that is refreshed when a quarter of an hour is left."""
    held = scene.connected()
    return lambda: not is_due(refresh_plans.KIND, held.public_id, ahead=True)


def provider_left_alone(scene: Scene) -> Lives:
    """It said “Retry-After: 1200” to a refresh."""
    held = scene.connected(oauth_client=f"client {next(_numbers)}")
    put_off(held, 1200)
    return lambda: freshness.is_put_off(standing(held), at=app_clock.now())


def revocation_tried(scene: Scene) -> Lives:
    """A provider that does not answer is asked for a day."""
    held = scene.connected()
    revocations.revoke(held, by=MAKE)

    def is_tried() -> bool:
        db.session.rollback()
        try:
            returns.give_back(held.id, agency_id=held.agency_id)
        except NotGivenBack:
            return True
        return False

    return is_tried


def is_due(kind: str, key: str, *, ahead: bool = False) -> bool:
    found = select(OutboxItem.id).where(
        claims._due([kind], app_clock.now(), ahead=ahead), OutboxItem.key.startswith(key)
    )
    db.session.rollback()
    return db.session.scalar(found) is not None


def standing(held: Connection) -> Any:
    db.session.rollback()
    return refresh_rows.STANDING(connection=held.id).one()


def begun(held: Connection) -> Any:
    with transaction():
        work = refreshing.begin(held.id, version=held.secret.version, at=app_clock.now())
    assert work is not None
    return work


def put_off(held: Connection, seconds: int) -> None:
    refreshing.settle(begun(held), TokenError(Fault.UNAVAILABLE, retry_after=seconds))


LIVES = {  # and within how many seconds it ends
    "a code": (portal_code, timedelta(minutes=10), 1),
    "a session of the portal": (portal_session, timedelta(minutes=30), 1),
    "a request in the portal": (portal_request, timedelta(hours=4), 1),
    "a grant that waits": (held_grant, timedelta(minutes=15), 1),
    "a token before it is refreshed": (token_before_its_time, timedelta(minutes=45), 1),
    "a provider that is left alone": (provider_left_alone, timedelta(minutes=20), 60),
    "a revocation that is tried": (revocation_tried, timedelta(days=1), 1),
}
lives_for = pytest.mark.parametrize(("make", "lifetime", "within"), LIVES.values(), ids=LIVES)


@pytest.fixture
def scene(agency, workspace, owner, stub, monkeypatch):
    def revoke(*_, **__):
        raise RevokeLater(Fault.UNAVAILABLE)

    monkeypatch.setattr(giving_back, "revoke", revoke)
    return Scene(agency, workspace, owner, stub)


def lives_on(lives, clock, lifetime, within):
    """That it lives until the last second, and no longer."""
    clock.forward(seconds=lifetime.total_seconds() - 1)
    assert lives()
    clock.forward(seconds=within)
    assert not lives()


@lives_for
@pytest.mark.parametrize(("zone", "night"), test_clock.CHANGES)
def test_a_life_is_elapsed_time_through_the_night_that_clocks_change(
    clock, in_zone, scene, make, lifetime, within, zone, night
):
    in_zone(zone)
    clock.to(night - lifetime / 2)

    lives_on(make(scene), clock, lifetime, within)


@lives_for
@pytest.mark.parametrize("hours", [-6, 6])
def test_a_clock_that_was_wrong_for_a_while_neither_ends_nor_lengthens_a_life(
    clock, scene, make, lifetime, within, hours
):
    lives = make(scene)
    clock.leap(hours=hours)
    clock.leap(hours=-hours)

    lives_on(lives, clock, lifetime, within)


@lives_for
@pytest.mark.parametrize("wrong", [timedelta(seconds=90), timedelta(hours=6)], ids=["90 seconds", "6 hours"])
def test_what_was_made_by_a_clock_that_is_ahead_lives_longer_by_no_more_than_that(
    clock, scene, make, lifetime, within, wrong
):
    clock.leap(seconds=wrong.total_seconds())
    lives = make(scene)
    clock.leap(seconds=-wrong.total_seconds())

    clock.forward(seconds=(lifetime + wrong).total_seconds() + within - 1)
    assert not lives()


@lives_for
def test_what_was_made_by_a_clock_that_is_90_seconds_behind_lives_all_but_that(clock, scene, make, lifetime, within):
    clock.leap(seconds=-90)
    lives = make(scene)
    clock.leap(seconds=90)

    lives_on(lives, clock, lifetime - timedelta(seconds=90), within)


# ── What is more than a lifetime ────────────────────────────────────────────


@pytest.mark.parametrize("hours", [-6, 0, 6])
def test_five_tries_are_five_however_the_clock_is_set(clock, scene, hours):
    lives = portal_code(scene)
    browser = db.session.scalars(select(portal_codes.PortalCode).order_by(portal_codes.PortalCode.id.desc())).first()
    hashed, wrong = browser.browser_hash, f"{(int(portal_codes.code_of(browser)) + 1) % 10**6:06}"
    for number in range(5):
        assert lives()
        way = hours if number % 2 else -hours
        clock.leap(hours=way)
        clock.leap(hours=-way)
        with pytest.raises(Refused):
            portal_codes.enter(wrong, browser_hash=hashed, at=app_clock.now(), missed=lambda _: None)

    assert not lives()


def test_who_works_in_the_portal_is_there_for_twelve_hours_at_most(clock, scene):
    email, hashed = f"dana{next(_numbers)}@client.example", random.token_bytes(32)
    factories.make_member(scene.workspace, email)
    portal_sessions.start(email, agency_id=scene.agency.id, id_hash=hashed, at=app_clock.now())
    for _ in range(26):
        clock.forward(minutes=27)
        assert portal_visitors.enter(hashed, at=app_clock.now()) is not None
    clock.forward(minutes=17, seconds=59)
    assert portal_visitors.enter(hashed, at=app_clock.now()) is not None
    clock.forward(seconds=1)

    assert portal_visitors.enter(hashed, at=app_clock.now()) is None


@pytest.mark.parametrize("hours", [-26, -6, 6, 26])
def test_a_lease_of_a_refresh_lasts_by_the_steady_clock_of_who_looks(clock, scene, hours):
    held, steady = scene.connected(), [0.0]
    lease = begun(held).lease
    watch = Watch(refresh_leases.LEASE, steady=lambda: steady[0])

    def lapsed():
        db.session.rollback()
        return [mark.lease for mark in watch.lapsed(refresh_leases.in_hand()) if mark.lease == lease]

    assert lapsed() == []
    clock.leap(hours=hours)
    steady[0] = 89
    assert lapsed() == []
    steady[0] = 90
    assert lapsed() == [lease]


@pytest.mark.parametrize("hours", [-26, 26])
def test_a_refresh_goes_on_though_the_clock_was_set_after_it_was_put_off(clock, scene, hours):
    """Nothing is put off for longer than what the clock was set by, and never for longer than a day."""
    held = scene.connected(oauth_client=f"client {next(_numbers)}")
    put_off(held, 600)
    clock.leap(hours=hours)

    assert freshness.is_put_off(standing(held), at=app_clock.now()) is False


def test_a_wait_that_grows_is_an_hour_at_most_whatever_failed(clock, scene):
    held = scene.connected(oauth_client=f"client {next(_numbers)}")
    with transaction() as session:
        session.execute(update(Connection).where(Connection.id == held.id).values(refresh_failures=10**6))
    put_off(held, 0)

    until = standing(held).refresh_after
    assert timedelta(minutes=45) <= until - clock.now <= timedelta(minutes=75)
