"""SMTP on the wire: every step, and all of them together, end in time and in size, whatever the server does."""

import io
import queue
import re
import select
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from app.config import SmtpServer

LULL = 0.02  # seconds without an answer after which we are waiting
LONGEST_REPLY = (
    65536  # bytes: a reply may have many lines of 512 (RFC 5321, sections 4.2.1 and 4.5.3.1.5), but not without end
)


def nothing() -> None:
    """Nothing is to be done meanwhile."""


class Wire(smtplib.SMTP):
    """SMTP whose steps have `patience` seconds each and `limit` together, however slowly the server trickles."""

    def __init__(
        self, server: SmtpServer, context: ssl.SSLContext | None, *, name: str, patience: float, limit: float
    ) -> None:
        self._context = context
        self._implicit = server.tls == "implicit"
        self._patience = patience
        self._room = LONGEST_REPLY
        self.waiting = nothing
        self.allow(limit)
        super().__init__(local_hostname=name, timeout=patience)
        self._host = server.host
        code, text = self.connect(server.host, server.port)
        if code != 220:
            self.close()
            raise smtplib.SMTPConnectError(code, text)

    def allow(self, seconds: float) -> None:
        """Begin a new piece of work that must end within so many seconds."""
        self._deadline = time.monotonic() + seconds

    def prolong(self, seconds: float) -> None:
        """Let it end so much later: that long we were busy with something else."""
        self._deadline += seconds

    def left(self) -> float:
        """How long the next step may take; raises TimeoutError when the time for all of it is over."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, self._patience)

    def _get_socket(self, host: str, port: int, _timeout: float) -> socket.socket:
        error: OSError | None = None
        for family, kind, protocol, _name, address in _look_up(host, port, within=self.left()):
            plain = socket.socket(family, kind, protocol)
            try:
                plain.settimeout(self.left())
                plain.connect(address)
                plain.settimeout(self.left())
                return self._encrypted(plain, host) if self._implicit else plain
            except OSError as failure:
                plain.close()
                error = failure
        raise error or OSError("The name has no address.")

    def _encrypted(self, plain: socket.socket, host: str) -> socket.socket:
        if self._context is None:
            raise ssl.SSLError("There is nothing to trust.")
        return self._context.wrap_socket(plain, server_hostname=host)

    def send(self, text: Any) -> None:
        if self.sock:
            self.sock.settimeout(self.left())
        super().send(text)

    def getreply(self) -> tuple[int, bytes]:
        self._room = LONGEST_REPLY
        if self.sock and self.file is None:
            self.file = io.BufferedReader(_Reader(self._receive))
        return super().getreply()

    def _receive(self, buffer: Any) -> int:
        if self.sock is None:
            raise ConnectionAbortedError
        if self.waiting is not nothing and not self._is_prompt():
            self._wait()
        self.sock.settimeout(self.left())
        received = self.sock.recv_into(buffer)
        self._room -= received
        if self._room < 0:
            raise ConnectionAbortedError
        return received

    def _wait(self) -> None:
        try:
            self.waiting()
        except BaseException:
            self.close()  # else the next mail took the answer for its own
            raise

    def _is_prompt(self) -> bool:
        """Whether something comes before one could call it a wait."""
        return bool(answered([self], within=min(LULL, self.left())))

    def encrypt(self) -> None:
        """STARTTLS (RFC 3207), verified; raises where the server does not offer it."""
        if self.sock:
            self.sock.settimeout(self.left())
        self.starttls(context=self._context)
        self.ehlo_or_helo_if_needed()

    def begin(self, sender: str) -> None:
        """Say whom a mail is from: a bare address, which needs no quoting. As after each of these, a reply comes."""
        self.putcmd("MAIL", f"FROM:<{sender}>")

    def address(self, recipient: str) -> None:
        """Say whom it is to: a bare address too."""
        self.putcmd("RCPT", f"TO:<{recipient}>")

    def hand_over(self, message: bytes) -> None:
        """Send the message itself, after 354 (RFC 5321, section 4.1.1.4)."""
        body = re.sub(rb"(?m)^\.", b"..", message) if message.startswith(b".") or b"\n." in message else message
        self.send(body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        # point: smtp.sent


def answered(wires: Sequence[Wire], *, within: float) -> list[Wire]:
    """Those of them of which something can be read, or that broke, as soon as there is one."""
    if there := [wire for wire in wires if _is_pending(wire.sock)]:
        return there
    poll, waits = select.poll(), {}
    for wire in wires:
        if wire.sock is None:
            return [wire]
        waits[wire.sock.fileno()] = wire
        poll.register(wire.sock, select.POLLIN)
    return [waits[number] for number, _ in poll.poll(1000 * max(0.0, within))]


def _is_pending(sock: socket.socket | None) -> bool:
    """Whether something is here already that no poll would show."""
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


class _Reader(io.RawIOBase):
    def __init__(self, receive: Callable[[Any], int]) -> None:
        self._receive = receive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._receive(buffer)


def _look_up(host: str, port: int, *, within: float) -> list[Any]:
    """Resolve in a thread of its own, since the system's resolver knows no deadline; raises OSError."""
    answers: queue.SimpleQueue[list[Any] | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError):
            answers.put(None)

    threading.Thread(target=ask, name="smtp-resolve", daemon=True).start()
    try:
        found = answers.get(timeout=within)
    except queue.Empty:
        raise TimeoutError from None
    if found is None:
        raise OSError("The name is not known.")
    return found
