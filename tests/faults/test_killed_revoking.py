"""Killed while a connection is let go: it is as it was, or revoked whole, and its provider is told in the end."""

import contextlib
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from app.models import AuditEvent, Connection, ConnectionRequest, Health, OutboxItem, OutboxState, Secret, Slot, Status
from app.services import revocations, secrets
from tests.faults.connectings import Look, connecting
from tests.faults.killing import NAMES, House, Office, Place, places, rows, some

both = pytest.mark.both_databases
ACTS = {"revoke": False, "delete": True}


@dataclass
class Letting:
    """A connection that is let go, and the access that its provider gave."""

    office: Office
    connection_id: str
    token: str

    def given(self, act: str) -> dict[str, object]:
        return {"agency": self.office.agency_id, "connection": self.connection_id, "delete": ACTS[act]}

    @property
    def works_there(self) -> bool:
        return self.office.house.provider.call_api(self.token)[0] == 200

    def look(self) -> Look:
        """All that letting go changes."""
        with self.office.inside():
            (held,) = rows(Connection)
            return {
                "connection": (held.health, held.revocation, bool(held.deleted_at), bool(held.revoked_at)),
                "requests": [each.status for each in rows(ConnectionRequest)],
                "slots": [bool(each.connection_id) for each in rows(Slot)],
                "secrets": len(rows(Secret)),
                "jobs": [each.state for each in rows(OutboxItem, OutboxItem.kind == revocations.KIND)],
                "acts": Counter(
                    each.type for each in rows(AuditEvent) if each.type.partition(".")[0] in ("connection", "request")
                ),
            }

    def wrongs(self) -> list[str]:
        """What is wrong once it was let go and the worker has done all."""
        now = self.look()
        wrongs = [] if now["jobs"] == [OutboxState.DONE] else [f"the jobs are {now['jobs']}"]
        if (now["connection"][0], now["secrets"], now["requests"]) != (Health.REVOKED, 0, [Status.REVOKED]):
            wrongs.append(f"half let go: {now}")
        if now["acts"]["connection.revoked"] != 1 or now["acts"]["connection.discarded"] != 1:
            wrongs.append(f"told otherwise than once: {now['acts']}")
        return wrongs + (["it still works at the provider"] if self.works_there else [])


@contextlib.contextmanager
def connected(house: House) -> Iterator[Letting]:
    """Somebody who connected an account that works."""
    with connecting(house) as scene:
        house.work()
        with house.served():
            assert scene.come_back(scene.agree(scene.start() or "")) == 303
        with scene.office.inside():
            (held,) = rows(Connection)
            letting = Letting(scene.office, held.public_id, secrets.reveal(held)["access_token"].reveal())
        assert letting.works_there
        yield letting


def let_go(house: House, act: str) -> tuple[list[Place], Look]:
    """Every point that is passed as a connection is let go, and how things are then."""
    trace = house.trace()
    with connected(house) as scene:
        house.nursery.child("let_go", trace=trace, **scene.given(act)).succeeds()
        return places(trace), scene.look()


def given_back(house: House) -> list[Place]:
    """Every point that a worker passes as it gives a connection's access back."""
    trace = house.trace()
    with connected(house) as scene:
        house.nursery.child("let_go", **scene.given("revoke")).succeeds()
        house.work(trace=trace)
    return places(trace)


@both
def test_killed_at_every_point_of_letting_go(house, proof, database_kind):
    """A process is killed by SIGKILL at every point that it passes as it revokes or deletes a connection; it is then done
    again. Everything is as it was, or done whole, and in the end the provider accepts the access no longer.
    """
    kills, done, untouched, wrongs = 0, 0, 0, []
    for act in ACTS if proof.full else ["revoke"]:
        plan, whole = house.once(let_go, act)
        for place in some(proof, plan, check=1, always=["connection.revoked"]):
            with connected(house) as scene:
                before = scene.look()
                child = house.nursery.child("let_go", place.kill, **scene.given(act))
                assert child.ended() == -signal.SIGKILL
                now = scene.look()
                kills, done, untouched = kills + 1, done + (now == whole), untouched + (now == before)
                if now not in (before, whole):
                    wrongs.append(f"{act}, {place}: half done: {now}")
                if now == before:
                    house.nursery.child("let_go", **scene.given(act)).succeeds()
                house.work()
                wrongs += [f"{act}, {place}: {wrong}" for wrong in scene.wrongs()]

    assert not wrongs
    assert house.breaks() == []
    proof.title = f"Killed while letting go, {NAMES[database_kind]}: at every point"
    proof.figure("processes killed", kills)
    proof.figure("found done", done)
    proof.figure("found untouched, and done by asking again", untouched)
    proof.figure("half done", kills - done - untouched)


def test_killed_while_giving_back_what_was_revoked(houses, proof):
    """A worker is killed at every point that it passes as it gives back what a revoked connection had, and another goes
    on: in the end the provider accepts it no longer, it is shredded here, and the audit trail says so once.
    """
    kills, wrongs = 0, []
    for house in houses:
        for place in some(proof, house.once(given_back), check=1, always=["access.asked"]):
            with connected(house) as scene:
                house.nursery.child("let_go", **scene.given("revoke")).succeeds()
                house.work_until_killed(place.kill)
                house.work()
                kills += 1
                wrongs += [f"{place}: {wrong}" for wrong in scene.wrongs()]

    assert not wrongs
    proof.title = "Killed while letting go: while giving back"
    proof.figure("workers killed", kills)
    proof.figure("connections that still work, still hold a secret, or were told of twice", len(wrongs))
