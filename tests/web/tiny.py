"""A small application around the real web layer: no database, a few views, so that each rule is seen alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Flask, jsonify, make_response, redirect, render_template_string, request
from flask.testing import FlaskClient

from app import web
from app.config import ROOT, Config
from app.extensions import babel
from app.web.environment import Environment
from app.web.sessions import current_session
from app.web.toasts import toast

HTTP = "http://localhost:8000"
NO_INSTANCE = Path("/dev/null/instance")  # nothing can be kept there
HTTPS = "https://access.northwind.example"
PLAIN = "{% extends 'base_plain.html' %}{% block title %}A page{% endblock %}"


def tiny_app(config: Config | None = None, *, extend: Callable[[Flask], object] = lambda app: None) -> Flask:
    app = Flask("tiny", template_folder=str(ROOT / "templates"), static_folder=None)
    app.config.update(
        GATEHOUSE=replace(config or Config(base_url=HTTP), instance_path=NO_INSTANCE),
        SECRET_KEY=b"0123456789abcdef0123456789abcdef",
    )
    app.jinja_environment = Environment
    babel.init_app(app)
    web.surround(app)
    add_views(app)
    extend(app)
    return app


def add_views(app: Flask) -> None:
    @app.get("/panel/form")
    @app.get("/connect/form")
    @app.get("/portal/form", endpoint="portal_form")
    def form() -> str:
        return render_template_string("{{ csrf_token() }}")

    @app.post("/panel/form")
    @app.post("/connect/form")
    def submit() -> Any:
        return "done"

    @app.get("/panel/page")
    def page() -> str:
        return render_template_string(PLAIN)

    @app.get("/panel/quiet")
    @app.get("/healthz")
    @app.get("/readyz")
    @app.get("/metrics")
    def quiet() -> Any:
        return jsonify(scheme=request.scheme, host=request.host, address=request.remote_addr)

    @app.get("/panel/own-headers")
    def own_headers() -> Any:
        response = make_response("")
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["cache-control"] = "public, max-age=1"
        response.headers["Vary"] = "Origin"
        return response

    @app.post("/panel/sign-in")
    def sign_in() -> str:
        current_session().rotate()
        return "in"

    @app.post("/panel/sign-out")
    def sign_out() -> str:
        current_session().end()
        return "out"

    @app.route("/panel/toast", methods=["GET", "POST"])
    def say() -> Any:
        toast("Sent requests to client", "2 recipients", link=("/panel/apps", "Open Apps"))
        return redirect("/panel/page", 303) if request.method == "POST" else render_template_string(PLAIN)

    @app.get("/l/<path:token>", provide_automatic_options=False)
    def open_link(token: str) -> Any:
        return web.errors.link_cannot_be_opened()


def browser(app: Flask, base_url: str = HTTP) -> FlaskClient:
    """A client that comes by the right name."""

    class Browser(FlaskClient):
        def open(self, *args: Any, **kwargs: Any) -> Any:
            return super().open(*args, **{"base_url": base_url, **kwargs})

    return Browser(app, app.response_class, use_cookies=True)


def cookies_of(response: Any) -> list[str]:
    return list(response.headers.getlist("Set-Cookie"))
