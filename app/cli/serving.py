"""The embedded web server: waitress, which on SIGTERM lets the requests in flight finish."""

import errno
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence

import click
import waitress
from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer

from app import runtime
from app.extensions import db
from app.services import refreshing, setup

THREADS = 32
GRACE = 25.0  # seconds for requests in flight; the worker's run beside them


def welcome() -> str:
    """What the console says to whoever is to set up an installation that nobody has; else nothing."""
    needed = setup.is_needed() and not runtime.current().keys.unsigned
    code = setup.code() if needed else ""
    db.session.rollback()  # nothing of the start stays open for as long as it serves
    return f"Nobody has set it up yet. The set-up code is {code}" if needed else ""


def say_sealed() -> None:
    """Say on standard error why it serves without opening or storing secrets, if that is so."""
    for problem in runtime.current().keys.problems:
        click.echo(f"Sealed: {problem}", err=True)


def listen(host: str, port: int, *, instead: Callable[[int], str]) -> list[socket.socket]:
    """Listen on every address of a host; raises ClickException if that can't be, with the command to try `instead`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [socket.create_server(address, family=family) for family, *_, address in found]
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            other = port + 10 if port <= 65525 else port - 10
            raise click.ClickException(f"Port {port} is taken: try {instead(other)}") from error
        raise click.ClickException(f"{host}:{port} can't be listened on: {error.strerror}.") from error


def run(
    app: Flask,
    listeners: Sequence[socket.socket],
    *,
    listening: Callable[[], None],
    stopping: Callable[[], None],
    threads: int = THREADS,
) -> None:
    """Serve what comes in at the listeners until SIGTERM or SIGINT.

    `listening` is called once connections are accepted, `stopping` before requests in flight are waited for.
    """
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    sockets: dict[int, object] = {}
    # How far proxies are trusted is the application's setting, so waitress keeps out of it.
    server = waitress.create_server(
        app, map=sockets, sockets=listeners, threads=threads, ident=None, clear_untrusted_proxy_headers=False
    )
    listening()
    while not asked.is_set():
        _turn(sockets, 1.0)
    stopping()
    for listener in [each for each in sockets.values() if isinstance(each, BaseWSGIServer)]:
        listener.del_channel()
        listener.socket.close()
    told = time.monotonic()
    while time.monotonic() < told + _grace() and any(_is_busy(each) for each in list(sockets.values())):
        _turn(sockets, 0.1)
    server.task_dispatcher.shutdown(timeout=1)
    wasyncore.close_all(sockets)


def _grace() -> float:
    """For how many seconds requests in flight are waited for: a refresh that ends with us is a token lost."""
    return refreshing.GRACE if refreshing.are_under_way() else GRACE


def _turn(sockets: dict[int, object], timeout: float) -> None:
    wasyncore.loop(timeout=timeout, use_poll=True, map=sockets, count=1)


def _is_busy(channel: object) -> bool:
    return isinstance(channel, HTTPChannel) and bool(channel.requests or channel.total_outbufs_len)
