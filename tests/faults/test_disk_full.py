"""A disk that is full, or fails: no success is told that is not, nothing is torn, and it goes on once there is room (R11)."""

import contextlib
import shutil
import sqlite3

import psycopg
import pytest
from sqlalchemy import exists, select

from app.extensions import db
from app.models import Bundle, ConnectionRequest, OutboxItem, Status
from app.tenancy import across_tenants
from tests import factories
from tests.support.databases import migrate
from tests.support.disks import fail_writes, let_write, small_disk
from tests.support.installed import Installation
from tests.support.people import Crowd, NotDone, Person
from tests.support.postgres import fresh_database, on_disk
from tests.support.servers import wait_until
from tests.support.variant import Change

UNSAID = Change(
    "app.database",
    "            session.commit()\n",
    "            try:\n                session.commit()\n            except Exception:\n                session.rollback()\n",
)
# PostgreSQL looks for room before the commit already.
UNSAVED = Change("app.database", "            session.commit()\n", "            session.rollback()\n")


class OnSqlite:
    """An installation whose SQLite file is on a small disk; who writes there is its own process."""

    name = "SQLite"
    careless = UNSAID

    def __init__(self, disk, folder, smtp, template):
        self.disk, self.file = disk, disk.path / "full.sqlite3"
        shutil.copy(template, self.file)
        self.installation = Installation(folder, f"sqlite:///{self.file}", smtp.url)

    def writer(self, site):
        return site

    def revive(self):
        """It needs none."""

    def damage(self):
        with contextlib.closing(sqlite3.connect(self.file)) as found:
            whole = found.execute("PRAGMA integrity_check").fetchall()
            return [row for row in whole if row != ("ok",)] + found.execute("PRAGMA foreign_key_check").fetchall()


class OnPostgres:
    """An installation whose PostgreSQL has its data on a small disk."""

    name = "PostgreSQL"
    careless = UNSAVED

    def __init__(self, disk, folder, smtp, server, url):
        self.disk, self.server, self.url = disk, server, url
        migrate(factories.driver(url), folder)
        self.installation = Installation(folder, url, smtp.url)

    def writer(self, _site):
        return self.server.running

    def revive(self):
        self.server.revive()

    def damage(self):
        with psycopg.connect(self.url) as found:
            found.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
            indexes = "SELECT indexrelid::regclass FROM pg_index WHERE indrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r')"
            found.execute(f"SELECT bt_index_check(i) FROM ({indexes}) AS t(i)")
        return []


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path, smtp):
    folder = tmp_path / "installation"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            disk = stack.enter_context(small_disk(8))
            yield OnSqlite(disk, folder, smtp, request.getfixturevalue("sqlite_template"))
        else:
            disk = stack.enter_context(small_disk(96))
            server = stack.enter_context(on_disk(disk.path))
            url = stack.enter_context(fresh_database(server.url))
            yield OnPostgres(disk, folder, smtp, server, url)


@pytest.fixture
def crowd(place, smtp):
    with place.installation.app() as app:
        yield Crowd(app, place.installation.url, smtp.inbox)


def half_done(crowd):
    """Requests that went out without the one mail that says so, by their recipient."""
    mail = exists().where(OutboxItem.kind == "bundle.sent", OutboxItem.key == Bundle.public_id + ":1")
    with crowd.app.app_context(), across_tenants("a test looks"):
        sent = select(ConnectionRequest.recipient).outerjoin(Bundle, Bundle.id == ConnectionRequest.bundle_id)
        found = db.session.scalars(sent.where(ConnectionRequest.status != Status.QUEUED, ~mail)).all()
        db.session.remove()
    return found


def reads(crowd):
    with Person(crowd, crowd.cookies[0]) as staff, contextlib.suppress(NotDone):
        return "Client 0" in staff.page("/panel/workspaces")
    return False


def without_room(place, crowd, site, *, turned_away):
    """Let people work on the full disk until so many were turned away; returns whether pages could be read meanwhile."""
    writer = place.writer(site)
    crowd.goes_on(4)
    place.disk.fill(writer)
    before = crowd.statuses[503]
    wait_until(lambda: crowd.statuses[503] >= before + turned_away, timeout=60)
    could_read = reads(crowd)
    place.disk.free(writer)
    place.revive()
    crowd.goes_on(4)
    return could_read


def with_failing_writes(place, crowd, site, *, turned_away):
    """The same where writes fail with an error."""
    writer = place.writer(site)
    fail_writes(writer)
    before = crowd.statuses[503]
    wait_until(lambda: crowd.statuses[503] >= before + turned_away, timeout=60)
    let_write(writer)
    place.revive()
    crowd.goes_on(4)


def notices(place, crowd):
    """Whether a success that is none is found: told by a variant that pays no heed to what becomes of its commit."""
    slots = crowd.slots(8)
    with place.installation.serve(changes=[place.careless]) as site:
        if place.careless is UNSAID:
            place.disk.fill(site)
        crowd.queue(slots)
        if place.careless is UNSAID:
            place.disk.free(site)
    return crowd.lost() != []


def test_no_success_is_told_on_a_full_disk(proof, place, crowd):
    """The database's disk is filled to the last byte under load and freed again; then its writes fail with an error.
    Meanwhile people get 503 with Retry-After; of what they were told had been done nothing is missing; nothing is half
    done; the database's own check finds no damage; and it goes on by itself once there is room.
    """
    rounds, turned_away = proof.size(check=1, prove=4), proof.size(check=4, prove=30)
    assert notices(place, crowd), "a success that is none would not be noticed"

    crowd.forget()
    with place.installation.serve() as site, crowd.at_work(clients=1):
        could_read = [without_room(place, crowd, site, turned_away=turned_away) for _ in range(rounds)]
        for _ in range(rounds):
            with_failing_writes(place, crowd, site, turned_away=turned_away)

    assert crowd.oddities == []
    found = [crowd.lost(), half_done(crowd), place.damage()]
    assert found == [[], [], []]
    if isinstance(place, OnSqlite):
        assert all(could_read), "pages that only read need no room"
    proof.title = f"Databases: a full disk, {place.name}"
    proof.figure("times without room, times with failing writes", f"{rounds}, {rounds}")
    proof.figure("turned away meanwhile with 503", crowd.statuses[503])
    proof.figure("acts acknowledged", crowd.acknowledged)
    proof.figure("of these missing, requests half done, damage found", ", ".join(str(len(each)) for each in found))
    proof.figure("the disk", "a file system of its own" if place.disk.is_real else "a limit of the files' size")
