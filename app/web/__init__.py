"""The surfaces: everything that is answered over HTTP."""

from importlib import import_module
from importlib.util import find_spec

from flask import Blueprint, Flask

from app import extensions
from app.web.compression import register_compression
from app.web.errors import register_errors
from app.web.ops import measure
from app.web.security import register_security
from app.web.sessions import BrowserSessions
from app.web.static import register_static
from app.web.templating import register_templating
from app.web.toasts import register_toasts

SURFACES = ("panel", "client", "oauth", "portal", "ops")


def register_web(app: Flask) -> None:
    """Bind the surfaces and everything around them; `app.config["GATEHOUSE"]` and Flask-Babel stand already."""
    app.url_map.merge_slashes = False  # every path below /l/ gets one answer, //x too
    app.session_interface = BrowserSessions()
    extensions.htmx.init_app(app)  # by its module: app.web.htmx is ours
    register_static(app, kept=app.config["GATEHOUSE"].instance_path / "static")
    register_compression(app)
    measure(app)
    register_security(app)
    register_errors(app)
    register_templating(app)
    register_toasts(app)
    for surface in SURFACES:
        if find_spec(f"app.web.{surface}"):
            for blueprint in _blueprints(surface):
                app.register_blueprint(blueprint)


def _blueprints(surface: str) -> list[Blueprint]:
    module = import_module(f"app.web.{surface}")
    return [value for value in vars(module).values() if isinstance(value, Blueprint)]
