"""Four processes on one SQLite file: no “database is locked”, and a page that only reads waits for nobody (R10)."""

import contextlib
import sqlite3
import threading
import time

import httpx2
import pytest
from sqlalchemy.engine import make_url

from tests.support.people import Crowd, NotDone, Person
from tests.support.servers import wait_until
from tests.support.variant import Change

PROCESSES = 4
BEGINS = '"BEGIN IMMEDIATE" if write else "BEGIN"'
DEFERRED = Change("app.database", BEGINS, '"BEGIN"')
IMPATIENT = Change("app.database", "busy_timeout={WRITES_WAIT * 1000:.0f}", "busy_timeout=0")
IMMEDIATE = Change("app.database", BEGINS, '"BEGIN IMMEDIATE"')
VIEW = 'template = "panel/people/_list.html" if is_htmx() else "panel/people/index.html"'
PAGES = ("/panel/workspaces", "/panel/account", "/panel/apps")
PATIENCE = 2.0  # seconds that a page may take while somebody else holds the file


@pytest.fixture
def crowd(installation, smtp):
    with installation.app() as app:
        yield Crowd(app, installation.url, smtp.inbox, staff=6)


def trouble(installation, crowd, *, acts, processes=PROCESSES, changes=()):
    """How often a lock was met while processes did so much: in what they wrote, and in what they answered."""
    crowd.forget()
    with installation.gunicorn(processes=processes, changes=changes) as site, crowd.at_work(clients=3):
        wait_until(lambda: crowd.acknowledged >= acts or (changes and crowd.statuses[503]), timeout=900)
        return site.output().count("database is locked") + crowd.statuses[503]


def test_four_processes_write_one_sqlite_file_without_meeting_a_lock(proof, installation, crowd):
    """Four processes of gunicorn, each with its worker, write one file for nine people who work without a pause: nobody
    is told that the database is locked, nothing of the kind is in the logs, and all that was acknowledged is there.
    """
    for defence in (DEFERRED, IMPATIENT)[: proof.size(check=1, prove=2)]:
        assert trouble(installation, crowd, acts=500, processes=2, changes=[defence]), f"not noticed: {defence.new}"

    acts = proof.size(check=50, prove=1000)
    began = time.monotonic()
    met = trouble(installation, crowd, acts=acts)
    assert met == 0
    assert crowd.oddities == []
    assert crowd.lost() == []
    proof.title = "Databases: four processes on one SQLite file"
    proof.figure("acts acknowledged, each a write transaction", crowd.acknowledged)
    proof.figure("acts a second, on two cores with those who ask for them", round(acts / (time.monotonic() - began)))
    proof.figure("“database is locked” in logs and answers", met)
    proof.figure("longest answer to a page meanwhile", f"{max(crowd.seconds['GET']):.2f} s")
    proof.figure("longest answer to a form meanwhile", f"{max(crowd.seconds['POST']):.2f} s")


@contextlib.contextmanager
def writing(installation, _crowd):
    """Somebody is in the middle of writing."""
    with contextlib.closing(
        sqlite3.connect(make_url(installation.database_url).database, isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE agency SET name = name")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def reading(installation, crowd):
    """Another page is in the middle of being read from the database."""
    gate = installation.folder / "reading"
    with Person(crowd, crowd.cookies[1]) as slow:
        thread = threading.Thread(target=slow.page, args=("/panel/people",))
        thread.start()
        try:
            wait_until(gate.exists)
            yield
        finally:
            gate.unlink()
            thread.join()


def waits(installation, crowd, *, pages, changes=()):
    """How long pages took while somebody held the file, by who did; for one that waited, as long as we were patient."""
    gate = str(installation.folder / "reading")
    pause = (
        f"import pathlib, time; g = pathlib.Path({gate!r}); g.touch(); [time.sleep(.01) for _ in iter(g.exists, False)]"
    )
    slow = Change("app.web.panel.people", VIEW, f"{pause}; {VIEW}")
    found = {}
    with installation.serve(changes=[slow, *changes]), Person(crowd, crowd.cookies[0]) as staff:
        staff.page(PAGES[0])
        staff.web.timeout = httpx2.Timeout(PATIENCE)
        for held in (reading, writing):
            with held(installation, crowd):
                found[held] = [timed(staff, PAGES[number % len(PAGES)]) for number in range(pages)]
    return found


def timed(staff, path):
    began = time.monotonic()
    with contextlib.suppress(NotDone):
        staff.page(path)
    return time.monotonic() - began


@pytest.mark.alone
def test_a_page_that_only_reads_waits_for_nobody(proof, installation, crowd):
    """While another page is in the middle of its reading, and while a writer holds the file's lock, pages are answered
    as if nobody did. With every transaction begun IMMEDIATE each of them would wait for the other.
    """
    blocked = waits(installation, crowd, pages=1, changes=[IMMEDIATE])
    assert min(blocked[reading] + blocked[writing]) >= PATIENCE, "a wait would not be noticed"

    found = waits(installation, crowd, pages=proof.size(check=6, prove=300))
    proof.title = "Databases: pages that only read, on SQLite"
    for held, what in ((reading, "another page is read"), (writing, "somebody writes")):
        assert max(found[held]) < PATIENCE
        proof.figure(f"pages read while {what}", len(found[held]))
        proof.figure(f"median while {what}", f"{sorted(found[held])[len(found[held]) // 2] * 1000:.0f} ms")
        proof.figure(f"longest while {what}", f"{max(found[held]) * 1000:.0f} ms")
