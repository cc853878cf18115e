from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import literal, select

from app.extensions import db
from app.services import counters, pauses
from tests.support import shared_app

pytestmark = [pytest.mark.both_databases, pytest.mark.usefixtures("agency")]
agency, app, config, stranger = shared_app.fixtures

AT = datetime(2026, 11, 20, 9, 35, 20, tzinfo=UTC)


def left(key, **later):
    end = db.session.scalar(select(pauses.end_of(literal(key))))
    return pauses.minutes_left(end, at=AT + timedelta(**later))


def test_keep_puts_off_one_client_alone_for_as_long_as_was_asked():
    pauses.keep("one", 100, at=AT)

    assert (left("one"), left("one", seconds=100), left("one", seconds=130), left("two")) == (2, 0, 0, 0)
    assert left("one", seconds=99) == 1


def test_keep_takes_the_longer_of_two_and_an_hour_at_most():
    for seconds in (3000, 60, 60, 86_400):
        pauses.keep("three", seconds, at=AT)

    assert (left("three"), left("three", minutes=61)) == (61, 0)


@pytest.mark.parametrize("seconds", [None, 0])
def test_keep_knows_no_pause_without_a_time(seconds):
    pauses.keep("four", seconds, at=AT)

    assert left("four") == 0


def test_a_pause_that_is_over_is_forgotten():
    pauses.keep("five", 60, at=AT)

    counters.forget(before=AT + timedelta(days=1))

    assert left("five") == 0


def test_a_pause_that_a_wrong_clock_wrote_is_not_kept_and_hides_no_other():
    pauses.keep("six", 1200, at=AT + timedelta(days=100))
    assert left("six") == 0

    pauses.keep("six", 1200, at=AT)

    assert (left("six"), left("six", minutes=21)) == (21, 0)
