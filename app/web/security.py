"""What every request must meet and every response carries: hosts, origins, CSRF, security headers."""

import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from flask import Flask, Response, abort, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from app.extensions import csrf, db

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000"  # browsers stay on https (RFC 6797)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
ANY_HOST = frozenset({"/healthz", "/readyz", "/metrics"})
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class HostCheck:
    """Answers 400 to a request whose Host is not the configured one; probes may come by any name."""

    def __init__(self, application: "WSGIApplication", base_url: str) -> None:
        self.application = application
        self.hosts = allowed_hosts(base_url)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        host = str(environ.get("HTTP_HOST", "")).lower()
        if host in self.hosts or environ.get("PATH_INFO") in ANY_HOST:
            return self.application(environ, start_response)
        body = b"This server is not reached by that name.\n"
        headers = [*HEADERS.items(), ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response("400 Bad Request", headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def allowed_hosts(base_url: str) -> frozenset[str]:
    """The Host headers that mean this installation: a default port may be said or left out."""
    parts = urlsplit(base_url.lower())
    default = DEFAULT_PORTS[parts.scheme]
    bare = parts.netloc.removesuffix(default)
    has_port = parts.port is not None and bare == parts.netloc
    return frozenset({bare} if has_port else {bare, bare + default})


def name_request() -> None:
    """Give the request an id, for the log and for the page of an unexpected error."""
    g.request_id = secrets.token_hex(8)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def note_address() -> None:
    """Tell the services where the request comes from, for audit rows and limits."""
    db.session().info["address"] = request.remote_addr


def check_origin(origin: str) -> Callable[[], None]:
    """Make the check that a change is asked for by one of our own pages (Fetch Metadata; Origin where it is lacking)."""

    def refuse_foreign() -> None:
        if request.method in SAFE_METHODS:
            return
        site = request.headers.get("Sec-Fetch-Site")
        foreign = site not in ("same-origin", "none") if site else request.headers.get("Origin", origin) != origin
        if foreign:
            abort(403)

    return refuse_foreign


def headers_of(*, https: bool) -> Callable[[Response], Response]:
    """Make what adds the security headers; one that a view has set itself stays."""
    ours = HEADERS | {"Strict-Transport-Security": HSTS} if https else HEADERS
    added = [(name.lower(), name, value) for name, value in ours.items()]

    def add_headers(response: Response) -> Response:
        headers = response.headers
        there = {name.lower() for name, _value in headers}
        for lower, name, value in added:
            if lower not in there:
                headers.add(name, value)
        if "vary" in there:
            response.vary.add("HX-Request")
        else:
            headers.add("Vary", "HX-Request")
        return response

    return add_headers


def register_security(app: Flask) -> None:
    """Check hosts, origins and CSRF tokens, and set the headers; wraps `app.wsgi_app`, so it comes last of the wrappers."""
    config = app.config["GATEHOUSE"]
    app.config.update(WTF_CSRF_TIME_LIMIT=None, WTF_CSRF_METHODS={"POST", "PUT", "PATCH", "DELETE"})
    app.wsgi_app = HostCheck(app.wsgi_app, config.base_url)  # type: ignore[method-assign]
    if hops := config.proxy_hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    app.before_request(name_request)
    app.before_request(note_address)
    app.before_request(check_origin(config.base_url))
    csrf.init_app(app)
    app.after_request(headers_of(https=config.https))
