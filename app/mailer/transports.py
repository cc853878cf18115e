"""Ways out for mail: a mail server, or a folder."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from flask import Flask, current_app

from app import runtime
from app.config import Config, SmtpServer
from app.mailer.smtp import LIMIT, PATIENCE, Connection
from app.mailer.wire import nothing

EXTENSION = "gatehouse.transport"


class Carrier(Protocol):
    """Takes mails one after the other."""

    def deliver(
        self, sender: str, recipient: str, content: Callable[[], bytes], *, waiting: Callable[[], None] = nothing
    ) -> None:
        """Hand one mail over, calling `content` for its bytes at the last moment; raises Failed.

        `waiting` is called, any number of times, before `content` where that may take a while.
        """


class Transport(Protocol):
    """A way out, opened for a batch of mails."""

    def open(self) -> AbstractContextManager[Carrier]:
        """Make a carrier; what it holds open is closed at the end."""


class SmtpTransport:
    """A mail server. `cafile` names certificates to trust instead of the system's."""

    def __init__(
        self,
        server: SmtpServer,
        *,
        name: str,
        cafile: str | None = None,
        patience: float = PATIENCE,
        limit: float = LIMIT,
    ) -> None:
        self._server, self._name, self._cafile = server, name, cafile
        self._patience, self._limit = patience, limit

    def open(self) -> Connection:
        """A connection, made with the first mail and kept for the rest."""
        return Connection(
            self._server, name=self._name, cafile=self._cafile, patience=self._patience, limit=self._limit
        )


class FolderTransport:
    """A folder with a file for each mail, which appears whole or not at all; the same mail again is the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def open(self) -> Iterator["FolderTransport"]:
        """The folder itself, made if it is missing."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield self

    def deliver(
        self, _sender: str, _recipient: str, content: Callable[[], bytes], *, waiting: Callable[[], None] = nothing
    ) -> None:
        """Write the mail's file."""
        del waiting  # nothing to wait for
        message = content()
        path = self.path / f"{hashlib.sha256(message).hexdigest()[:32]}.eml"
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_bytes(message)
        draft.replace(path)

    def messages(self) -> list[tuple[str, EmailMessage]]:
        """Every mail with its file's name, the newest first."""
        paths = sorted(self.path.glob("*.eml"), key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
        return [(path.stem, message_from_bytes(path.read_bytes(), policy=policy.default)) for path in paths]


def install(app: Flask, transport: Transport) -> None:
    """Use this way out instead of what the settings say."""
    app.extensions[EXTENSION] = transport


def current() -> Transport | None:
    """The way out of the application at hand; none when no mail server is set."""
    installed: Transport | None = current_app.extensions.get(EXTENSION)
    return installed or _configured(runtime.current().config)


def _configured(config: Config) -> Transport | None:
    if config.demo:
        return FolderTransport(config.instance_path / "mail")
    return SmtpTransport(config.smtp, name=host_name(config)) if config.smtp else None


def sender(config: Config) -> str:
    """The address that this installation sends from, and that hears of what can't be delivered."""
    return config.mail_from or f"no-reply@{host_name(config)}"


def host_name(config: Config) -> str:
    """The host of the base URL without its port: what mail of ours is marked with."""
    return urlsplit(config.base_url).hostname or "localhost"
