"""The surfaces: everything that is answered over HTTP."""

from typing import Any

from flask import Flask

from app import extensions
from app.web import brand, client, oauth, ops, panel, portal
from app.web.compression import register_compression
from app.web.errors import register_errors
from app.web.marks import register_marks
from app.web.sealed_mode import register_sealed
from app.web.security import register_security
from app.web.sessions import BrowserSessions
from app.web.static import register_static
from app.web.templating import register_templating
from app.web.toasts import register_toasts

BLUEPRINTS = (panel.first_run, panel.bp, client.bp, oauth.bp, portal.bp, brand.bp, ops.bp)


def register_web(app: Flask) -> None:
    """Bind the surfaces and everything around them."""
    register_sealed(app)
    surround(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)


def surround(app: Flask) -> None:
    """Bind what every surface has around it; `app.config["GATEHOUSE"]` and Flask-Babel stand already."""
    app.url_map.merge_slashes = False  # every path below /l/ gets one answer, //x too
    app.session_interface = BrowserSessions()
    app.ensure_sync = _as_it_is  # type: ignore[assignment, method-assign]
    extensions.htmx.init_app(app)  # by its module: app.web.htmx is ours
    register_static(app, kept=app.config["GATEHOUSE"].instance_path / "static")
    register_compression(app)
    ops.measure(app)
    register_security(app)
    register_errors(app)
    register_templating(app)
    register_marks(app)
    register_toasts(app)


def _as_it_is(function: Any) -> Any:
    """No view or hook is a coroutine, so that none needs to be looked at for every request."""
    return function
