"""The demo as `make demo` serves it, in threads of the test's own process."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from flask import Flask

from app.cli import demo, demo_data
from app.extensions import db
from app.mailer.transports import FolderTransport
from app.worker import start_embedded
from tests.support.processes import free_port
from tests.support.servers import serve_in_thread


@dataclass(frozen=True)
class Demo:
    """Where it is; `mails` is what would have been sent, the newest first."""

    url: str
    sandbox_url: str
    app: Flask

    def mails(self) -> list[tuple[str, str]]:
        """Each mail's name in the mailbox with its recipient."""
        return [(name, str(message["To"])) for name, message in self._messages()]

    def html(self, name: str) -> str:
        """The HTML part of a mail."""
        part = dict(self._messages())[name].get_body(("html",))
        return str(part.get_content()) if part else ""

    def text(self, name: str) -> str:
        """The text part of a mail."""
        part = dict(self._messages())[name].get_body(("plain",))
        return str(part.get_content()) if part else ""

    def _messages(self) -> list[tuple[str, EmailMessage]]:
        return FolderTransport(self.app.config["GATEHOUSE"].instance_path / "mail").messages()


@contextlib.contextmanager
def demo_running(folder: Path, *, filled: bool = True) -> Iterator[Demo]:
    """Serve the demo with its sandbox and its worker; `filled` false leaves it as an empty installation."""
    port, sandbox_port = free_port(), free_port()
    app, sandbox = demo.build(folder, port=port, sandbox_port=sandbox_port)
    with serve_in_thread(sandbox, name="127.0.0.1", port=sandbox_port) as provider, app.app_context():
        demo.migrate()
        if filled:
            demo_data.make(sandbox)
    with (
        serve_in_thread(app, port=port) as panel,
        serve_in_thread(sandbox, name="127.0.0.1", port=sandbox_port) as provider,
    ):
        worker = start_embedded(app)
        try:
            yield Demo(panel.url, provider.url, app)
        finally:
            worker.stop()
            with app.app_context():
                db.session.remove()
                db.engine.dispose()
