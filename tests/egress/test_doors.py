"""How many exchanges with one host there may be at a time."""

import threading
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


def test_through_remembers_no_host_that_nobody_is_at():
    doors = Doors()

    for number in range(100):
        with doors.through(f"{number}.example"):
            pass
    with pytest.raises(KeyError), doors.through("a"):
        raise KeyError

    assert not doors._inside
