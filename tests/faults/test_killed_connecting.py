"""Killed in the callback, and around it: still pending and Connect works again, or connected whole."""

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
from sqlalchemy import update

from app.database import transaction
from app.models import AuditEvent, Flow, OutboxItem, OutboxState
from app.services import claims, grants
from tests.faults.connectings import NOTHING_YET, SCENES, Connecting, Look, connecting, thrown_away
from tests.faults.killing import NAMES, House, Place, places, rows, some, timed
from tests.support.nursery import Child
from tests.support.proof import Proof

both = pytest.mark.both_databases
STARTING, CALLBACK = "flow.wanted", "callback.found"


@dataclass
class Tally:
    """What became of all that was being connected while processes were killed."""

    kills: int = 0
    done: int = 0
    untouched: int = 0
    lost: int = 0
    wrongs: list[str] = field(default_factory=list)

    def tell(self, proof: Proof) -> None:
        assert not self.wrongs
        proof.figure("web processes killed", self.kills)
        proof.figure("found done", self.done)
        proof.figure("found untouched, and done by asking or connecting again", self.untouched)
        proof.figure("half done", self.kills - self.done - self.untouched)
        proof.figure("grants that died with the process, before they were stored", self.lost)


def gone_through(house: House, name: str) -> tuple[list[Place], list[Place], Look]:
    """Every point that is passed as somebody starts, and as they come back, and how things are when nobody dies."""
    start, back = house.trace(), house.trace()
    with SCENES[name](house) as scene:
        with house.served(trace=start):
            url = scene.start() or ""
        scene.meanwhile(scene)
        with house.served(trace=back):
            assert scene.come_back(scene.agree(url)) == 303
        assert not scene.wrongs()
        return places(start, STARTING), places(back, CALLBACK), scene.look()


def at(place: Place) -> Callable[[Connecting, str, Child], None]:
    """Come back, to a process that dies at a point."""

    def come(scene: Connecting, address: str, web: Child) -> None:
        assert scene.come_back(address) is None, str(place)
        assert web.ended() == -signal.SIGKILL

    return come


def after(seconds: float) -> Callable[[Connecting, str, Child], None]:
    """Come back, to a process that is killed so many seconds later."""

    def come(scene: Connecting, address: str, web: Child) -> None:
        coming = threading.Thread(target=scene.come_back, args=(address,))
        coming.start()
        time.sleep(seconds)
        web.kill()
        with scene.house.served():  # who came too late to be hurt is served by the next
            coming.join()

    return come


def killed(name: str, house: House, done: Look, tally: Tally, *, place: Place | None = None, **how: object) -> None:
    """Have a process die as somebody comes back, at a place or by chance; count, make good, and note what is wrong."""
    come = at(place) if place else after(float(str(how.pop("seconds"))))
    with SCENES[name](house) as scene:
        house.provider.reset()
        with house.served(*([place.kill] if place else []), **how) as web:
            url = scene.start() or ""
            scene.meanwhile(scene)
            before, address = scene.look(), scene.agree(url)
            come(scene, address, web)
        now, wrongs = scene.look(), scene.wrongs()
        if now not in (before, done):
            wrongs.append(f"half done: { {key: now[key] for key in done if now[key] != done[key]} }")
        if (scene.flows[-1] in NOTHING_YET) != (now == before):
            wrongs.append(f"half done: the flow is {scene.flows[-1]}")
        tally.kills, tally.done, tally.untouched = (
            tally.kills + 1,
            tally.done + (now == done),
            tally.untouched + (now == before),
        )
        wrongs += _made_good(scene, address, tally)
    tally.wrongs += [f"{name}, {place}: {wrong}" for wrong in wrongs]


def _made_good(scene: Connecting, address: str, tally: Tally) -> list[str]:
    """What is wrong once the browser has asked again, and connected what is still asked for, and the worker is done."""
    house, wrongs = scene.house, []
    with house.served():
        if (scene.answer or scene.come_back(address)) != 303:
            wrongs.append(f"asked again, it answers {scene.answer}")
        if scene.is_wanted:
            url = scene.start() or ""
            if scene.come_back(scene.agree(url, all_of_it=True)) != 303 or not scene.is_connected:
                wrongs.append("connecting again does not work")
        wrongs += scene.wrongs()
    house.work()
    calls = [call.status for call in house.provider.calls("token")]
    if len(calls) > scene.codes:
        wrongs.append(f"{scene.codes} codes were exchanged {len(calls)} times")
    tally.lost += calls.count(200) - scene.kept
    return wrongs + scene.wrongs() + scene.left_over()


@both
def test_killed_at_every_point_of_a_callback(house, proof, database_kind):
    """The web process is killed by SIGKILL at every point that it passes from the provider's redirect to the answer: as
    an account is connected, connected again, granted too little, denied, and no longer wanted. The browser then asks
    for the same address again, and connects again where nothing had come of it. Nothing is ever half connected, no
    secret is without its connection, no code is exchanged twice, and what is stored in the end works at the provider. A
    grant that was not stored yet dies with the process: nobody can use it, and nobody has to.
    """
    tally = Tally()
    for name in SCENES if proof.full else ["connect"]:
        _, plan, done = house.once(gone_through, name)
        for place in some(proof, plan, check=1, always=["request.settled"] if name == "connect" else []):
            killed(name, house, done, tally, place=place)

    assert house.breaks() == []
    proof.title = f"Killed while connecting, {NAMES[database_kind]}: at every point of the callback"
    tally.tell(proof)


def test_killed_at_any_moment_of_a_callback(houses, proof):
    """The web process is killed at moments drawn by chance after the browser came back; what is counted is the same."""
    tally = Tally()
    for house in houses:
        _, _, done = house.once(gone_through, "connect")
        with connecting(house) as scene, house.served():
            took = timed(partial(scene.come_back, scene.agree(scene.start() or "")))
        for _ in range(proof.size(check=1, prove=20)):
            killed("connect", house, done, tally, seconds=proof.random.uniform(0, took))

    proof.title = "Killed while connecting: at any moment of the callback"
    tally.tell(proof)


def test_killed_while_starting(houses, proof):
    """The web process is killed at every point that it passes as a client presses “Connect”. Nothing stands in the way
    of pressing it again.
    """
    tally = Tally()
    for house in houses:
        plan, _, _ = house.once(gone_through, "connect")
        for place in some(proof, plan, check=1):
            _killed_while_starting(house, place, tally)

    assert tally.untouched == tally.kills
    proof.title = "Killed while connecting: at the start"
    tally.tell(proof)


def _killed_while_starting(house: House, place: Place, tally: Tally) -> None:
    with connecting(house) as scene:
        before = scene.look()
        with house.served(place.kill) as web:
            assert scene.start() is None
            assert web.ended() == -signal.SIGKILL
        tally.kills, tally.untouched = tally.kills + 1, tally.untouched + (scene.look() == before)
        with house.served():
            assert scene.come_back(scene.agree(scene.start() or "")) == 303
        tally.wrongs += scene.wrongs() + ([] if scene.is_connected else [f"{place}: it does not work again"])


def test_killed_while_giving_back(houses, proof):
    """A worker is killed at every point that it passes as it gives back a grant that nobody wants any more, and another
    goes on: in the end the provider accepts it no longer, it is shredded here, and the audit trail says so once.
    """
    kills, wrongs = 0, []
    for house in houses:
        for place in some(proof, house.once(given_back), check=1, always=["grant.revoked"]):
            with thrown_away(house) as scene:
                house.work_until_killed(place.kill)
                house.work()
                kills += 1
                wrongs += [f"{place}: {wrong}" for wrong in scene.wrongs() + scene.left_over()]

    assert not wrongs
    proof.title = "Killed while connecting: while giving back"
    proof.figure("workers killed", kills)
    proof.figure("grants that still work, or are still held, or were told twice", len(wrongs))


def given_back(house: House) -> list[Place]:
    """Every point that a worker passes as it gives a grant back."""
    trace = house.trace()
    with thrown_away(house):
        house.work(trace=trace)
    return places(trace)


def test_a_grant_whose_giving_back_kills_every_worker_is_shredded_in_the_end(house):
    with thrown_away(house) as scene:
        with scene.office.inside(), transaction() as session:
            last = update(OutboxItem).where(OutboxItem.kind == grants.KIND).values(attempts=claims.MOST_ATTEMPTS - 1)
            session.execute(last)
        house.work_until_killed(Place("grant.revoking", 1).kill)
        house.work()

        with scene.office.inside():
            (flow,), (item,) = rows(Flow), rows(OutboxItem, OutboxItem.kind == grants.KIND)
            (told,) = rows(AuditEvent, AuditEvent.type == "grant.discarded")
            assert (item.state, flow.grant, told.data["outcome"]) == (OutboxState.DEAD, None, "unconfirmed")


# ── The count would notice ───────────────────────────────────────────────────


def test_a_connection_stored_apart_from_its_request_would_be_noticed(house):
    _, _, done = house.once(gone_through, "connect")
    tally, stored = Tally(), Place("connection.stored", 1, CALLBACK)

    killed("connect", house, done, tally, place=stored, without="the_one_transaction_of_a_connection")

    assert any("half done: {'requests'" in wrong for wrong in tally.wrongs), tally.wrongs


def test_a_flow_claimed_after_the_exchange_would_be_noticed(house):
    _, _, done = house.once(gone_through, "connect")
    tally, exchanged = Tally(), Place("code.exchanged", 1, CALLBACK)

    killed("connect", house, done, tally, place=exchanged, without="the_claim_before_the_exchange")

    assert any("codes were exchanged" in wrong for wrong in tally.wrongs), tally.wrongs
