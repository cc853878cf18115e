"""Killed while it refreshes a connection that many wait for: one of them refreshes it, or all are told that it needs its owner."""

import contextlib
import json
import signal
import time

import pytest

from app.models import Connection, Health
from tests.faults.killing import rows
from tests.faults.test_killed_refreshing import CALLED, due
from tests.support import points
from tests.support.servers import wait_until
from tests.support.staff_browser import StaffBrowser

pytestmark = pytest.mark.both_databases
PROCESSES, THREADS = 3, 4
MANY = PROCESSES * THREADS
SOON = 0.3  # seconds in which who asks is where they wait


@contextlib.contextmanager
def killed(house, scene, point):
    """The winner is killed there while others wait; what these come to is in the list after the block."""
    gate, came_to = house.trace(), []
    winner = house.nursery.child("use", points.pause(point, gate), **scene.given)
    wait_until(gate.exists)
    files = [(house.trace(), house.trace()) for _ in range(PROCESSES)]
    others = [
        house.nursery.child("use_at_once", threads=THREADS, asking=str(asking), told=str(told), **scene.given)
        for asking, told in files
    ]
    wait_until(lambda: all(asking.exists() for asking, _ in files))
    time.sleep(SOON)
    assert not any(told.exists() for _, told in files), "they wait"
    winner.kill()
    assert winner.ended() == -signal.SIGKILL

    yield came_to

    for other, (_, told) in zip(others, files, strict=True):
        other.succeeds()
        came_to += json.loads(told.read_text())
    assert len(came_to) == MANY


def panel(scene):
    """The first page of staff, and the connection's."""
    with scene.office.inside() as (owner, _):
        staff = StaffBrowser(scene.office.house.app, owner)
        public_id = rows(Connection)[0].public_id
    answers = [
        staff.open(path, base_url=scene.office.house.url) for path in ("/panel/", f"/panel/connections/{public_id}")
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    return [answer.text for answer in answers]


def test_killed_before_the_call_one_who_waits_refreshes_and_all_get_the_new_token(house):
    with due(house) as scene:
        with killed(house, scene, "refresh.taken") as came_to:
            pass

        (token,) = set(came_to)
        assert house.provider.call_api(token)[0] == 200
        assert (scene.look(), scene.refreshes, scene.works) == ((Health.ACTIVE, None, 2, False), 1, True)
        assert scene.letters == 0
        assert not any("be reauthorized" in each for each in panel(scene))


@pytest.mark.parametrize(("point", "asked"), [(CALLED, 0), ("refresh.answered", 1)])
def test_killed_after_the_call_all_who_wait_and_both_sides_are_told_and_nobody_asks_again(house, point, asked):
    with due(house) as scene:
        with killed(house, scene, point) as came_to:
            assert scene.look() == (Health.ACTIVE, None, 1, True)
            house.work()

        (words,) = set(came_to)
        assert words.startswith("Conflict: This connection needs to be reconnected.")
        house.nursery.child("use", **scene.given).succeeds()
        assert (scene.look(), scene.refreshes) == ((Health.ERROR, "interrupted", 1, False), asked)
        assert (scene.letters, scene.acts["connection.broken"]) == (1, 1)
        home, its_own = panel(scene)
        assert "A connection needs to be reauthorized" in home
        assert "Reconnection needed" in its_own
