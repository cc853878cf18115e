"""How often links may be opened from one address: counted in the database, for every link alike, over all processes."""

import threading
from collections import Counter as Tally
from datetime import datetime

import pytest
from flask import Flask
from sqlalchemy import select

from app import clock as app_clock
from app.config import Config
from app.database import transaction
from app.extensions import db
from app.models import Counter
from app.services import counters, link_tokens
from tests import factories
from tests.support import crowd, shared_app

PLACE = "203.0.113.77"
PROCESSES, THREADS, EACH = 2, 8, 6
agency, app, config, stranger = shared_app.fixtures
app_on_postgres, app_on_sqlite = shared_app.apps


def open_in_turn(app: Flask, links: list[str]) -> list[tuple[str, int, str, str]]:
    """Open these links one after the other; which, the status, how long to wait, and the page."""
    seen = []
    for link in links:
        answer = app.test_client().get(f"/l/{link}", environ_base={"REMOTE_ADDR": PLACE})
        seen.append((link, answer.status_code, answer.headers.get("Retry-After", ""), answer.text))
    return seen


def open_in_a_process(app: Flask, given: tuple[list[str], datetime, bool]) -> list[tuple[str, int, str, str]]:
    """The same in a process that ends after it: there it is one moment, and the count perhaps its own."""
    links, at, is_counted_apart = given
    app_clock.now = lambda: at
    if is_counted_apart:
        counters.hit = hit_here
    return open_in_turn(app, links)


_here: Tally = Tally()
_one_by_one = threading.Lock()


def hit_here(key: str, *, limit: int, **_: object) -> bool:
    """Count as a limiter in memory would, of which each process has its own."""
    with _one_by_one:
        _here[key] += 1
        return _here[key] <= limit


@pytest.fixture
def token(agency, workspace, owner) -> str:
    workflow = factories.make_workflow(workspace, owner, ("slack", "find_user"))
    (asked,) = factories.make_sent(workflow, owner)
    return link_tokens.of(asked.bundle)


def opened_by_two_processes(config: Config, token: str, *, is_counted_apart: bool = False):
    with transaction() as session:
        session.query(Counter).delete()
    links = [token, "a-guess", token[:-1]] * (EACH // 3)
    payload = (links, app_clock.now().replace(second=10, microsecond=0), is_counted_apart)
    came_to = crowd.crowd(config, open_in_a_process, payload, processes=PROCESSES, threads=THREADS)
    return [each for one in came_to for each in one]


@pytest.mark.both_databases
def test_row_09_two_processes_open_thirty_in_a_minute_and_refuse_the_next_for_every_link_alike(config, token):
    answers = opened_by_two_processes(config, token)

    statuses = Tally(status for _, status, *_ in answers)
    assert len(answers) == PROCESSES * THREADS * EACH
    assert statuses[303] + statuses[404] == 30
    assert statuses[303] > 0
    assert statuses[429] == len(answers) - 30
    refused = {(link, wait, page) for link, status, wait, page in answers if status == 429}
    assert {link for link, *_ in refused} == {token, "a-guess", token[:-1]}
    assert len({(wait, page) for _, wait, page in refused}) == 1
    assert {wait for _, wait, _ in refused} == {"50"}
    db.session.rollback()
    assert db.session.scalars(select(Counter.count).where(Counter.key == f"link:{PLACE}")).all() == [30]


def test_row_09_a_count_that_each_process_keeps_for_itself_would_be_noticed(config, token):
    answers = opened_by_two_processes(config, token, is_counted_apart=True)

    assert sum(status != 429 for _, status, *_ in answers) == 60


@pytest.mark.both_databases
def test_row_09_the_thirty_first_is_refused_also_when_it_would_have_opened(app, app_context, token, clock):
    """And a refusal is told to nobody as a failure of the link: the next minute it opens."""
    clock.to(clock.now.replace(second=10, microsecond=0))
    with transaction() as session:
        session.query(Counter).delete()

    assert {status for _, status, *_ in open_in_turn(app, ["a-guess"] * 30)} == {404}
    (would_open, would_not) = open_in_turn(app, [token, "a-guess"])
    assert would_open[1:] == would_not[1:]
    assert would_open[1:3] == (429, "50")
    clock.forward(seconds=50)
    ((_, status, *_),) = open_in_turn(app, [token])
    assert status == 303
