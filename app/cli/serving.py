"""The embedded web server: waitress, which on SIGTERM lets the requests in flight finish."""

import signal
import threading
import time
from collections.abc import Callable

import waitress
from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer

THREADS = 16
GRACE = 25.0  # seconds for requests in flight; the worker's run beside them


def run(
    app: Flask,
    *,
    host: str,
    port: int,
    listening: Callable[[], None],
    stopping: Callable[[], None],
    threads: int = THREADS,
) -> None:
    """Serve until SIGTERM or SIGINT.

    `listening` is called once connections are accepted, `stopping` before requests in flight are waited for.
    """
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    sockets: dict[int, object] = {}
    # How far proxies are trusted is the application's setting, so waitress keeps out of it.
    server = waitress.create_server(
        app, map=sockets, host=host, port=port, threads=threads, ident=None, clear_untrusted_proxy_headers=False
    )
    listening()
    while not asked.is_set():
        _turn(sockets, 1.0)
    stopping()
    for listener in [each for each in sockets.values() if isinstance(each, BaseWSGIServer)]:
        listener.del_channel()
        listener.socket.close()
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline and any(_is_busy(each) for each in list(sockets.values())):
        _turn(sockets, 0.1)
    server.task_dispatcher.shutdown(timeout=1)
    wasyncore.close_all(sockets)


def _turn(sockets: dict[int, object], timeout: float) -> None:
    wasyncore.loop(timeout=timeout, use_poll=True, map=sockets, count=1)


def _is_busy(channel: object) -> bool:
    return isinstance(channel, HTTPChannel) and bool(channel.requests or channel.total_outbufs_len)
