"""The nursery: its children act, fail, are killed, and do not outlive their test."""

import contextlib
import os
import signal

import pytest

from tests.support import points
from tests.support.nursery import nursery
from tests.support.processes import environment
from tests.support.servers import wait_until


@pytest.fixture(scope="module")
def house():
    with nursery("tests.support.tiny_acts", env=environment()) as house:
        yield house


def is_alive(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_a_child_acts_in_a_process_of_its_own(house):
    first, second = house.child("fine"), house.child("fine")
    first.succeeds()

    assert (first.pid != second.pid, second.ended()) == (True, 0)


def test_a_child_that_fails_says_why(house):
    with pytest.raises(AssertionError, match="ValueError: no reason at all"):
        house.child("wrong", why="no reason at all").succeeds()


def test_a_child_dies_at_a_point_and_the_next_does_not(house):
    killed = house.child("commit", points.kill("transaction.committed"))

    assert killed.ended() == -signal.SIGKILL
    house.child("commit").succeeds()


def test_a_child_is_killed_and_asked_to_stop_from_outside(house):
    killed, asked = house.child("long"), house.child("long")
    killed.kill()
    asked.ask_to_stop()

    assert (killed.ended(), asked.ended()) == (-signal.SIGKILL, -signal.SIGTERM)
    killed.kill()  # once more does no harm


def test_no_child_outlives_the_interest_in_it(house):
    child = house.child("long")
    assert is_alive(child.pid)
    child.close()

    wait_until(lambda: not is_alive(child.pid))
