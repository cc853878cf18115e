"""The sandbox provider: an application of its own that stands in for every OAuth app of the catalog, in the demo and in tests.

It reaches nobody and is reached from this machine alone. It is no part of a running installation.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, render_template
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from app.catalog import Catalog
from app.catalog.addresses import is_loopback
from app.extensions import babel
from app.sandbox.clients import clients_of, demo_clients
from app.sandbox.provider import Provider
from app.sandbox.rewriting import rewrite
from app.sandbox.signing import Signer
from app.sandbox.store import Store
from app.sandbox.switches import Mode, Switch, Switches
from app.sandbox.views import register_views
from app.web.security import HostCheck, check_origin, headers_of
from app.web.static import register_static
from app.web.templating import register_templating

__all__ = [
    "Mode",
    "Provider",
    "SandboxRefused",
    "Switch",
    "Switches",
    "clients_of",
    "create_sandbox",
    "demo_clients",
    "provider_of",
    "rewrite",
]

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 64 * 1024


class SandboxRefused(RuntimeError):
    """The sandbox was asked for where it must not be."""


def create_sandbox(
    catalog: Catalog,
    *,
    base_url: str,
    panel_url: str,
    demo: bool = False,
    path: Path | None = None,
    switches: Switches | None = None,
) -> Flask:
    """Make the application, to be served at `base_url`; grants outlive a restart in the JSON file at `path`.

    Raises SandboxRefused without `demo=True`, and for addresses that are not on this machine's loopback.
    """
    if demo is not True:
        raise SandboxRefused("The sandbox provider is for the demo and for tests alone.")
    for url in (base_url, panel_url):
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not is_loopback(parts.hostname or ""):
            raise SandboxRefused(f"The sandbox provider is for this machine alone: {url} is not on loopback.")
    base_url, panel_url = base_url.rstrip("/"), panel_url.rstrip("/")
    app = Flask(__name__, template_folder=str(ROOT / "templates"), static_folder=None)
    app.url_map.merge_slashes = False
    app.config.update(MAX_CONTENT_LENGTH=LARGEST, MAX_FORM_MEMORY_SIZE=LARGEST)
    store = Store(path)
    app.extensions["sandbox"] = Provider(
        catalog=rewrite(catalog, base_url),
        base_url=base_url,
        panel_url=panel_url,
        store=store,
        switches=switches or Switches(),
        signer=Signer(store),
    )
    babel.init_app(app)
    register_templating(app)
    register_static(app, kept=path.parent / "static" if path else None)
    register_views(app)
    app.register_error_handler(HTTPException, _on_error)
    app.wsgi_app = HostCheck(app.wsgi_app, base_url)  # type: ignore[method-assign]
    app.before_request(check_origin(base_url))
    app.after_request(headers_of(https=False))
    return app


def provider_of(app: Flask) -> Provider:
    """Return what a sandbox works with: its switches and its store."""
    provider: Provider = app.extensions["sandbox"]
    return provider


def _on_error(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    return (render_template("sandbox/missing.html"), status) if status >= 400 else error.get_response()
