"""What gunicorn reads by itself beside wsgi.py: threads, the time for stopping, and the worker in each of its processes.

Nothing of the application is imported before a process needs it, so that a reload finds new code.
"""

import contextlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker as Process

    from app.worker import Worker

worker_class = "gthread"
threads = 32
graceful_timeout = (
    40  # requests and mail take thirty seconds at most; a refresh, whose token is lost with it, a little longer
)
control_socket_disable = True  # nobody uses it, and it wants a folder outside the installation

os.environ["GATEHOUSE_GUNICORN_HOOKS"] = "1"  # wsgi.py wants to know that they run
_embedded: "list[Worker]" = []
_forked_from: "list[Arbiter]" = []


def post_fork(server: "Arbiter", _process: "Process") -> None:
    """Remember whose signals this process takes until it has handlers of its own."""
    _forked_from.append(server)


def post_worker_init(process: "Process") -> None:
    """Go by the clock that all hosts share, say the set-up code while it is needed, and start the embedded worker."""
    from sqlalchemy.exc import SQLAlchemyError

    from app.cli import serving
    from app.database import share_clock
    from app.extensions import db
    from app.worker import start_embedded
    from wsgi import app

    with app.app_context(), contextlib.suppress(SQLAlchemyError):  # a database that is away is no reason not to start
        share_clock(db.engine)
        if welcome := serving.welcome():
            process.log.info(welcome)
    if app.config["GATEHOUSE"].worker == "embedded":
        _embedded.append(start_embedded(app))
        _stop_together(_embedded[-1])
    _heed_an_early_end()


def _stop_together(worker: "Worker") -> None:
    """Have SIGTERM ask the worker too, so that requests and mail in hand are waited for at the same time."""
    leave = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: object) -> None:
        worker.ask_to_stop()
        if callable(leave):
            leave(number, frame)

    signal.signal(signal.SIGTERM, stop)
    signal.siginterrupt(signal.SIGTERM, False)  # as gunicorn has it: no system call of a request is cut short


def _heed_an_early_end() -> None:
    """End as asked if that came right after the fork, when it still went into the copy of the server's queue, which nobody reads."""
    early = _forked_from[-1].SIG_QUEUE
    while not early.empty():
        number = early.get_nowait()
        if number in (signal.SIGTERM, signal.SIGQUIT):  # by which the server has its processes end
            signal.raise_signal(number)


def worker_exit(_server: "Arbiter", _process: "Process") -> None:
    """Let the mail that is being handed over be finished, and refreshes stored."""
    for worker in _embedded:
        worker.stop()
