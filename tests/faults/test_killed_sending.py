"""Killed while sending: all or nothing, and pressing again sends what is left."""

import signal
import threading
import time

import pytest

from tests.faults.killing import NAMES, House, Place, places, some, timed
from tests.faults.sendings import ACTS, Look, Sending, asking

both = pytest.mark.both_databases
COMMITTED = Place("transaction.committed", 1, after="send.written")


class Pressed:
    """A form that was sent to a process that dies: how things were before, and are after."""

    def __init__(self, scene: Sending, done: Look) -> None:
        self.scene, self.done, self.before, self.after = scene, done, scene.look(), {}
        self.house = scene.house

    def killed_at(self, place: Place, **how: object) -> "Pressed":
        with self.house.served(place.kill, **how) as web:
            assert self.scene.press() is None
            assert web.ended() == -signal.SIGKILL
        self.after = self.scene.look()
        return self

    def killed_after(self, seconds: float) -> "Pressed":
        with self.house.served() as web:
            pressing = threading.Thread(target=self.scene.press)
            pressing.start()
            time.sleep(seconds)
            web.kill()
            with self.house.served():  # who came too late to be hurt is served by the next
                pressing.join()
        self.after = self.scene.look()
        return self

    @property
    def is_done(self) -> bool:
        return self.after == self.done

    def wrongs(self) -> list[str]:
        """What is wrong with what the dead process left, with what comes of pressing again, and with the mails."""
        wrongs = []
        if self.after not in (self.before, self.done):
            wrongs.append(f"half done: {self._difference(self.after)}")
        if not self.is_done:
            with self.house.served():
                self.scene.press()
            if self.scene.look() != self.done:
                wrongs.append(f"not made good: {self._difference(self.scene.look())}")
        self.house.work()
        return wrongs + self.scene.wrongs()

    def _difference(self, found: Look) -> dict[str, object]:
        return {name: found[name] for name in self.done if found[name] != self.done[name]}


def passed(house: House, act: str) -> tuple[list[Place], Look]:
    """Every point that a web process passes when this is pressed, and how things are when nobody dies."""
    scene, trace = ACTS[act](house), house.trace()
    with house.served(trace=trace):
        assert scene.press() == 303
    return places(trace), scene.look()


@both
def test_killed_at_every_point_of_sending(house, proof, database_kind):
    """The web process is killed by SIGKILL at every point that it passes when staff send, publish, resend and change a
    recipient, each time that it passes. Either all is done or nothing, and pressing again does it; then each recipient
    has one mail, which names all that they are asked for, and its link works.
    """
    kills, done_first, wrongs = 0, 0, []
    for act in ACTS if proof.full else ["send"]:
        plan, done = house.once(passed, act)
        for place in some(proof, plan, check=1, always=["mail.queued"]):
            pressed = Pressed(ACTS[act](house), done).killed_at(place)
            kills, done_first = kills + 1, done_first + pressed.is_done
            wrongs += [f"{act}, {place}: {wrong}" for wrong in pressed.wrongs()]

    assert not wrongs
    assert house.breaks() == []
    proof.title = f"Killed while sending, {NAMES[database_kind]}: at every point"
    proof.figure("web processes killed", kills)
    proof.figure("found done", done_first)
    proof.figure("found untouched, and done by pressing again", kills - done_first)
    proof.figure("half done, lost or twice", len(wrongs))


def test_killed_at_any_moment_of_sending(houses, proof):
    """The web process is killed at moments drawn by chance after “Send to client” was pressed; what came is counted as
    at the points.
    """
    kills, done_first, wrongs = 0, 0, []
    for house in houses:
        _, done = house.once(passed, "send")
        with house.served():
            took = timed(asking(house).press)
        for _ in range(proof.size(check=1, prove=20)):
            pressed = Pressed(asking(house), done).killed_after(proof.random.uniform(0, took))
            kills, done_first = kills + 1, done_first + pressed.is_done
            wrongs += pressed.wrongs()

    assert not wrongs
    proof.title = "Killed while sending: at any moment"
    proof.figure("web processes killed", kills)
    proof.figure("found done", done_first)
    proof.figure("found untouched, and done by pressing again", kills - done_first)
    proof.figure("half done, lost or twice", len(wrongs))


def test_an_outbox_outside_the_transaction_would_be_noticed(house):
    _, done = house.once(passed, "send")

    wrongs = Pressed(asking(house), done).killed_at(COMMITTED, without="the_outbox_in_the_transaction").wrongs()

    assert wrongs[0].startswith("half done: {'mails'"), wrongs
    assert wrongs[1].startswith("not made good"), wrongs
    assert "ann got 0 mails" in wrongs, wrongs
