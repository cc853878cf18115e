"""Counters: so many in a window of time, and never one more, however many ask at once."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from app.database import transaction
from app.errors import Refused, Repeated
from app.extensions import db
from app.models import Counter
from app.services import counters
from tests.support import shared_app
from tests.support.elsewhere import at_once, outcomes

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("app_context")]
agency, app, config, stranger = shared_app.fixtures

AT = datetime(2026, 11, 20, 9, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def key(request):
    return f"a key of {request.node.name}"


def hit(key, at=AT, limit=3, window=MINUTE):
    return counters.hit(key, at=at, window=window, limit=limit)


def test_hit_counts_up_to_the_limit_and_not_beyond(key):
    assert [hit(key) for _ in range(5)] == [True, True, True, False, False]
    assert db.session.scalar(select(Counter.count).where(Counter.key == key)) == 3


def lately(key, at, limit=4):
    return counters.hit_lately(key, at=at, window=MINUTE, limit=limit)


def test_hit_lately_lets_nobody_through_twice_at_an_edge(key):
    edge = AT + timedelta(seconds=29.9)

    assert [lately(key, edge) for _ in range(5)] == [True] * 4 + [False]
    assert not any(lately(key, edge + timedelta(seconds=later)) for later in (0.2, 5, 14))
    assert all(lately(key, edge + timedelta(seconds=61 + second)) for second in range(3))


@pytest.mark.parametrize("first", [0, 17, 29])
def test_seconds_to_wait_says_when_there_is_room_again(key, first):
    at = AT + timedelta(seconds=first)
    for seconds in range(4):
        assert lately(key, at + timedelta(seconds=seconds))
    at += timedelta(seconds=10)
    wait = counters.seconds_to_wait(key, at=at, window=MINUTE, limit=4)

    assert not lately(key, at + timedelta(seconds=wait - 2))
    assert lately(key, at + timedelta(seconds=wait))


def hit_all(*counted, at=AT):
    return counters.hit_all([counters.Hits(key, MINUTE, limit, times) for key, limit, times in counted], at=at)


def test_hit_all_counts_each_as_often_as_is_said_and_not_beyond_its_own_limit(key):
    one, two = f"{key}, one", f"{key}, two"

    assert hit_all((one, 5, 3), (two, 2, 1)) == set()
    assert hit_all((one, 5, 3), (two, 2, 1)) == {one}
    assert hit_all((one, 5, 2), (two, 2, 1)) == {two}

    assert [counters.count(each, at=AT, window=MINUTE) for each in (one, two)] == [5, 2]
    assert hit_all((one, 5, 5), (two, 2, 2), at=AT + MINUTE) == set()


@pytest.mark.parametrize("limit", [0, 2])
def test_hit_all_counts_nothing_under_a_key_that_was_not_counted_yet_where_it_would_be_too_much(key, limit):
    assert hit_all((key, limit, 3), (f"{key} too", 9, 1)) == {key}
    assert counters.count(key, at=AT, window=MINUTE) == 0


def test_hit_all_counts_what_hit_does(key):
    assert hit(key) is True
    assert hit_all((key, 3, 2)) == set()
    assert hit(key) is False


def test_hit_begins_anew_with_the_next_window(key):
    assert [hit(key) for _ in range(4)][-1] is False
    assert hit(key, at=AT + timedelta(seconds=29)) is False
    assert hit(key, at=AT + timedelta(seconds=30)) is True


def test_hit_keeps_keys_apart(key):
    assert [hit(key, limit=1), hit(f"{key} too", limit=1), hit(key, limit=1)] == [True, True, False]


def test_twenty_at_once_are_counted_to_the_limit(key):
    futures = at_once([lambda: hit(key, limit=7)] * 20)

    assert sorted(outcomes(futures)) == [False] * 13 + [True] * 7
    assert db.session.scalar(select(Counter.count).where(Counter.key == key)) == 7


def test_what_is_rolled_back_does_not_count(key):
    with pytest.raises(ZeroDivisionError), transaction():
        assert hit(key) / 0

    assert db.session.scalar(select(Counter.count).where(Counter.key == key)) is None


@pytest.mark.parametrize(
    ("seconds", "window", "left"), [(0, 60, 60), (30, 60, 30), (59, 60, 1), (59.9, 60, 1), (30, 3600, 3570)]
)
def test_seconds_left_is_at_least_one(seconds, window, left):
    at = AT.replace(second=0) + timedelta(seconds=seconds)

    assert counters.seconds_left(at=at, window=timedelta(seconds=window)) == left


@pytest.mark.parametrize("window", [MINUTE, timedelta(hours=1), timedelta(days=1)], ids=str)
def test_forget_drops_what_ended_a_day_ago_and_nothing_else(key, window):
    hit(key, at=AT - timedelta(days=3), window=window)
    hit(key, at=AT, window=window)

    counters.forget(before=AT - timedelta(days=1))

    assert len(db.session.scalars(select(Counter.window).where(Counter.key == key)).all()) == 1


def test_forget_never_drops_what_happens_once_for_ever(key):
    ever = timedelta(days=400_000)
    assert hit(key, limit=1, window=ever)

    counters.forget(before=AT - timedelta(days=1))

    assert not hit(key, limit=1, window=ever)


def test_once_lets_a_form_be_acted_on_once_a_day_at_least(key):
    def act(at=AT):
        with transaction():
            counters.once(key, at=at)

    act()
    for later in (timedelta(0), timedelta(hours=14, minutes=59), timedelta(hours=23)):
        with pytest.raises(Repeated):
            act(AT + later)


def test_once_lets_a_form_that_was_refused_be_sent_again(key):
    def refused():
        with transaction():
            counters.once(key, at=AT)
            raise Refused("Write another name.")

    with pytest.raises(Refused):
        refused()
    with transaction():
        counters.once(key, at=AT)


def test_once_does_not_mind_forms_without_a_mark():
    with transaction():
        counters.once("", at=AT)
        counters.once("", at=AT)


def test_once_at_the_same_moment_is_once(key):
    def act():
        with transaction():
            counters.once(key, at=AT)

    assert sorted(map(str, outcomes(at_once([act] * 8)))) == [str(Repeated)] * 7 + ["None"]
