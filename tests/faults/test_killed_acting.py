"""Killed while something is done to a connection, a member or a request: nothing is done by halves, and mail is sent once."""

import signal
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import update

from app import clock
from app.database import transaction
from app.models import Bundle, OutboxItem, OutboxState, Recipient
from app.services import joining, letters
from tests import factories
from tests.faults.actings import COLLEAGUE, Scene, scene
from tests.faults.acts import ACTS, TO_WHO_WAS_MAILED
from tests.faults.killing import NAMES, House, Place, office, places, rows, some

both = pytest.mark.both_databases
INVITED = ("ann", "ben")


def acted(house: House, act: str) -> tuple[list[Place], Counter]:
    """Every point that is passed as an act is done, and what it changes."""
    trace, here = house.trace(), scene(house, act)
    house.nursery.child("act", trace=trace, **here.given).succeeds()
    return places(trace), here.look()


@both
def test_killed_at_every_point_of_an_act(house, proof, database_kind):
    """A process is killed by SIGKILL at every point that it passes as it renames a connection, asks that one be reauthorized,
    removes a member, or hands a request over; it is then done again. Everything is as it was, or done whole.
    """
    kills, done, untouched, wrongs = 0, 0, 0, []
    for act in ACTS if proof.full else proof.random.sample(list(ACTS), 2):
        plan, whole = house.once(acted, act)
        for place in some(proof, plan, check=1):
            here = scene(house, act)
            child = house.nursery.child("act", place.kill, **here.given)
            assert child.ended() == -signal.SIGKILL
            now = here.look()
            kills, done, untouched = kills + 1, done + (now == whole), untouched + (not now)
            if not now:
                house.nursery.child("act", **here.given).succeeds()
            if here.look() != whole:
                wrongs.append(f"{act}, {place}: {now} then, {here.look()} in the end")

    assert not wrongs
    assert house.breaks() == []
    proof.title = f"Killed while acting on connections, members and requests, {NAMES[database_kind]}: at every point"
    proof.figure("processes killed", kills)
    proof.figure("found done", done)
    proof.figure("found untouched, and done by asking again", untouched)
    proof.figure("half done", kills - done - untouched)


# ── The mail that follows ───────────────────────────────────────────────────


def handed_over(house: House) -> Scene:
    """Something was handed over to somebody whom a mail had reached; the five minutes till the next have gone by."""
    here = scene(house, TO_WHO_WAS_MAILED)
    house.nursery.child("act", **here.given).succeeds()
    with here.office.inside(), transaction() as session:
        session.execute(update(Recipient).values(mailed_at=clock.now() - timedelta(minutes=6)))
        session.execute(update(OutboxItem).where(OutboxItem.kind == joining.KIND).values(due_at=clock.now()))
    return here


def renewed(house: House) -> list[Place]:
    """Every point that a worker passes as it mails the fresh link."""
    here, trace = handed_over(house), house.trace()
    house.work(trace=trace)
    assert len(mails_to(here, COLLEAGUE)) == 2
    return places(trace)


def mails_to(here: Scene, name: str) -> list:
    return here.office.house.smtp.inbox.to(here.office.address(name))


def test_killed_while_mailing_a_fresh_link(houses, proof):
    """A worker is killed at every point that it passes as it mails a fresh link to who was handed something, and another goes
    on: the mail comes, once or once more the same to the byte, and there is one new link.
    """
    kills, wrongs = 0, []
    for house in houses:
        for place in some(proof, house.once(renewed), check=1, always=["renewal.minted"]):
            here = handed_over(house)
            house.work_until_killed(place.kill)
            with here.office.inside():
                left = sum(item.state is OutboxState.TRANSMITTING for item in rows(OutboxItem))
            house.work()
            kills += 1
            _, *fresh = mails_to(here, COLLEAGUE)
            with here.office.inside():
                links = [each.epoch for each in rows(Bundle, Bundle.recipient == here.office.address(COLLEAGUE))]
                states = {item.state for item in rows(OutboxItem)}
            if not 1 <= len(fresh) <= 1 + left or len({mail.raw for mail in fresh}) != 1:
                wrongs.append(f"{place}: came {len(fresh)} times, was transmitting {left} times")
            if max(links) != 2 or states != {OutboxState.DONE}:
                wrongs.append(f"{place}: links {links}, work {states}")

    assert not wrongs
    proof.title = "Killed while mailing a fresh link after a hand-over"
    proof.figure("workers killed", kills)
    proof.figure("links lost, doubled or changed", len(wrongs))


def invited(house: House) -> "Letters":
    here = office(house)
    with here.inside() as (_, workspace):
        people = [factories.make_member(workspace, here.address(name), name.title()) for name in INVITED]
        with transaction():
            for member in people:
                letters.invite(member, at=clock.now())
    return Letters(house, [here.address(name) for name in INVITED], here)


class Letters:
    """Invitations to some people, and how often a worker died while one was on its way."""

    def __init__(self, house, people, here) -> None:
        self.house, self.people, self.office, self.left = house, people, here, 0

    def look(self) -> None:
        with self.office.inside():
            self.left += sum(item.state is OutboxState.TRANSMITTING for item in rows(OutboxItem))

    def wrongs(self) -> list[str]:
        came = {to: self.house.smtp.inbox.to(to) for to in self.people}
        more = sum(map(len, came.values())) - len(came)
        wrongs = [f"{to} got none" for to, mails in came.items() if not mails]
        wrongs += [f"{to} got two that differ" for to, mails in came.items() if len({mail.raw for mail in mails}) > 1]
        with self.office.inside():
            wrongs += [f"is {item.state}" for item in rows(OutboxItem) if item.state is not OutboxState.DONE]
        return wrongs + ([f"{more} came once more, {self.left} were transmitting"] if more > self.left else [])


def written(house: House) -> list[Place]:
    """Every point that a worker passes with letters."""
    house.work()
    invited(house)
    trace = house.trace()
    house.work(trace=trace)
    return places(trace)


def test_killed_at_every_point_of_letters(houses, proof):
    """A worker is killed at every point that it passes with two invitations, and another does the rest. Each has come: once,
    or once more the same to the byte where the worker died with it `transmitting`.
    """
    kills, twice, wrongs = 0, 0, []
    for house in houses:
        for place in some(proof, house.once(written), check=2, always=["letter.sealed"]):
            mails = invited(house)
            house.work_until_killed(place.kill)
            mails.look()
            house.work()
            kills, twice = kills + 1, twice + sum(len(house.smtp.inbox.to(to)) - 1 for to in mails.people)
            wrongs += [f"{place}: {wrong}" for wrong in mails.wrongs()]

    assert not wrongs
    proof.title = "Killed while mailing letters: at every point"
    proof.figure("workers killed", kills)
    proof.figure("came a second time, the same to the byte", twice)
