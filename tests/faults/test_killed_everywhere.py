"""Every point of the main job is one that somebody is killed at; and the whole of it at any moment."""

import threading
import time
from functools import partial

from app.models import OutboxItem, OutboxState
from tests.faults import (
    acts,
    test_killed_acting,
    test_killed_connecting,
    test_killed_mailing,
    test_killed_refreshing,
    test_killed_revoking,
    test_killed_sending,
)
from tests.faults.connectings import SCENES
from tests.faults.killing import Place, rows
from tests.faults.mailings import Mailing, Tally
from tests.faults.sendings import ACTS, Sending, asking
from tests.support import points
from tests.support.servers import wait_until

OTHERS = ("vault.",)  # killed at by proofs of their own


def test_no_point_of_the_main_job_is_left_out(house):
    scenes: list[list[Place]] = [house.once(test_killed_sending.passed, act)[0] for act in ACTS]
    for name in SCENES:
        scenes += house.once(test_killed_connecting.gone_through, name)[:2]
    scenes.append(house.once(test_killed_connecting.given_back))
    scenes += [house.once(test_killed_revoking.let_go, act)[0] for act in test_killed_revoking.ACTS]
    scenes.append(house.once(test_killed_revoking.given_back))
    scenes += [house.once(test_killed_refreshing.gone_through, name) for name in test_killed_refreshing.SCENES]
    scenes.append(house.once(test_killed_refreshing.lapsed))
    scenes += [house.once(test_killed_acting.acted, act)[0] for act in acts.ACTS]
    scenes += [house.once(find) for find in (test_killed_acting.renewed, test_killed_acting.written)]
    scenes.append(house.once(test_killed_mailing.passed))
    scenes.append(house.once(test_killed_mailing.passed, test_killed_mailing.ACCEPTED))
    scenes.append(house.once(test_killed_mailing.passed_with_several))
    passed = {place.point for scene in scenes for place in scene}

    assert {name for name in points.every() if not name.startswith(OTHERS)} - passed == set()


def test_killed_with_its_worker_at_any_moment(houses, proof):
    """The embedded server, which serves and mails in one process, is killed by SIGKILL at moments drawn by chance while
    staff press “Send to client”, and started again, until every mail has come. What came is counted as where workers
    alone are killed.
    """
    proof.title = "Killed while serving and mailing: at any moment"
    tally = Tally()
    for house in houses:
        for number in range(proof.size(check=1, prove=10)):
            scene = asking(house)
            mails = Mailing(scene.office, [scene.office.address(name) for name in ("ann", "ben")])
            for _ in range(3):
                _press_and_kill(scene, proof.random.uniform(0, 0.25))
                mails.look()
            with house.served(working=True, patience=0.3) as web:
                scene.press()
                wait_until(partial(_is_idle, scene), timeout=30)
                web.ask_to_stop()
                assert web.ended() == 0
            tally.add(mails, kills=3, where=number)

    tally.tell(proof)


def _press_and_kill(scene: Sending, after: float) -> None:
    with scene.house.served(working=True, patience=0.3) as web:
        pressing = threading.Thread(target=scene.press)
        pressing.start()
        time.sleep(after)
        web.kill()
    with scene.house.served():  # who came too late to be hurt is served by the next
        pressing.join()


def _is_idle(scene: Sending) -> bool:
    with scene.office.inside():
        return all(item.state is OutboxState.DONE for item in rows(OutboxItem))
