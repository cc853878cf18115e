"""What those who run an installation ask: is it alive, is it ready, what are its figures."""

import re
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app import clock, create_app
from app.database import transaction
from app.services import bundle_mail, claims, grants, health, outbox, refresh_plans
from app.tenancy import across_tenants, acting_for
from app.worker.handlers import HANDLERS
from tests import factories
from tests.support.processes import LOOPBACK, environment, free_port
from tests.support.servers import serve_process

TOKEN = "a-token-of-a-scraper"
FAR = {"REMOTE_ADDR": "203.0.113.9"}


@pytest.fixture
def guarded(tmp_path, database_url, catalog):
    config = factories.config(tmp_path, database_url, metrics_token=TOKEN)
    return create_app(config, catalog=catalog).test_client()


def test_healthz_answers_whatever_else_is_wrong(client, app, monkeypatch):
    monkeypatch.setattr(health, "problems", lambda: ["All is lost."])

    answer = client.get("/healthz", headers={"Host": "10.0.0.7:8000"})

    assert (answer.status_code, answer.text, answer.mimetype) == (200, "ok\n", "text/plain")
    assert answer.headers["Cache-Control"] == "no-store"


def test_readyz_is_ready_when_everything_is_there(client):
    answer = client.get("/readyz", headers={"Host": "10.0.0.7:8000"})

    assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.parametrize(
    ("done", "found"),
    [("UPDATE alembic_version SET version_num = 'older'", "older"), ("DELETE FROM alembic_version", "none")],
)
def test_readyz_is_not_ready_at_another_schema(app, client, done, found):
    with app.app_context(), transaction() as session:
        session.execute(text(done))

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.text == f"The database is at schema {found}, not {health.newest_schema()}: run flask db upgrade.\n"


def test_readyz_is_not_ready_when_nothing_was_ever_migrated(tmp_path, catalog):
    app = create_app(factories.config(tmp_path, f"sqlite:///{tmp_path / 'empty.sqlite3'}"), catalog=catalog)

    answer = app.test_client().get("/readyz")

    assert (answer.status_code, "schema none" in answer.text) == (503, True)


def test_metrics_are_for_this_machine_when_there_is_no_token(client):
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "::1"}).status_code == 200
    assert client.get("/metrics", environ_base=FAR).status_code == 404
    assert client.get("/metrics", environ_base=FAR, headers={"Authorization": "Bearer "}).status_code == 404


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via"])
def test_metrics_are_not_for_whom_a_proxy_on_this_machine_brings(client, header):
    assert client.get("/metrics", headers={header: "for=127.0.0.1"}).status_code == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(("localhost:8000", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("LOCALHOST", 200)),
        *(("evil.example", 404), ("evil.example:8000", 404), ("access.northwind.example", 404), ("", 404), ("[", 404)),
        *(("localhost.evil.example", 404), ("127.0.0.1.evil.example", 404), ("10.0.0.7:8000", 404)),
    ],
)
def test_metrics_without_a_token_are_read_under_this_machines_own_name(client, host, status):
    """A page whose name was made to lead here, and whoever a silent proxy brings, come by another one."""
    assert client.get("/metrics", headers={"Host": host}).status_code == status


def test_metrics_with_a_token_are_read_by_any_name(guarded):
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "10.0.0.7:8000"}
    assert guarded.get("/metrics", headers=headers, environ_base=FAR).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer {}x", "bearer {}", "Basic {}", "{}", "Bearer", "Bearer é", ""])
def test_metrics_are_for_none_but_the_token_when_there_is_one(guarded, scheme):
    header = {"Authorization": scheme.format(TOKEN)}

    assert guarded.get("/metrics", headers=header).status_code == 404
    assert guarded.get("/metrics").status_code == 404
    assert guarded.get("/metrics", environ_base=FAR, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_metrics_tell_of_answers_and_of_the_outbox(client, agency):
    with across_tenants("a test's setting"), transaction():
        for key in "abc":
            outbox.put(bundle_mail.KIND, key, agency_id=agency.id, at=clock.now())
    client.get("/panel/nowhere")

    figures = client.get("/metrics").text

    assert 'gatehouse_outbox_items{state="queued"} 3.0' in figures
    assert re.search(r'gatehouse_http_responses_total\{endpoint="none",status="404"\} [1-9]', figures)
    assert 'gatehouse_http_seconds_count{endpoint="none"}' in figures


@pytest.mark.both_databases
def test_what_is_written_for_later_is_no_backlog(agency, clock):
    def put(kind, *, after=0):
        later = clock.now + timedelta(minutes=after)
        outbox.put(kind, f"{kind}:{after}", agency_id=agency.id, at=clock.now, due_at=later)

    with acting_for(agency.id), transaction():
        for kind in (refresh_plans.KIND, grants.KIND, bundle_mail.KIND):
            put(kind)
            put(kind, after=10)
    with acting_for(agency.id):
        (failed,) = claims.claim([bundle_mail.KIND], at=clock.now)
        claims.fail(failed, claims.Failed("unreachable"), at=clock.now)
        claims.claim([grants.KIND], at=clock.now)

    assert health.outbox_depth(at=clock.now) == {"queued": 1, "claimed": 1, "retry": 1}
    clock.forward(minutes=10)
    assert health.outbox_depth(at=clock.now) == {"queued": 4, "claimed": 1, "retry": 1}


def test_no_kind_of_work_is_left_out_of_the_backlog():
    assert {*health.KINDS, refresh_plans.KIND} == {handler.kind for handler in HANDLERS}


def test_metrics_tell_what_they_can_while_the_database_is_away(client, monkeypatch):
    def away(**_):
        raise OperationalError("SELECT", {}, ConnectionError("refused"))

    monkeypatch.setattr(health, "outbox_depth", away)

    figures = client.get("/metrics")

    assert figures.status_code == 200
    assert "gatehouse_http_responses_total{" in figures.text
    assert "gatehouse_outbox_items{" not in figures.text


def test_metrics_of_several_processes_are_added_up(tmp_path, database_url):
    port, shared = free_port(), tmp_path / "run" / "counts"
    url = f"http://{LOOPBACK}:{port}"
    env = environment(
        GATEHOUSE_INSTANCE_PATH=str(tmp_path),
        GATEHOUSE_DATABASE_URL=database_url,
        GATEHOUSE_WORKER="external",
        PROMETHEUS_MULTIPROC_DIR=str(shared),
    )

    def ask(path):
        with urllib.request.urlopen(f"{url}{path}", timeout=10) as answer:
            return answer.read().decode()

    def counted():  # of what nobody asks but this test
        return float(re.search(r'responses_total\{endpoint="ops.readyz",status="200"\} (\S+)', ask("/metrics"))[1])

    command = [sys.executable, "-m", "gunicorn", "wsgi:app", "--workers", "2", "--bind", f"{LOOPBACK}:{port}"]
    with serve_process(command, url=f"{url}/healthz", env=env, timeout=60):
        asked, deadline = 0, time.monotonic() + 60
        with ThreadPoolExecutor(8) as pool:
            while time.monotonic() < deadline:  # the second process may still be starting
                asked += len(list(pool.map(ask, ["/readyz"] * 8)))
                if len(list(shared.glob("counter_*.db"))) == 2:
                    break
        after = {counted() for _ in range(6)}

    assert len(list(shared.glob("counter_*.db"))) == 2, "both processes have answered"
    assert after == {asked}
