"""Web servers under test: in a thread, where the clock can be moved, or as a process of their own."""

import contextlib
import logging
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.processes import LOOPBACK, Running, running

_straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Served:
    """A server in a thread: `url` is known before there is an application, and `app` may be replaced at any time."""

    def __init__(self, url: str, app: WSGIApplication | None) -> None:
        self.url = url
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self.app is None:
            start_response("503 Service Unavailable", [("Content-Length", "0")])
            return []
        return self.app(environ, start_response)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's signature
        logging.getLogger("tests.server").debug(message, *args)


@contextlib.contextmanager
def serve_in_thread(app: WSGIApplication | None = None, *, name: str = "localhost", port: int = 0) -> Iterator[Served]:
    """Serve a WSGI application on loopback in threads of this process; yields it with its `url`."""
    with socket.create_server((LOOPBACK, port)) as listener:
        served = Served(f"http://{name}:{listener.getsockname()[1]}", app)
        server = make_server(LOOPBACK, 0, served, threaded=True, request_handler=_Quiet, fd=listener.fileno())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@contextlib.contextmanager
def serve_process(
    args: Sequence[str | Path], *, url: str, env: Mapping[str, str] | None = None, timeout: float = 30
) -> Iterator[Running]:
    """Run a server as a process of its own until it answers at `url`, with any status; ended by its pid afterwards."""
    with running(args, ready=lambda: answers(url), env=env, timeout=timeout) as started:
        yield started


def answers(url: str) -> bool:
    """Tell whether a web server answers there, with whatever status."""
    try:
        _straight.open(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


def wait_until(holds: Callable[[], bool], *, timeout: float = 30, every: float = 0.02) -> None:
    """Wait for something to hold; raises AssertionError after `timeout` real seconds, whatever the moved clock says."""
    pause = threading.Event()
    for _ in range(int(timeout / every)):
        if holds():
            return
        pause.wait(every)
    raise AssertionError(f"Still not so after {timeout} s.")
