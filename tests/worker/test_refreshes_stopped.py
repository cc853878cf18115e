"""A worker that is stopped in the middle of refreshes, or whose run ends otherwise: no answer is lost, and no lease is left."""

import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import func, select, update

from app import runtime
from app.database import transaction
from app.extensions import db
from app.models import AuditEvent, Connection, Health, OutboxItem, OutboxState
from app.oauth.refresh import DEADLINE
from app.services import refresh_plans, refreshing
from app.tenancy import across_tenants
from app.vault import Sealed
from app.worker import Worker, refreshes, turns
from app.worker.handlers import HANDLERS
from tests import factories
from tests.support import refresh_endpoint
from tests.support.processes import ROOT, end, environment
from tests.support.token_endpoint import KEY
from tests.worker.test_loop import wait_for

pytestmark = pytest.mark.both_databases
apps_dir, catalog, config, endpoint, grown = refresh_endpoint.fixtures
MANY = refreshes.WIDTH + 5
STOPPED = """
import pickle, sys
from pathlib import Path
from flask.cli import ScriptInfo
from app import create_app
from app.catalog import load
from app.cli import worker

config = pickle.loads(Path(sys.argv[1]).read_bytes())
app = create_app(config, catalog=load(config.apps_dir, loopback_http=True))
worker.command.main([], obj=ScriptInfo(create_app=lambda: app))
"""


@pytest.fixture
def due(grown, workspace, owner):
    """Make connections that a live workflow needs, all due now."""

    def due(many):
        made = [grown(f"account{number}") for number in range(many)]
        for number, connection in enumerate(made):
            workflow = factories.make_workflow(workspace, owner, (KEY, "find_boat"), name=f"Workflow {number}")
            with transaction():
                workflow.slots[0].connection_id = connection.id
        with across_tenants("time goes by"), transaction() as session:
            row = update(OutboxItem).where(OutboxItem.kind == refresh_plans.KIND)
            session.execute(row.values(due_at=OutboxItem.created_at), execution_options={"synchronize_session": False})
        db.session.rollback()
        return made

    return due


def leases():
    db.session.rollback()
    return db.session.scalar(select(func.count()).where(Connection.refresh_lease.is_not(None)))


def stored(connections):
    """How many of these have the token that the provider gave them last."""
    db.session.rollback()
    return sum(each.secret.version == 2 for each in connections)


def states():
    db.session.rollback()
    return dict(
        db.session.execute(
            select(OutboxItem.state, func.count())
            .where(OutboxItem.kind == refresh_plans.KIND)
            .group_by(OutboxItem.state)
        ).all()
    )


def test_a_worker_told_to_end_stores_what_was_asked_for_and_asks_for_no_more(config, due, endpoint, tmp_path, proof):
    connections, endpoint.delay = due(MANY), float(proof.size(check=4, prove=29))
    asked = []
    given = tmp_path / "config.pickle"
    given.write_bytes(pickle.dumps(config))
    args = [sys.executable, "-W", "error", "-c", STOPPED, str(given)]
    with subprocess.Popen(args, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as worker:
        try:
            wait_for(lambda: endpoint.asked.total() == refreshes.WIDTH)
            time.sleep(0.3)
            asked.append(endpoint.asked.total())
            worker.send_signal(signal.SIGTERM)
            _out, err = worker.communicate(timeout=90)
        finally:
            end(worker, signal.SIGKILL)

    assert worker.returncode == 0, err.decode()
    assert (endpoint.asked.total(), endpoint.refreshes.total()) == (asked[0], asked[0]), (
        "It asked after it was told to end."
    )
    assert (stored(connections), leases()) == (asked[0], 0)
    assert {each.health for each in connections} == {Health.ACTIVE}
    left = MANY - asked[0]
    assert states() == {OutboxState.DONE: asked[0], OutboxState.QUEUED: MANY}, (
        f"{left} are given back, the rest planned."
    )
    proof.figure("seconds that the provider took", round(endpoint.delay))
    proof.figure("tokens under way when it was told to end, all stored", asked[0])


def test_refreshes_have_longer_to_end_than_a_provider_may_take(app):
    (handler,) = (each for each in HANDLERS if each.kind == refresh_plans.KIND)

    assert handler.grace == refreshing.GRACE >= DEADLINE + 5


def test_stop_waits_for_refreshes_under_way_beyond_the_time_of_all_else(app, due, endpoint):
    connections, endpoint.delay = due(2), 2.0
    worker = Worker(app, handlers=[each for each in HANDLERS if each.kind == refresh_plans.KIND])
    worker.start()
    wait_for(lambda: endpoint.asked.total() == 2)

    assert worker.stop(0.2)

    assert (stored(connections), leases()) == (2, 0)


# ── Whatever ends the run ────────────────────────────────────────────────────


def end_with(monkeypatch, error):
    """Have the first outcome that is told end the run."""

    def finish(*_args, **_options):
        raise error

    monkeypatch.setattr(turns.Turns, "_finish", finish)


def work(app):
    with pytest.raises(Sealed):
        Worker(app, patience=0).run_once()


def test_what_ends_the_run_loses_no_token(app, due, endpoint, monkeypatch):
    connections, endpoint.delay = due(6), 1.0
    with transaction():
        connections[0].deleted_at = connections[0].created_at  # told at once, while the others are asked
    end_with(monkeypatch, Sealed("away"))

    work(app)

    assert endpoint.refreshes.total() == 5
    assert (stored(connections[1:]), leases()) == (5, 0)


def test_a_key_that_goes_missing_while_one_begins_loses_no_token_of_the_others(app, due, endpoint, monkeypatch):
    connections, endpoint.delay = due(3), 1.0
    begin = refreshing.begin

    def sealed(connection_id, **how):
        if connection_id == connections[1].id:
            raise Sealed("away")
        return begin(connection_id, **how)

    monkeypatch.setattr(refreshing, "begin", sealed)

    work(app)

    assert endpoint.refreshes.total() == 2
    assert (stored(connections), leases()) == (2, 0)


def test_a_key_that_is_away_while_the_provider_answers_is_waited_for(app, due, endpoint, monkeypatch):
    (connection,) = due(1)
    keys = runtime.current().keys
    ring = type(keys).keyring.fget
    away = threading.Event()

    def keyring(self):
        if away.is_set():
            raise Sealed("away")
        return ring(self)

    def leave():
        away.set()
        threading.Timer(1.0, away.clear).start()

    monkeypatch.setattr(type(keys), "keyring", property(keyring))
    endpoint.before = leave

    Worker(app, patience=0).run_once()

    assert (stored([connection]), leases()) == (1, 0)


def test_a_lease_that_no_call_was_made_for_is_given_back(app, due, endpoint, monkeypatch):
    due(3)

    def submit(*_args):
        raise RuntimeError("cannot schedule new futures after shutdown")

    monkeypatch.setattr(refreshes.ThreadPoolExecutor, "submit", submit)
    with pytest.raises(RuntimeError):
        Worker(app, patience=0).run_once()

    assert (endpoint.asked.total(), leases()) == (0, 0)
    assert states() == {OutboxState.QUEUED: 3}
    assert not db.session.scalar(select(func.count()).where(AuditEvent.type == "connection.broken"))


def test_a_commit_that_may_or_may_not_have_been_made_leaves_no_lease(app, due, endpoint, monkeypatch):
    due(2)
    all_together = refreshes.Owed.all_together

    def cut(self, at_once, each):
        all_together(self, at_once, each)
        raise ConnectionError("the answer to COMMIT never came")

    monkeypatch.setattr(refreshes.Owed, "all_together", cut)
    with pytest.raises(ConnectionError):
        Worker(app, patience=0).run_once()

    assert (endpoint.asked.total(), leases()) == (0, 0)
