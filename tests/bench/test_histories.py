"""What the panel costs over a long history, in steps of SQLite's machine, which are the same on every run."""

from collections import Counter

import brotli
import pytest
from sqlalchemy import event, func, select

from app.extensions import db
from app.models import ConnectionRequest
from app.services import board_rows, overview, paging
from app.tenancy import across_tenants
from bench.filling import DONE, NOW, Filling
from tests import factories
from tests.support.statements import counted

FEW, MANY = 100, 4000
STEP = 50  # of the machine, between two counts
MOST = 1.5
WEIGHT = 8000


@pytest.fixture
def steps(app_context):
    """Counts the steps of whatever connection is used."""
    counts = Counter()

    def watch(connection, *_):
        connection.set_progress_handler(lambda: counts.update(("steps",)), STEP)

    event.listen(db.engine, "checkout", watch)
    db.engine.dispose()
    yield counts
    event.remove(db.engine, "checkout", watch)


@pytest.fixture
def histories(app, app_context):
    """Two agencies with the same workflow, one after few requests and one after many; the paths of their pages."""
    found = []
    for size in (FEW, MANY):
        with across_tenants("a test's setting"):
            agency = factories.read(factories.make_agency(f"Studio {size}"))
            staff = factories.read(factories.make_staff(agency))
            workspace = factories.make_workspace(agency)
            filling = Filling(workspace)
            filling.workflow(FEW, now=DONE)
            path = f"/panel/workspaces/{workspace.public_id}/workflows/{filling.workflow(size, now=NOW)}"
            filling.write()
            found.append((factories.signed_in(app, staff), path))
    db.session.remove()
    return found


def costs(histories, steps, path_of):
    """What a page takes over the long history beside the short one; and the pages."""
    taken, answers, asked = [], [], []
    for browser, path in histories:
        browser.get(path_of(path))  # whatever is only read once
        steps.clear()
        with counted() as statements:
            answers.append(browser.get(path_of(path)))
        assert answers[-1].status_code == 200
        taken.append(steps["steps"])
        asked.append(len(statements))
    assert asked[0] == asked[1]
    return taken[1] / taken[0], answers


def grouped(workflow, *, after, before):
    """The first request to each recipient, found by grouping all that was ever asked."""
    asked = ConnectionRequest
    first = select(func.min(asked.id)).where(board_rows.shown(workflow)).group_by(asked.recipient)
    return paging.page(
        select(asked).where(asked.id.in_(first)), asked.id, after=after, before=before, size=board_rows.PAGE
    )


def test_a_workflow_costs_what_its_page_shows_not_what_was_ever_asked(histories, steps, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(board_rows, "recipients", grouped)
        ratio, _ = costs(histories, steps, str)
        assert ratio > 2 * MOST, "or a page that reads all would not be noticed"

    ratio, answers = costs(histories, steps, str)

    assert ratio <= MOST
    assert max(len(brotli.compress(answer.data, quality=5)) for answer in answers) <= WEIGHT


def test_it_does_so_because_sqlite_was_told_what_is_rare(histories, steps):
    ratio, _ = costs(histories, steps, str)
    assert ratio <= MOST

    with db.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM sqlite_stat1")
    db.session.remove()
    db.engine.dispose()  # what is known of indexes is read once for a connection

    ratio, _ = costs(histories, steps, str)
    assert ratio > 2 * MOST


def counting_all(agency):
    asked = db.session.execute(select(ConnectionRequest.status, ConnectionRequest.workspace_id)).all()
    return overview.Awaited(sum(each[0] == "pending" for each in asked), 1)


def test_the_home_page_counts_by_its_indexes(histories, steps, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(overview, "awaited", counting_all)
        ratio, _ = costs(histories, steps, lambda _: "/panel/")
        assert ratio > 2 * MOST, "or a page that reads all would not be noticed"

    ratio, answers = costs(histories, steps, lambda _: "/panel/")

    assert ratio <= MOST
    assert len(brotli.compress(answers[-1].data, quality=5)) <= WEIGHT
