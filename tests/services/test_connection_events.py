"""What was done with a connection, in words for staff."""

import re
from pathlib import Path

import pytest

from app.database import transaction
from app.services import audit, connection_events
from app.services.audit import SYSTEM
from tests import factories

HERE = Path(__file__).parents[2] / "app"
WORD = re.compile(r'"((?:connection|mail|grant)\.[a-z_]+)"')
WORK = {"connection.refresh", "connection.revoke", "connection.id", "grant.discard"}  # of the worker, and columns


def recorded():
    """Every type that the code may write of a connection."""
    sources = (path.read_text() for path in (HERE / "services").glob("*.py") if path.name != "connection_events.py")
    return {found for source in sources for found in WORD.findall(source)} - WORK


def test_every_type_that_is_recorded_of_a_connection_has_words():
    assert {"connection.owner_left", "mail.held", "grant.discarded"} <= recorded()
    assert recorded() <= set(connection_events.ACTS)


@pytest.mark.parametrize("act", sorted(connection_events.ACTS))
def test_no_event_is_told_by_its_code(workspace, clock, act):
    held = factories.make_connection(workspace, owner_email="priya@x.example")
    told = {"owner": "priya@x.example", "before": "dana@x.example", "recipient": "priya@x.example"}
    with transaction():
        audit.record(act, held, by=SYSTEM, at=clock.now, **told)
    [event] = connection_events.page(held).items

    assert event.act[0].isupper()
    assert "." not in event.act
    assert "_" not in event.act


def test_mail_is_told_by_what_it_says_and_whom(workspace, clock):
    held = factories.make_connection(workspace, owner_email="priya@x.example")
    with transaction():
        told = {"recipient": "priya@x.example", "letter": "connection.broken"}
        audit.record("mail.sent", held, by=SYSTEM, at=clock.now, **told)
        audit.record("mail.undelivered", held, by=SYSTEM, at=clock.now, **told)
        audit.record("connection.owner_left", held, by=SYSTEM, at=clock.now, owner="priya@x.example")

    assert [(each.act, each.how) for each in connection_events.page(held).items] == [
        ("Passed to the other members", "as priya@x.example was removed"),
        ("E-mail about it was not delivered", "to priya@x.example"),
        ("E-mail that it broke was sent", "to priya@x.example"),
    ]


def test_what_has_no_words_is_left_out(workspace, clock):
    held = factories.make_connection(workspace)
    with transaction():
        audit.record("connection.folded", held, by=SYSTEM, at=clock.now)

    assert connection_events.page(held).items == []
