"""What several people press at once, in two processes: one effect for each cause."""

import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from tests.faults.twice import scenes, unguarded
from tests.faults.twice.history import Found, look
from tests.faults.twice.scenes import Pressed, Scene
from tests.support.crowd import Task

pytestmark = pytest.mark.both_databases

REFUSALS = ("Conflict: ", "Refused: ", "RateLimited: ")
# Mostly what the promise names; the rest is what may come in between.
ACTS = (
    "send",
    "send",
    "send",
    "publish",
    "publish",
    "resend",
    "resend",
    "resend",
    "resend",
    "queue",
    "queue",
    "cancel",
)
ACTS += ("move", "decline")
# Within the five minutes after a mail, at their very end, and past them.
MOST_TURNS = 30
_numbers = itertools.count(1)
LATER = (1, 20, 299.99, 300.01, 301, 400)


@dataclass
class Tally:
    """What all rounds came to together."""

    let_go: int = 0
    acts: int = 0
    refused: int = 0
    mixed: int = 0
    together: list[Found] = field(default_factory=list)

    def sum(self, name: str) -> int:
        return sum(getattr(found, name) for found in self.together)


class Play:
    """Rounds of random acts at one place, each in a scene of its own."""

    def __init__(self, place, proof) -> None:
        self.place, self.chance, self.tally = place, proof.random, Tally()

    def round(self, number: int, *, acts: tuple[str, ...] = ACTS) -> Found:
        """Three times some acts at once, with the mail worker among them, and a wait between; then look at everything.

        In two rounds of five the agency allows few mails: two to one person, or four in all.
        """
        moment = scenes.BEGIN
        self._at(moment)
        caps = {1: (2, 1000), 3: (20, 4)}.get(number % 5, (20, 1000))
        scene = scenes.build(next(_numbers), self.chance, caps=caps)
        asked = scene.requests()
        unexpected = []
        for _ in range(3):
            moment += timedelta(seconds=self.chance.choice(LATER))
            self._at(moment)
            tasks = self._tasks(scene, acts)
            came_to = self.place.company.at_once(tasks)
            self.tally.let_go += 1
            self.tally.mixed += self._overlap(tasks, came_to)
            unexpected += self._unexpected(came_to)
            for _ in range(MOST_TURNS):
                if not any(self.place.company.everywhere(scenes.turn)):
                    break
        found = look(scene, asked, self.place.smtp.inbox)
        found.faults += unexpected
        self.place.smtp.inbox.clear()
        self.tally.together.append(found)
        return found

    def _at(self, moment: datetime | None) -> None:
        scenes.travel(None, moment)
        self.place.company.everywhere(scenes.travel, moment)

    def _tasks(self, scene: Scene, acts: tuple[str, ...]) -> list[Task]:
        chance, asked = self.chance, [each.public_id for each in scene.requests()]
        tasks = []
        for _ in range(chance.randint(6, 9)):
            name = chance.choice(acts)
            what = {"send": scene.workflow_ids, "publish": scene.workflow_ids, "queue": scene.slot_ids}.get(name, asked)
            who = (scene.agency_id, chance.choice(scene.staff_ids))
            pressed = Pressed(*who, chance.choice(what), text=chance.choice(scene.people))
            tasks.append((getattr(scenes, name), pressed))
        tasks += [(scenes.turn, None)] * 3
        return [Task(scenes.timed, each, chance.randrange(2), chance.uniform(0, 0.01)) for each in tasks]

    def _overlap(self, tasks: list[Task], came_to: list) -> bool:
        """Whether an act of one process ran while one of the other did."""
        spans = [[each[:2] for task, each in zip(tasks, came_to, strict=True) if task.process == n] for n in range(2)]
        return any(one[0] < two[1] and two[0] < one[1] for one, two in itertools.product(*spans))

    def _unexpected(self, came_to: list) -> list[str]:
        errors = [each[2] for each in came_to if isinstance(each[2], str) and ": " in each[2]]
        self.tally.acts += len(came_to)
        self.tally.refused += sum(error.startswith(REFUSALS) for error in errors)
        return [error for error in errors if not error.startswith(REFUSALS)]


@pytest.fixture
def play(place, proof):
    play = Play(place, proof)
    yield play
    play._at(None)


def test_send_publish_and_resend_at_once_are_one_mail_a_person_and_epoch(play, proof, database_kind):
    """Staff press “Send to client”, publish, resend, add, cancel and hand over at random moments in two processes, while both
    hand mail over. Every history could have happened one act after the other, each allowed by the rules, and ended as they say.
    """
    rounds = proof.size(check=3, prove=170)
    faults = {number: found.faults for number in range(rounds) if (found := play.round(number)).faults}

    assert not faults
    tally = play.tally
    assert tally.sum("mails") > rounds
    if proof.full:
        assert tally.mixed > tally.let_go * 0.9
        assert min(tally.sum("resends"), tally.sum("waiting"), tally.refused) > 0
    proof.title = f"Twice: send, publish and resend at once ({database_kind})"
    proof.figure("interleavings", tally.let_go)
    proof.figure("of them with acts of both processes running at the same time", tally.mixed)
    proof.figure("acts tried", tally.acts)
    proof.figure("refused with a sentence", tally.refused)
    proof.figure("acts done, by the audit trail", tally.sum("acts"))
    proof.figure("resends among them", tally.sum("resends"))
    proof.figure("epochs of links", tally.sum("epochs"))
    proof.figure("mails that arrived", tally.sum("mails"))
    proof.figure("mails held back because a cap was spent", tally.sum("waiting"))
    proof.figure("doubled, missing or incomplete mails, caps or waits not kept", sum(map(len, faults.values())))


# ── It would be noticed ─────────────────────────────────────────────────────


# The defence, what is pressed meanwhile, and the words of the faults that are found then.
MISSED = {
    "the wait between resends": (("resend",), "request.resent was not allowed"),
    "the caps": (ACTS, "more than "),
    "the claim of a mail": (ACTS, "came twice"),
    "one after the other": (ACTS, "Error: "),
    "the condition of the update": (("send", "send", "queue"), "sent twice"),
}


@pytest.mark.parametrize("defence", MISSED)
def test_a_defence_that_is_switched_off_is_missed(play, defence):
    """The same rounds find the fault once it is off in both processes."""
    acts, words = MISSED[defence]
    with unguarded.without(play.place.company, defence):
        found = any(words in fault for number in range(1, 13) for fault in play.round(number, acts=acts).faults)

    assert found
