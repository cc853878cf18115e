"""What a mail server took, parsed and in order."""

import re
import threading
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Literal


@dataclass(frozen=True)
class Received:
    """A message that the server took, as it came over the wire."""

    mail_from: str
    rcpt_tos: tuple[str, ...]
    raw: bytes
    encrypted: bool
    login: str | None
    message: EmailMessage

    @property
    def text(self) -> str:
        """Its plain text."""
        return self._part("plain")

    @property
    def html(self) -> str:
        """Its HTML."""
        return self._part("html")

    @property
    def links(self) -> list[str]:
        """The addresses in its plain text, in order."""
        return re.findall(r"https?://[^\s<>\"]+", self.text)

    def _part(self, kind: Literal["plain", "html"]) -> str:
        part = self.message.get_body((kind,))
        return part.get_content().replace("\r\n", "\n") if part else ""


class Inbox:
    """What a server took, in order; safe to read from any thread."""

    def __init__(self) -> None:
        self._messages: list[Received] = []
        self._changed = threading.Condition()

    def put(self, received: Received) -> None:
        with self._changed:
            self._messages.append(received)
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self.all())

    def all(self) -> list[Received]:
        """Return every message so far."""
        with self._changed:
            return list(self._messages)

    def to(self, address: str) -> list[Received]:
        """Return the messages that went to an address."""
        return [received for received in self.all() if address in received.rcpt_tos]

    def clear(self) -> None:
        """Forget every message."""
        with self._changed:
            self._messages.clear()

    def wait_for(self, n: int = 1, timeout: float = 30, *, quiet: float = 0) -> list[Received]:
        """Wait for exactly `n` messages, and that for `quiet` seconds no other comes; returns them, or fails."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._messages) >= n, timeout)
            if quiet:
                self._changed.wait_for(lambda: len(self._messages) > n, quiet)
            there = [f"{each.rcpt_tos}: {each.message['Subject']}" for each in self._messages]
            assert len(there) == n, f"{len(there)} messages instead of {n}: {there}"
            return list(self._messages)
