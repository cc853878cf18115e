"""What must not leak of an exchange, nor mix."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest
from werkzeug import Response

from app.oauth import TokenError, begin, exchange
from app.vault import Masked
from tests.oauth.factories import CLIENT, REDIRECT, an_app, answer, ends_of, exchanged, serve


def test_exchange_logs_no_secret_even_if_the_provider_echoes_it(provider, caplog):
    caplog.set_level(logging.DEBUG)
    echoed = f"code canary-code verifier {'v' * 64} secret canary-client-secret"
    for path, document in (
        ("/a", {"error": "x", "error_description": echoed}),
        ("/b", {"error": {"message": echoed}}),
        ("/c", echoed.encode()),
    ):
        serve(provider, path, document, status=400)
        with pytest.raises(TokenError):
            exchanged(an_app(provider, token_url=provider.url_for(path)))

    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert logged.count("app=acme status=400") == 3
    assert "canary" not in logged
    assert "vvvv" not in logged


def test_token_hides_its_secrets(provider):
    serve(provider, "/token", answer(refresh_token="canary-refresh", id_token="canary.id.token", custom="canary-extra"))

    token = exchanged(an_app(provider))

    assert "canary" not in repr(token)
    assert "canary" not in f"{token}"
    assert token.answer["custom"] == "canary-extra"


def test_exchange_mixes_up_no_flows_of_many_threads(provider):
    def own(call):
        sent = dict(call.form)
        return Response(
            json.dumps({"access_token": f"{sent['code']}.{sent['code_verifier']}"}), content_type="application/json"
        )

    provider.expect_request("/token").respond_with_handler(own)
    app = an_app(provider)
    ends, start = ends_of(app), Barrier(8)

    def one(number: int) -> bool:
        if number < 8:
            start.wait(60)
        flow = begin(app, CLIENT, redirect_uri=REDIRECT, scopes=(), fields={})
        token = exchange(
            app,
            CLIENT,
            ends,
            code=Masked(f"code-{number}"),
            verifier=flow.code_verifier,
            redirect_uri=REDIRECT,
            fields={},
            kept={},
            scopes=(),
            at=datetime.now(UTC),
        )
        return token.access_token.reveal() == f"code-{number}.{flow.code_verifier.reveal()}"

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(120)))
