"""For those who run an installation: is it alive, is it ready, what are its figures."""

import contextlib
import hmac
import ipaddress
import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, abort, current_app, g, request
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.config import Config, is_loopback
from app.services import health

bp = Blueprint("ops", __name__)

registry = CollectorRegistry()
answered = Counter(
    "gatehouse_http_responses", "Answers by endpoint and status.", ["endpoint", "status"], registry=registry
)
took = Histogram("gatehouse_http_seconds", "How long answers took, by endpoint.", ["endpoint"], registry=registry)
SHARED = "PROMETHEUS_MULTIPROC_DIR"  # where processes keep their counts together, if there are several


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Answer as long as the process does."""
    return _text("ok\n", 200)


@bp.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Answer 200 when requests can be served, else 503 with the reason."""
    found = health.problems()
    return _text("\n".join(found or ["ok"]) + "\n", 503 if found else 200)


@bp.get("/metrics")
def metrics() -> ResponseReturnValue:
    """Give the figures in Prometheus' format, to this machine itself or to whoever has the token."""
    if not _may_read():
        abort(404)
    shown = CollectorRegistry()
    shown.register(MultiProcessCollector(None) if SHARED in os.environ else registry)  # type: ignore[no-untyped-call]
    shown.register(Outbox())
    return Response(generate_latest(shown), content_type=CONTENT_TYPE_LATEST)


class Outbox(Collector):
    """The outbox as it is now; nothing while the database is away."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        items = GaugeMetricFamily(
            "gatehouse_outbox_items",
            "Work in the outbox that is due, in hand, or put off after a failure, by state.",
            labels=["state"],
        )
        with contextlib.suppress(SQLAlchemyError):
            for state, count in health.outbox_depth(at=clock.now()).items():
                items.add_metric([state], count)
        yield items


def _may_read() -> bool:
    config: Config = current_app.config["GATEHOUSE"]
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if config.metrics_token:
        return scheme == "Bearer" and hmac.compare_digest(given.encode(), config.metrics_token.encode())
    came_through_proxy = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "Via"))
    if came_through_proxy or not _is_called_by_this_machines_name():
        return False
    return ipaddress.ip_address(request.remote_addr or "0.0.0.0").is_loopback  # noqa: S104 - no address


def _is_called_by_this_machines_name() -> bool:
    """Not so from a page whose own name was made to lead to this machine (DNS rebinding), nor through a silent proxy."""
    try:
        return is_loopback(urlsplit(f"//{request.headers.get('Host', '')}").hostname or "")
    except ValueError:
        return False


def _text(body: str, status: int) -> Response:
    return Response(body, status, content_type="text/plain; charset=utf-8")


def measure(app: Flask) -> None:
    """Count every answer and how long it took; together with other processes if a folder for that is named."""
    if folder := os.environ.get(SHARED):
        Path(folder).mkdir(parents=True, exist_ok=True)

    @app.before_request
    def begin() -> None:
        g.began = time.monotonic()

    @app.after_request
    def end(response: Response) -> Response:
        endpoint = request.endpoint or "none"
        _answers(endpoint, response.status_code).inc()
        if "began" in g:
            _times(endpoint).observe(time.monotonic() - g.began)
        return response


@cache
def _answers(endpoint: str, status: int) -> Counter:
    return answered.labels(endpoint, status)


@cache
def _times(endpoint: str) -> Histogram:
    return took.labels(endpoint)
