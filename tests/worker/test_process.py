"""`flask worker` and `flask serve` as processes, which are stopped and killed."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import update

from app import clock
from app.database import transaction
from app.models import OutboxItem, OutboxState
from app.services import setup
from app.tenancy import across_tenants
from app.worker import Worker
from tests import factories
from tests.support.processes import LOOPBACK, ROOT, ProcessFailed, end, environment, free_port, running
from tests.support.servers import answers
from tests.worker.conftest import PRIYA

FLASK = (sys.executable, "-m", "flask", "--app", "wsgi")


@pytest.fixture
def env(tmp_path, database_url, smtp):
    return environment(
        GATEHOUSE_INSTANCE_PATH=str(tmp_path),
        GATEHOUSE_DATABASE_URL=database_url.replace("+psycopg", ""),
        GATEHOUSE_BASE_URL="http://localhost",
        GATEHOUSE_SMTP_URL=smtp.url,
        GATEHOUSE_MAIL_FROM="requests@gate.example",
        PYTHONWARNINGS="error",
    )


@contextlib.contextmanager
def process(*args, env):
    with subprocess.Popen(
        [*FLASK, *args], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        try:
            yield started
        finally:
            end(started, signal.SIGKILL)


def wait_for(true, timeout=30):
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


KILLED_AT = """
import importlib, os, signal, sys
from app import create_app
from app.worker import Worker

module, _dot, name = sys.argv[1].rpartition(".")
setattr(importlib.import_module(module), name, lambda *_args, **_options: os.kill(os.getpid(), signal.SIGKILL))
Worker(create_app()).run_once()
"""


def work_until_killed_at(function, env):
    """Run a worker in a process of its own that dies by SIGKILL as it is about to call this function."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT, function], cwd=ROOT, env=env, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def lapse():
    """Let the time of every lease be over by the clock."""

    def lapse():
        with across_tenants("time goes by"), transaction() as session:
            session.execute(update(OutboxItem).values(leased_until=clock.now() - timedelta(seconds=1)))

    return lapse


@pytest.mark.both_databases
def test_a_worker_killed_between_250_and_its_commit_is_followed_by_the_same_mail(app, env, send, item, smtp, lapse):
    bundle = send()
    work_until_killed_at("app.services.claims.done", env)
    begun, started_at = item(bundle), bundle.clock_started_at
    assert (begun.state, started_at is not None) == (OutboxState.TRANSMITTING, True)
    smtp.inbox.wait_for(1)

    Worker(app).run_once()
    assert item(bundle).state is OutboxState.TRANSMITTING, "its lease has not run out"
    lapse()
    Worker(app, patience=0.2).run_once()

    first, second = smtp.inbox.wait_for(2, quiet=0.2)
    assert first.raw == second.raw
    assert first.message["Message-ID"] == item(bundle).message_id
    assert (item(bundle).state, item(bundle).message) == (OutboxState.DONE, None)
    assert bundle.clock_started_at == started_at
    assert first.rcpt_tos == (PRIYA,)


@pytest.mark.parametrize("function", ["app.services.bundle_mail.begin", "app.services.claims.start"])
def test_a_worker_killed_before_the_mail_was_begun_leaves_no_trace(app, env, send, item, smtp, lapse, function):
    bundle = send()
    work_until_killed_at(function, env)
    assert (item(bundle).state, item(bundle).message, bundle.clock_started_at) == (OutboxState.CLAIMED, None, None)

    lapse()
    Worker(app, patience=0.2).run_once()

    smtp.inbox.wait_for(1, quiet=0.2)


def test_worker_once_says_what_it_did(env, send, smtp):
    send()

    with process("worker", "--once", "--json", env=env) as worker:
        out, err = worker.communicate(timeout=30)

    assert worker.returncode == 0, err
    assert json.loads(out) == {"done": 1, "superseded": 0, "postponed": 0, "retry": 0, "dead": 0, "held": 0}
    smtp.inbox.wait_for(1)


def test_worker_ends_cleanly_when_asked(env, send, smtp):
    send()
    smtp.fault("RCPT", 1.0, times=1)
    with process("worker", env=env) as worker:
        wait_for(lambda: smtp.connections)
        worker.terminate()
        out, err = worker.communicate(timeout=30)

    assert (worker.returncode, out) == (0, "1 done\n"), err
    smtp.inbox.wait_for(1)


def test_serve_says_where_it_is_and_finishes_the_mail_in_flight(env, send, item, smtp):
    bundle = send()
    smtp.fault("RCPT", 1.0, times=1)
    port = free_port()
    with process("serve", "--port", str(port), env=env) as server:
        wait_for(lambda: smtp.connections)
        said = server.stdout.readline()
        server.terminate()
        _out, err = server.communicate(timeout=40)

    assert server.returncode == 0, err
    assert said == f"Gatehouse is at http://localhost (listening on 127.0.0.1:{port}).\n"
    assert item(bundle).state is OutboxState.DONE
    smtp.inbox.wait_for(1)


GUNICORN = (sys.executable, "-m", "gunicorn", "wsgi:app")


@contextlib.contextmanager
def gunicorn(*args, env):
    port = free_port()
    command = [*GUNICORN, "--bind", f"{LOOPBACK}:{port}", *args]
    with running(command, ready=lambda: answers(f"http://{LOOPBACK}:{port}/healthz"), env=env, timeout=60) as started:
        yield started


@pytest.mark.parametrize("options", [["--workers", "2"], ["--preload"]])
def test_gunicorn_sends_mail_and_finishes_the_one_in_flight(env, send, item, smtp, options):
    smtp.fault("BODY", 2.0)
    with gunicorn(*options, env=env) as server:
        bundle = send()
        wait_for(lambda: item(bundle).state is OutboxState.TRANSMITTING)
        server.process.terminate()
        assert server.process.wait(30) == 0, server.output()

    assert item(bundle).state is OutboxState.DONE, server.output()
    smtp.inbox.wait_for(1, quiet=0.2)


def test_gunicorn_says_the_set_up_code_as_long_as_nobody_has_set_it_up(env, app):
    with gunicorn(env=env | {"GATEHOUSE_WORKER": "external"}) as server, app.app_context():
        assert f"Nobody has set it up yet. The set-up code is {setup.code()}\n" in server.output()
        factories.make_agency()
    with gunicorn(env=env | {"GATEHOUSE_WORKER": "external"}) as server:
        assert "set-up code" not in server.output()


def test_gunicorn_without_our_hooks_does_not_start_rather_than_hold_mail_back(env, tmp_path):
    (tmp_path / "own.py").write_text("threads = 8\n")

    refusal = pytest.raises(ProcessFailed, match=r"gunicorn has not read gunicorn\.conf\.py, which runs the embedded")
    with refusal, gunicorn("--config", str(tmp_path / "own.py"), env=env):
        pass

    with gunicorn("--config", str(tmp_path / "own.py"), env=env | {"GATEHOUSE_WORKER": "external"}):
        pass


SLOW = """
import sys
from app.cli import serving

def app(environ, start_response):
    print("in flight", flush=True)
    sys.stdin.readline()
    start_response("200 OK", [("Content-Length", "3000000")])
    return [b"x" * 1000000] * 3

say = lambda word: lambda: print(word, flush=True)
listeners = serving.listen("127.0.0.1", int(sys.argv[1]), instead=str)
serving.run(app, listeners, listening=say("listening"), stopping=say("stopping"))
"""


def test_serve_finishes_requests_in_flight_and_takes_no_more():
    port = free_port()
    got = []

    def ask():
        with socket.create_connection((LOOPBACK, port)) as talk:
            talk.sendall(b"GET / HTTP/1.0\r\n\r\n")
            got.append(b"".join(iter(lambda: talk.recv(65536), b"")))

    args = [sys.executable, "-W", "error", "-c", SLOW, str(port)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(args, cwd=ROOT, env=environment(), **pipes) as server:
        assert server.stdout.readline() == "listening\n"
        asking = threading.Thread(target=ask)
        asking.start()
        assert server.stdout.readline() == "in flight\n"
        server.terminate()
        assert server.stdout.readline() == "stopping\n"
        assert got == [], "what runs beside it is asked to stop before requests are waited for"
        wait_for(lambda: not listens(port))
        server.stdin.write("go on\n")
        server.stdin.flush()
        asking.join()
        assert server.wait(10) == 0

    assert got[0].startswith(b"HTTP/1.0 200 OK")
    assert len(got[0].partition(b"\r\n\r\n")[2]) == 3_000_000


REFRESHING = """
import contextlib, sys, time
from app.cli import serving
from app.services import refreshing

serving.GRACE = 0.2

def app(environ, start_response):
    with refreshing.waited_for() if sys.argv[2] == "refresh" else contextlib.nullcontext():
        print("in flight", flush=True)
        time.sleep(4)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

listeners = serving.listen("127.0.0.1", int(sys.argv[1]), instead=str)
serving.run(app, listeners, listening=lambda: print("listening", flush=True), stopping=lambda: None)
"""


@pytest.mark.parametrize(("what", "came"), [("refresh", True), ("page", False)])
def test_serve_waits_longer_for_a_request_that_waits_for_a_refresh(what, came):
    port, got = free_port(), []

    def ask():
        with socket.create_connection((LOOPBACK, port)) as talk:
            talk.sendall(b"GET / HTTP/1.0\r\n\r\n")
            got.append(b"".join(iter(lambda: talk.recv(65536), b"")))

    args = [sys.executable, "-W", "error", "-c", REFRESHING, str(port), what]
    with subprocess.Popen(args, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "listening\n"
        asking = threading.Thread(target=ask)
        asking.start()
        assert server.stdout.readline() == "in flight\n"
        server.terminate()
        assert server.wait(10) == 0
        asking.join()

    assert (b"200 OK" in got[0]) is came
