"""How many exchanges with one host there may be at a time."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.egress.doors import Doors
from app.egress.errors import EgressFailed


def test_through_lets_in_as_many_as_there_is_room_for_at_each_host():
    doors = Doors(most=2, patience=0)

    with doors.through("a"), doors.through("a"), doors.through("b"):
        with pytest.raises(EgressFailed, match="busy"), doors.through("a"):
            pass
        with doors.through("b"):
            pass

    with doors.through("a"), doors.through("a"):
        pass


def test_through_waits_a_moment_for_somebody_to_leave():
    doors, inside, leave = Doors(most=1, patience=5), threading.Event(), threading.Event()

    def stay():
        with doors.through("a"):
            inside.set()
            leave.wait(5)

    with ThreadPoolExecutor(1) as pool:
        staying = pool.submit(stay)
        inside.wait(5)
        threading.Timer(0.1, leave.set).start()
        with doors.through("a"):
            assert staying.result(5) is None


def stayed(doors, seconds, *, fails=False):
    """Be inside for so long; returns how long it took to get there, or None if it was refused."""
    began = time.monotonic()
    with contextlib.suppress(KeyError):
        try:
            with doors.through("a"):
                entered = time.monotonic()
                time.sleep(seconds)
                if fails:
                    {}.popitem()
        except EgressFailed:
            return None
    return entered - began


def queued(doors, *stays):
    """Have each come a little after the one before."""
    with ThreadPoolExecutor(len(stays)) as pool:
        came = []
        for seconds, fails in stays:
            came.append(pool.submit(stayed, doors, seconds, fails=fails))
            time.sleep(0.03)
        return [each.result(20) for each in came]


def test_through_lets_in_who_came_first():
    waited = queued(Doors(most=1, patience=5), *[(0.1, False)] * 6)

    entered = [0.03 * number + seconds for number, seconds in enumerate(waited)]
    assert entered == sorted(entered)


def test_through_refuses_none_of_all_threads_at_a_host_that_answers():
    """As many threads as a process has, each there again at once, and answers in well below the patience."""
    doors = Doors(patience=1)

    with ThreadPoolExecutor(32) as pool:
        waited = list(pool.map(lambda _: stayed(doors, 0.4), range(128)))

    assert None not in waited
    assert not doors._inside


@pytest.mark.parametrize("fails", [False, True])
def test_through_waits_on_while_others_get_answers_alone(fails):
    waited = queued(Doors(most=1, patience=0.4), (0.3, fails), (0.3, False), (0, False))

    assert (waited[2] is None) == fails


def test_through_waits_twice_as_long_at_most():
    waited = queued(Doors(most=1, patience=0.4), *[(0.35, False)] * 4)

    assert waited[2] > 0.4
    assert waited[3] is None


def test_through_gives_no_place_to_who_gave_up():
    doors = Doors(most=1, patience=0.05)

    assert queued(doors, (0.3, False), (0, False))[1] is None
    assert not doors._inside
    assert stayed(doors, 0) is not None


def test_through_remembers_no_host_that_nobody_is_at():
    doors = Doors()

    for number in range(100):
        with doors.through(f"{number}.example"):
            pass
    with pytest.raises(KeyError), doors.through("a"):
        raise KeyError

    assert not doors._inside
