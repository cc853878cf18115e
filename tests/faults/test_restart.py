"""A restart: what people asked for is finished, and whoever asks while the server reloads is answered (R21)."""

import signal
import threading
import time

import pytest

from tests.support.people import Crowd, NotDone, Person
from tests.support.servers import answers, wait_until
from tests.support.variant import Change

VIEW = 'template = "panel/people/_list.html" if is_htmx() else "panel/people/index.html"'
PROMISED = 30.0
LATE = """
import time
from pathlib import Path

exec(compile(Path("gunicorn.conf.py").read_text(), "gunicorn.conf.py", "exec"))
_usual = post_fork


def post_fork(server, process):
    _usual(server, process)
    if process.age == 2:
        time.sleep(1.5)
"""


@pytest.fixture
def crowd(installation, smtp):
    with installation.app() as app:
        yield Crowd(app, installation.url, smtp.inbox, staff=1)


class InFlight:
    """A page that the server has begun to make, and goes on with once it is let."""

    def __init__(self, crowd, gate):
        self._crowd, self._gate, self.came = crowd, gate, None
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        wait_until(gate.exists, timeout=20)

    def _ask(self):
        with Person(self._crowd, self._crowd.cookies[0]) as staff:
            try:
                self.came = "Maya Okafor" in staff.page("/panel/people")
            except NotDone:
                self.came = False

    def go_on(self):
        self._gate.unlink()
        self._thread.join(60)
        return self.came


def slow(gate):
    wait = f"import pathlib, time; g = pathlib.Path({str(gate)!r}); g.touch(); [time.sleep(.01) for _ in iter(g.exists, False)]"
    return Change("app.web.panel.people", VIEW, f"{wait}; {VIEW}")


def stopped(installation, crowd, how, number):
    """Whether a page in flight came although the server was told to end, and how long it then took to."""
    gate = installation.folder / "gate"
    with getattr(installation, how)(changes=[slow(gate)]) as site:
        page = InFlight(crowd, gate)
        site.process.send_signal(number)
        began = time.monotonic()
        wait_until(lambda: not answers(f"{installation.url}/healthz"), timeout=20)
        came = page.go_on()
        code = site.process.wait(PROMISED)
        return came, time.monotonic() - began, code


@pytest.mark.parametrize("how", ["gunicorn", "serve"])
def test_a_page_in_flight_is_finished_when_the_server_is_told_to_end(installation, crowd, how):
    came, took, code = stopped(installation, crowd, how, signal.SIGTERM)

    assert (came, code) == (True, 0)
    assert took < PROMISED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_end_right_after_its_start_does(installation, number):
    late = installation.folder / "late.conf.py"
    late.write_text(LATE)
    with installation.gunicorn("--config", str(late)) as site:
        wait_until(lambda: site.output().count("Booting worker") == 2, timeout=20)
        site.process.send_signal(number)
        began = time.monotonic()

        assert site.process.wait(PROMISED + 10) == 0
    assert time.monotonic() - began < PROMISED / 2, "A process that never heard of it was waited for."


def test_a_page_that_is_cut_off_would_be_noticed(installation, crowd):
    came, _took, _code = stopped(installation, crowd, "serve", signal.SIGKILL)

    assert came is False


def test_a_reload_finishes_what_is_in_flight_and_answers_all_others(installation, crowd):
    gate = installation.folder / "gate"
    with installation.gunicorn(changes=[slow(gate)]) as site, Person(crowd, crowd.cookies[0]) as staff:
        page = InFlight(crowd, gate)
        site.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Handling signal: hup" in site.output(), timeout=20)
        for _ in range(20):
            assert "Client 0" in staff.page("/panel/workspaces")

        assert page.go_on() is True
        assert "Client 0" in staff.page("/panel/workspaces")
    assert crowd.oddities == []
