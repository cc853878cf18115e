"""The sandbox's addresses: pages for people, and what clients call."""

from __future__ import annotations

import functools
from collections.abc import Callable

from flask import Blueprint, Flask, Response

from app.catalog.protocol import OAuth2
from app.catalog.schema import App
from app.sandbox.answers import as_json, refusal
from app.sandbox.grants import Refusal
from app.sandbox.misbehaviour import instead
from app.sandbox.provider import oauth_app
from app.sandbox.rewriting import Step

View = Callable[[App, OAuth2], Response]
Writer = Callable[[App, OAuth2, Refusal], Response]


def plainly(_app: App, _ways: OAuth2, refused: Refusal) -> Response:
    """Write a refusal as most do."""
    return as_json({"error": refused.error, "error_description": refused.says}, refused.status)


def as_token_error(_app: App, ways: OAuth2, refused: Refusal) -> Response:
    """Write a refusal as the app's token address does."""
    return refusal(ways, refused)


def called(bp: Blueprint, step: Step, *methods: str, errors: Writer = plainly) -> Callable[[View], View]:
    """Put a view at an app's address for `step`, whatever travels in the path behind it; switches and refusals included."""

    def register(view: View) -> View:
        @functools.wraps(view)
        def answer(key: str, rest: str = "") -> Response:  # noqa: ARG001 - `calls.in_address` reads it raw
            app, ways = oauth_app(key)
            wrong = instead(key)
            if wrong:
                return wrong
            try:
                return view(app, ways)
            except Refusal as refused:
                return errors(app, ways, refused)

        for tail in ("", "/", "/<path:rest>"):
            bp.add_url_rule(f"/<key>/{step}{tail}", step, answer, methods=methods)
        return view

    return register


def register_views(app: Flask) -> None:
    """Register all blueprints."""
    from app.sandbox.views import accounts, authorize, consent, control, tokens

    for module in (authorize, consent, tokens, accounts, control):
        app.register_blueprint(module.bp)
