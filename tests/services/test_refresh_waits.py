"""Waiting for another's refresh: all are served where it is quick, and where it is slow a few stay and the others go."""

import threading
import time

import pytest

from app.errors import ProviderFailed
from app.services import refresh_waits

BUSY = ProviderFailed("It takes long.")


@pytest.fixture
def slow(monkeypatch):
    """A refresh that is over when the test says so, and little patience without a place."""
    monkeypatch.setattr(refresh_waits, "QUICK", 0.1)
    over = threading.Event()
    yield over
    over.set()
    assert until(lambda: not (refresh_waits._looks or refresh_waits._staying))


def come(over, wanted, many, *, agency_id=1, patience=30.0):
    """So many threads that wait, and how each ended."""
    ends = []

    def wait():
        try:
            refresh_waits.wait(wanted, agency_id=agency_id, is_over=over.is_set, patience=patience, refusal=BUSY)
        except ProviderFailed:
            ends.append("refused")
        else:
            ends.append("over")

    threads = [threading.Thread(target=wait) for _ in range(many)]
    for thread in threads:
        thread.start()
    return threads, ends


def until(true):
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def test_however_many_wait_for_what_is_quick(slow, monkeypatch):
    monkeypatch.setattr(refresh_waits, "QUICK", 10.0)
    threads, ends = come(slow, (1, 1), 60)
    slow.set()
    for thread in threads:
        thread.join()

    assert ends == ["over"] * 60


def test_a_slow_one_keeps_a_few_threads_and_sends_the_others_away(slow):
    threads, ends = come(slow, (1, 1), 32)

    assert until(lambda: len(ends) == 32 - refresh_waits.EACH)
    assert set(ends) == {"refused"}
    slow.set()
    for thread in threads:
        thread.join()
    assert ends.count("over") == refresh_waits.EACH


def test_slow_ones_together_keep_no_more_than_half_of_the_threads(slow):
    ends = [come(slow, (connection, 1), 6, agency_id=connection)[1] for connection in range(1, 9)]

    assert until(lambda: sum(map(len, ends)) == 48 - refresh_waits.MOST)
    assert refresh_waits.staying() == refresh_waits.MOST


def test_slow_ones_of_one_agency_leave_places_to_the_others(slow):
    ends = [come(slow, (connection, 1), 6)[1] for connection in range(1, 4)]
    assert until(lambda: sum(map(len, ends)) == 18 - refresh_waits.OF_AGENCY)

    _threads, others = come(slow, (9, 1), 4, agency_id=2)
    assert until(lambda: refresh_waits.staying() == refresh_waits.OF_AGENCY + 4)
    assert others == []


def test_who_waits_too_long_is_told_so(slow):
    threads, ends = come(slow, (1, 1), 3, patience=0.3)
    for thread in threads:
        thread.join()

    assert ends == ["refused"] * 3
