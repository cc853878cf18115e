"""What must not leak of an exchange, nor mix."""

from __future__ import annotations

import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from urllib.parse import urlencode

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


NEW = {"access_token": "AT-new/" + "x" * 20, "refresh_token": "RT-new." + "y" * 20, "expires_in": 3600}
AMISS = {
    "members twice": (json.dumps(NEW)[:-1] + ', "expires_in": 1}', 200, "application/json"),
    "two documents": (json.dumps(NEW) + "{}", 200, "application/json"),
    "a list": (json.dumps([NEW]), 200, "application/json"),
    "a form called text": (urlencode(NEW), 200, "text/plain"),
    "a page": (f"<p>{NEW}</p>", 200, "text/html"),
    "an error beside them": (json.dumps(NEW | {"error": "odd"}), 200, "application/json"),
    "an error that holds them": (json.dumps({"error": {"code": "odd", "data": NEW}}), 400, "application/json"),
    "an error that is one": (json.dumps({"error": NEW["refresh_token"]}), 400, "application/json"),
    "a list of errors": (json.dumps({"error": [NEW]}), 400, "application/json"),
    "a description of them": (
        json.dumps({"error": "odd", "error_description": f"{'wait ' * 30}{NEW} {urlencode(NEW)}"}),
        400,
        "application/json",
    ),
    "a description in parts": (json.dumps({"error": "odd", "error_description": NEW}), 400, "application/json"),
    "a type that is one": (json.dumps([NEW]), 200, NEW["refresh_token"]),
}


@pytest.mark.parametrize("case", AMISS)
def test_exchange_logs_no_token_of_an_answer_that_is_amiss(provider, caplog, case):
    """They are new, so that nobody knows yet what to hide."""
    caplog.set_level(logging.DEBUG)
    body, status, kind = AMISS[case]
    serve(provider, "/token", body.encode(), status=status, content_type=kind)

    with pytest.raises(TokenError):
        exchanged(an_app(provider))

    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert f"app=acme status={status} said: " in logged
    assert not re.search("AT-new|RT-new|xxxx|yyyy", logged)


def test_exchange_logs_what_is_wrong(provider, caplog):
    serve(provider, "/token", {"error": "unsupported_grant_type", "error_description": "use POST"}, status=400)
    with pytest.raises(TokenError):
        exchanged(an_app(provider))
    serve(provider, "/html", b"<html>", status=502, content_type="text/html; charset=utf-8")
    with pytest.raises(TokenError):
        exchanged(an_app(provider, token_url=provider.url_for("/html")))

    assert [record.getMessage() for record in caplog.records if record.name.startswith("app.")] == [
        "oauth.token_error app=acme status=400 said: unsupported_grant_type: use POST",
        "oauth.token_garbage app=acme status=502 said: 6 bytes of text/html",
    ]


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
