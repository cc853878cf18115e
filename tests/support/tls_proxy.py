"""A TLS-terminating proxy on loopback, as nginx would stand before a production server."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.processes import LOOPBACK
from tests.support.tls import Authority

HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
BODYLESS = {204, 304}


class TlsProxy(ThreadingHTTPServer):
    """Serves `url` (https) from `upstream`, an http address that may be set once it is known."""

    daemon_threads = True
    block_on_close = False
    upstream = ""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self._context = context
        self.url = f"https://localhost:{self.server_address[1]}"
        self.open: set[socket.socket] = set()

    def finish_request(self, connection: socket.socket, client_address: Any) -> None:
        # The handshake belongs to the connection's own thread, so that a slow one holds up nobody.
        connection.settimeout(30)
        with contextlib.suppress(OSError), self._context.wrap_socket(connection, server_side=True) as secure:
            self.open.add(secure)
            try:
                super().finish_request(secure, client_address)
            finally:
                self.open.discard(secure)

    def hang_up(self) -> None:
        """Close the connections that are still kept alive."""
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: TlsProxy

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        backend = http.client.HTTPConnection(urlsplit(self.server.upstream).netloc, timeout=60)
        with contextlib.closing(backend):
            backend.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self._onwards():
                backend.putheader(name, value)
            backend.endheaders(body)
            self._answer(backend.getresponse())

    def _onwards(self) -> Iterator[tuple[str, str]]:
        ours = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}
        yield from ((k, v) for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP | ours)
        known = self.headers.get("X-Forwarded-For")
        yield "X-Forwarded-For", f"{known}, {self.client_address[0]}" if known else self.client_address[0]
        yield "X-Forwarded-Proto", "https"
        yield "X-Forwarded-Host", self.headers.get("Host", "")

    def _answer(self, response: http.client.HTTPResponse) -> None:
        chunked = response.length is None and self.command != "HEAD" and response.status not in BODYLESS
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := response.read1(65536):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _forward  # noqa: N815 - the server looks for these names


@contextlib.contextmanager
def tls_proxy(authority: Authority, upstream: str = "") -> Iterator[TlsProxy]:
    """Run a proxy; yields it with its `url`, and `upstream` to set where it was not known yet."""
    proxy = TlsProxy(authority.server_context())
    proxy.upstream = upstream
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
        proxy.hang_up()
