"""PostgreSQL dies under load: what was acknowledged is there, and the pages come back by themselves (R9)."""

import time

import pytest

from tests import factories
from tests.support.databases import migrate
from tests.support.installed import Installation
from tests.support.people import Crowd, NotDone, Person
from tests.support.postgres import fresh_database, stoppable
from tests.support.servers import wait_until

PROMISED = 5.0  # seconds from when the database answers to the first page
WAYS = ("crash", "kill")


@pytest.fixture
def server():
    """A cluster that writes nothing to its log for seconds unless it must, so that a crash shows what it owes."""
    with stoppable(wal_writer_delay="10s") as server:
        yield server


@pytest.fixture
def installation(server, tmp_path, smtp):
    with fresh_database(server.url) as url:
        migrate(factories.driver(url), tmp_path)
        yield Installation(tmp_path, url, smtp.url)


@pytest.fixture
def crowd(installation, smtp):
    with installation.app() as app:
        yield Crowd(app, installation.url, smtp.inbox)


def fall(server, crowd, way):
    """Stop the database hard, and start it once some were told so; returns the seconds until a page was there again."""
    getattr(server, way)()
    unavailable = crowd.statuses[503]
    try:
        wait_until(lambda: crowd.statuses[503] >= unavailable + 3, timeout=20, every=0.005)
    finally:
        server.start()
    began = time.monotonic()
    with Person(crowd, crowd.cookies[0]) as staff:
        wait_until(lambda: shows_workspaces(staff), timeout=30, every=0.01)
    return time.monotonic() - began


def shows_workspaces(staff):
    try:
        return "Client 0" in staff.page("/panel/workspaces")
    except NotDone:
        return False


def test_what_was_acknowledged_survives_every_crash_of_postgresql(proof, server, installation, crowd):
    """Two processes of gunicorn, each with its worker, serve staff who ask and clients who decline, while PostgreSQL is
    killed again and again. Of what people were told had been done nothing is missing; meanwhile they get 503 with
    Retry-After and nothing else; and the pages are back within five seconds of the database.
    """
    falls, work = proof.size(check=1, prove=20), proof.size(check=8, prove=25)
    server.stop()
    server.start(synchronous_commit="off")  # commits are acknowledged before they are in the log
    with installation.gunicorn():
        with crowd.at_work(clients=0):
            crowd.goes_on(8)
            fall(server, crowd, "crash")
        assert crowd.lost(), "lost writes would not be noticed"

        crowd.forget()
        with crowd.at_work():
            away = []
            for number in range(falls):
                crowd.goes_on(work)
                away.append(fall(server, crowd, WAYS[number % 2]))
            crowd.goes_on(work)

    assert crowd.oddities == []
    assert crowd.lost() == []
    assert max(away) <= PROMISED
    proof.title = "Databases: PostgreSQL stopped hard"
    proof.figure("hard stops under load, every other one a SIGKILL to all its processes", falls)
    proof.figure("acts acknowledged to staff and clients", crowd.acknowledged)
    proof.figure("of these missing afterwards", len(crowd.lost()))
    proof.figure("answers 503 meanwhile, each with Retry-After", crowd.statuses[503])
    proof.figure(
        "longest from the first answer of the database to a page", f"{max(away):.2f} s of {PROMISED:.0f} at most"
    )
