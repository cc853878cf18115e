"""Killed while a connection is refreshed: refreshed by another, or the owner is asked to reconnect; never a blind retry."""

import contextlib
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from app.database import transaction
from app.models import AuditEvent, Connection, Health, OutboxItem
from app.services import letters, secrets
from tests.faults.connectings import connecting
from tests.faults.killing import House, Office, Place, places, rows, some
from tests.support import points
from tests.support.users import expire

both = pytest.mark.both_databases
CALLED = "refresh.called"  # from here on the provider may have been asked


@dataclass
class Refreshing:
    """A connection whose token has ended here."""

    office: Office
    id: int

    @property
    def given(self) -> dict[str, object]:
        return {"agency": self.office.agency_id, "connection": self.id}

    def look(self) -> tuple[Health, str | None, int, bool]:
        with self.office.inside():
            (held,) = rows(Connection)
            version = held.secret.version if held.secret else 0
            return held.health, held.health_reason, version, held.refresh_lease is not None

    @property
    def works(self) -> bool:
        """Whether what is stored works at the provider."""
        with self.office.inside():
            (held,) = rows(Connection)
            token = secrets.reveal(held)["access_token"].reveal()
        return self.office.house.provider.call_api(token)[0] == 200

    @property
    def acts(self) -> Counter[str]:
        with self.office.inside():
            return Counter(each.type for each in rows(AuditEvent, AuditEvent.type.startswith("connection.")))

    @property
    def letters(self) -> int:
        with self.office.inside():
            return len(rows(OutboxItem, OutboxItem.kind == letters.BROKEN))

    @property
    def refreshes(self) -> int:
        return self.office.house.provider.count()["token.refresh_token"]


@contextlib.contextmanager
def due(house: House) -> Iterator[Refreshing]:
    """Somebody's connection whose token has ended."""
    with connecting(house) as scene:
        house.work()
        with house.served():
            assert scene.come_back(scene.agree(scene.start() or "")) == 303
        with scene.office.inside():
            (held,) = rows(Connection)
            refreshing = Refreshing(scene.office, held.id)
            expire(held.id)
        house.provider.reset()
        yield refreshing
        house.provider.reset()


def _ended(scene: Refreshing) -> None:
    scene.office.house.provider.revoke_grants(email="ann@client.example")


def _down(scene: Refreshing) -> None:
    scene.office.house.provider.misbehave("token", status=503)


def _new(scene: Refreshing) -> None:
    with scene.office.inside(), transaction():
        rows(Connection)[0].health = Health.PENDING


SCENES: dict[str, tuple[Callable[[Refreshing], None], bool]] = {
    "refresh": (lambda _: None, False),
    "refresh what the provider ended": (_ended, False),
    "refresh while the provider is down": (_down, False),
    "test": (_new, True),
}


def gone_through(house: House, name: str) -> list[Place]:
    """Every point that is passed."""
    trace, (before, tests) = house.trace(), SCENES[name]
    with due(house) as scene:
        before(scene)
        house.nursery.child("use", trace=trace, tests=tests, **scene.given).succeeds()
    return places(trace)


def lapsed(house: House) -> list[Place]:
    """Every point that a worker passes as it finds a lease of a dead process."""
    trace = house.trace()
    with due(house) as scene:
        assert house.nursery.child("use", points.kill(CALLED), **scene.given).ended() == -signal.SIGKILL
        house.work(trace=trace)
    return places(trace)


@both
def test_killed_before_the_call_another_refreshes(house):
    with due(house) as scene:
        assert house.nursery.child("use", points.kill("refresh.taken"), **scene.given).ended() == -signal.SIGKILL
        assert scene.look() == (Health.ACTIVE, None, 1, False), "the lease died with it"

        house.nursery.child("use", **scene.given).succeeds()

        assert (scene.look(), scene.refreshes, scene.works) == ((Health.ACTIVE, None, 2, False), 1, True)


@both
@pytest.mark.parametrize(("point", "asked"), [(CALLED, 0), ("refresh.answered", 1), ("refresh.sealed", 1)])
def test_killed_after_the_call_the_owner_is_told_and_nobody_asks_again(house, point, asked):
    with due(house) as scene:
        assert house.nursery.child("use", points.kill(point), **scene.given).ended() == -signal.SIGKILL
        assert scene.look() == (Health.ACTIVE, None, 1, True)

        house.work()
        house.work()
        house.nursery.child("use", **scene.given).succeeds()

        assert scene.look() == (Health.ERROR, "interrupted", 1, False)
        assert (scene.refreshes, scene.letters, scene.acts["connection.broken"]) == (asked, 1, 1)


@dataclass
class Tally:
    """What became of refreshes whose process was killed."""

    kills: int = 0
    stored: int = 0
    again: int = 0
    told: int = 0
    wrongs: list[str] = field(default_factory=list)


def test_killed_in_a_refresh_wherever_it_is(houses, proof):
    """A process is killed by SIGKILL at every point that it passes as it refreshes a connection at a provider whose refresh
    tokens rotate. Others ask for the token afterwards, and a worker looks after what was left behind: either it was stored,
    or another refreshes it, or the owner is told.
    """
    proof.title = "Killed while refreshing: everywhere"
    tally = Tally()
    for house in houses:
        plan = house.once(gone_through, "refresh")
        for place in some(proof, plan, check=1, always=["refresh.taken", CALLED]):
            _kill(house, place, tally)

    assert not tally.wrongs
    proof.figure("processes killed", tally.kills)
    proof.figure("found stored", tally.stored)
    proof.figure("refreshed by another", tally.again)
    proof.figure("told to reconnect, since the provider may have been asked", tally.told)
    proof.figure("asked again blindly", 0)


def _kill(house: House, place: Place, tally: Tally) -> None:
    with due(house) as scene:
        assert house.nursery.child("use", place.kill, **scene.given).ended() == -signal.SIGKILL
        tally.kills += 1
        _, _, version, is_held = scene.look()
        called = scene.refreshes
        house.work()
        house.nursery.child("use", **scene.given).succeeds()
        health, reason, *_ = scene.look()
        if is_held:
            tally.told += 1
            right = (health, reason, scene.refreshes, scene.letters) == (Health.ERROR, "interrupted", called, 1)
        else:
            tally.stored, tally.again = tally.stored + (version == 2), tally.again + (version == 1)
            right = health is Health.ACTIVE and scene.refreshes == 1 and scene.works
        if not right:
            tally.wrongs.append(f"{place}: {scene.look()}, asked {scene.refreshes} times")
