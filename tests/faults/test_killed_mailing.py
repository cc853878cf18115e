"""Killed while mailing: none lost; a second one only from `transmitting`, the same to the byte."""

import signal
import time

import pytest

from app.models import AuditEvent, OutboxItem, OutboxState
from app.services import outbox
from tests.faults.killing import NAMES, House, Place, places, rows, some, timed
from tests.faults.mailings import CHANGED, LOST, Mailing, Tally, mailing

both = pytest.mark.both_databases
ACCEPTED = Place("smtp.accepted", 2)


def passed(house: House, *before: Place) -> list[Place]:
    """Every point that a worker passes with three mails, each time that it does; others have died at the places before."""
    house.work()
    mailing(house)
    for place in before:
        house.work_until_killed(place.kill)
    trace = house.trace()
    house.work(trace=trace)
    return places(trace)


def killed(house: House, *at: Place, halfway: int = 0, without: str = "") -> Mailing:
    """Three mails, and as many workers as places, each killed at its own; then one that lives."""
    mails = mailing(house)
    for place in at:
        house.work_until_killed(place.kill, without=without)
        mails.look()
    if halfway:
        house.work_until_killed(halfway=halfway)
        mails.look()
    house.work(without=without)
    return mails


@both
def test_killed_at_every_point_of_mailing(house, proof, database_kind):
    """A worker is killed by SIGKILL at every point that it passes with three mails, each time that it passes, and with
    half of a mail on the wire; another does the rest. Then every mail has come: once, or once more where the worker died
    between the commit of `transmitting` and that after the server's 250. The link's clock has started once, and the mail
    is counted once.
    """
    proof.title = f"Killed while mailing, {NAMES[database_kind]}: at every point"
    plan = some(proof, house.once(passed), check=2, always=["smtp.accepted"])
    tally = Tally()
    for place in plan:
        tally.add(killed(house, place), kills=1, where=place)
    for nth in range(1, proof.size(check=1, prove=3) + 1):
        mails = killed(house, halfway=nth)
        tally.add(mails, kills=1, where=f"halfway {nth}")
        assert (mails.left.total(), mails.twice) == (1, 0)  # a server takes no half mails

    assert tally.kills >= proof.size(check=3, prove=60)
    assert house.breaks() == []
    tally.tell(proof)


def three_at_once(house: House) -> list[Mailing]:
    """Nine mails of three agencies: after the first, a worker has up to three under way at once."""
    return [mailing(house) for _ in range(3)]


def passed_with_several(house: House) -> list[Place]:
    """Every point that a worker passes with several mails under way, each time that it does."""
    house.work()
    three_at_once(house)
    trace = house.trace()
    house.work(trace=trace)
    return places(trace)


@both
def test_killed_with_several_mails_under_way(house, proof, database_kind):
    """Nine mails are due, and the worker that is killed has several of them under way, each over a connection of its own.
    What was begun together is written down together: then as with one after the other, every mail has come, and once more
    only where it was `transmitting`.
    """
    proof.title = f"Killed while mailing, {NAMES[database_kind]}: several under way"
    plan = some(proof, house.once(passed_with_several), check=2, always=["lanes.begun", "owed.written"])
    tally = Tally()
    for place in plan:
        scenes = three_at_once(house)
        house.work_until_killed(place.kill)
        for mails in scenes:
            mails.look()
        house.work()
        for number, mails in enumerate(scenes):
            tally.add(mails, kills=not number, where=place)

    assert house.breaks() == []
    tally.tell(proof)


def test_killed_again_while_making_good(houses, proof):
    """The worker that makes good what a dead one left is killed too, at every point as it passes it first, and a third
    does the rest. Every mail has come, and at most once more for each worker that died with it `transmitting`.
    """
    proof.title = "Killed while mailing: again while making good"
    tally = Tally()
    for house in houses:
        first = [place for place in house.once(passed, ACCEPTED) if place.nth == 1]
        for place in some(proof, first, check=1, always=["lease.released"]):
            tally.add(killed(house, ACCEPTED, place), kills=2, where=place)

    tally.tell(proof)


def test_killed_at_any_moment_of_mailing(houses, proof):
    """Workers are killed at moments drawn by chance, one after the other, until one gets through; so is one of two that
    work at once. What came is counted as at the points.
    """
    proof.title = "Killed while mailing: at any moment"
    tally = Tally()
    for house in houses:
        mailing(house)
        took = timed(house.work)
        for number in range(proof.size(check=1, prove=12)):
            mails, kills = mailing(house), 0
            while kills < 8 and _dies(house, proof.random.uniform(0, took), mails, others=number % 3 == 2):
                kills += 1
            house.work()
            tally.add(mails, kills=kills, where=number)

    tally.tell(proof)


def _dies(house: House, after: float, mails: Mailing, *, others: bool) -> bool:
    """Whether a worker was still at work when it was killed so many seconds after its start."""
    beside = [house.nursery.child("work", patience=0.4)] if others else []
    worker = house.nursery.child("work", patience=0.4 if others else 0)
    time.sleep(after)
    worker.kill()
    mails.look()
    for other in beside:
        other.succeeds()
    return worker.ended() == -signal.SIGKILL and not others


def test_where_doubt_is_to_be_held_nothing_comes_twice(houses, proof):
    """With `GATEHOUSE_MAIL_AMBIGUOUS=hold`, a mail that a dead worker may have sent is parked for staff and told in the
    audit trail; “Try again” sends the very same once more.
    """
    proof.title = "Killed while mailing: where doubt is held"
    before = after = 0
    for house in houses:
        mails = mailing(house)
        house.work_until_killed(ACCEPTED.kill, hold=True)
        mails.look()
        house.work(hold=True)
        came = {to: len(received) for to, received in mails.came.items()}
        with mails.office.inside():
            (held,) = rows(OutboxItem, OutboxItem.state == OutboxState.HELD)
            (told,) = rows(AuditEvent, AuditEvent.type == "mail.held")
            assert (held.key, held.error) == (f"{told.subject}:1", "uncertain")
            assert outbox.retry_now(held.kind, held.key, at=held.created_at)
        house.work(hold=True)

        assert (came, mails.left.total()) == (dict.fromkeys(mails.people, 1), 1)
        assert (mails.wrongs(), mails.twice) == ([], 1)
        before, after = before + sum(came.values()), after + sum(map(len, mails.came.values()))
    proof.figure("mails that came before staff looked", before)
    proof.figure("mails that came once “Try again” was pressed", after)


# ── The count would notice ───────────────────────────────────────────────────


def test_a_mail_sent_without_a_word_before_would_be_noticed(house):
    mails = killed(house, ACCEPTED, without="the_transmitting_commit")

    wrongs = mails.wrongs()
    assert any(wrong.endswith(CHANGED) for wrong in wrongs), wrongs
    assert any("came 2 times, was transmitting 0 times" in wrong for wrong in wrongs), wrongs


def test_a_mail_taken_off_the_queue_at_once_would_be_missed(house):
    mails = killed(house, ACCEPTED, without="the_lease")

    assert sum(wrong.endswith(LOST) for wrong in mails.wrongs()) == 1
