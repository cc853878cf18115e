"""`python -m bench.mailing FOLDER DATABASE PORT`: a worker that waits for a line, mails all that is due, and says its CPU seconds."""

import sys
import threading
import time
from pathlib import Path

from app.catalog import load
from app.config import SmtpServer
from app.services.bundle_mail import KIND
from app.worker.handlers import HANDLERS
from app.worker.turns import Turns
from bench.installed import SENDER
from tests import factories
from tests.support.shared_app import running


def work(folder: str, database_url: str, port: str) -> None:
    """Take turns until there is nothing left to take."""
    smtp = SmtpServer("localhost", int(port), "none")
    (handler,) = (handler for handler in HANDLERS if handler.kind == KIND)
    with running(factories.config(Path(folder), database_url, smtp=smtp, mail_from=SENDER), load(None)) as app:
        turns = Turns(app, threading.Event())
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.process_time()
        while turns.take(handler):
            pass
        print(time.process_time() - began, flush=True)


if __name__ == "__main__":
    work(*sys.argv[1:])
