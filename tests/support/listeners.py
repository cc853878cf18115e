"""Servers on loopback that play a script to whoever connects, and count them."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress


class Listener:
    """A loopback server that plays a script to everyone who connects, and counts them."""

    def __init__(self, script: Callable[[socket.socket], None], address: str = "127.0.0.1", port: int = 0) -> None:
        self.script, self.seen = script, 0
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, port), family=family)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://[{address}]:{self.port}/" if ":" in address else f"http://{address}:{self.port}/"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.seen += 1
            with closing(connection):
                connection.settimeout(5)
                with suppress(OSError):
                    self.script(connection)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@contextmanager
def listening(
    script: Callable[[socket.socket], None], address: str = "127.0.0.1", *, port: int = 0
) -> Iterator[Listener]:
    listener = Listener(script, address, port)
    try:
        yield listener
    finally:
        listener.close()


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    def script(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return script


def trickling(first: bytes) -> Callable[[socket.socket], None]:
    def script(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(first)
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    return script
