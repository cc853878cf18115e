"""Giving a grant back."""

from __future__ import annotations

import base64
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from werkzeug import Response

from app.catalog.protocol import Body, ClientAuth, Condition, Keep, Revoke, RevokeAuth, RevokeStyle
from app.oauth import Fault, RevokeOutcome, revoke
from app.oauth.revoke import RevokeLater, presents_access
from app.vault import Masked
from tests.oauth.factories import CLIENT, an_app, ends_of, serve

ACCESS, REFRESH = Masked("canary-access"), Masked("canary-refresh")


def revoked(app, *, access=ACCESS, fresh=REFRESH, fields=None, ends=None):
    return revoke(app, CLIENT, ends or ends_of(app), access_token=access, refresh_token=fresh, fields=fields or {})


def recording(provider, path, *, method="POST", status=200, body=b""):
    calls = []

    def handle(call):
        call.get_data()
        calls.append(call)
        return Response(body, status=status)

    provider.expect_request(path, method=method).respond_with_handler(handle)
    return calls


def form_of(call):
    return dict(parse_qsl(call.get_data(as_text=True)))


def test_revoke_follows_rfc_7009(provider):
    calls = recording(provider, "/revoke")

    outcome = revoked(an_app(provider, revoke=Revoke(url=provider.url_for("/revoke"))))

    assert outcome is RevokeOutcome.CONFIRMED
    assert form_of(calls[0]) == {
        "token": "canary-refresh",
        "token_type_hint": "refresh_token",
        "client_id": "client-1",
        "client_secret": "canary-client-secret",
    }


def test_revoke_authenticates_as_at_the_token_address(provider):
    calls = recording(provider, "/revoke")
    way = Revoke(url=provider.url_for("/revoke"))

    revoked(an_app(provider, revoke=way, client_auth=ClientAuth.BASIC))
    revoked(an_app(provider, revoke=way, client_auth=ClientAuth.NONE))
    revoked(an_app(provider, revoke=way, rename={"client_id": "client_key"}))

    assert base64.b64decode(calls[0].headers["Authorization"].split()[1]) == b"client-1:canary-client-secret"
    assert "client_id" not in form_of(calls[0])
    assert form_of(calls[1])["client_id"] == "client-1"
    assert "client_secret" not in form_of(calls[1])
    assert form_of(calls[2])["client_key"] == "client-1"


def test_revoke_gives_the_other_token_where_one_is_missing(provider):
    calls = recording(provider, "/revoke")
    for_refresh = Revoke(url=provider.url_for("/revoke"))

    revoked(an_app(provider, revoke=for_refresh), fresh=None)
    revoked(an_app(provider, revoke=replace(for_refresh, token="access_token", token_param="t")))
    revoked(an_app(provider, revoke=replace(for_refresh, token="access_token")), access=None)

    assert [form_of(call).get("token") for call in calls] == ["canary-access", None, "canary-refresh"]
    assert form_of(calls[0])["token_type_hint"] == "access_token"
    assert form_of(calls[1])["t"] == "canary-access"


def test_revoke_deletes_with_the_token_in_the_path(provider):
    calls = recording(provider, "/tokens/canary%2Faccess", method="DELETE", status=204)
    calls += recording(provider, "/tokens/canary/access", method="DELETE", status=204)
    base = provider.url_for("/").rstrip("/")
    way = Revoke(
        url=base + "/tokens/{token}",
        style=RevokeStyle.DELETE_PATH,
        method="DELETE",
        auth=RevokeAuth.NONE,
        body=Body.NONE,
    )
    app = an_app(provider, revoke=way)

    assert revoked(app, access=None, fresh=Masked("canary/access")) is RevokeOutcome.CONFIRMED
    ((asked, _),) = provider.log
    assert asked.environ["RAW_URI"] == "/tokens/canary%2Faccess"
    assert not asked.get_data()


def test_revoke_sends_json_under_basic(provider):
    calls = recording(provider, "/applications/client-1/grant", method="DELETE", status=204)
    way = Revoke(
        url=provider.url_for("/").rstrip("/") + "/applications/{client_id}/grant",
        style=RevokeStyle.BASIC_JSON,
        method="DELETE",
        auth=RevokeAuth.BASIC,
        body=Body.JSON,
        token="access_token",
        token_param="access_token",
    )

    assert revoked(an_app(provider, revoke=way)) is RevokeOutcome.CONFIRMED
    assert calls[0].get_json() == {"access_token": "canary-access"}
    assert calls[0].headers["Authorization"].startswith("Basic ")


def test_revoke_works_under_the_token_itself(provider):
    calls = recording(provider, "/revoke", body=b'{"ok": true}')
    way = Revoke(
        url=provider.url_for("/revoke"),
        style=RevokeStyle.BEARER,
        auth=RevokeAuth.BEARER,
        body=Body.NONE,
        token="access_token",
        ok=Condition(path="ok", equals=True),
    )

    assert revoked(an_app(provider, revoke=way)) is RevokeOutcome.CONFIRMED
    assert calls[0].headers["Authorization"] == "Bearer canary-access"
    assert not calls[0].get_data()


def test_revoke_sends_headers_and_parameters_of_the_apps_own(provider):
    calls = recording(provider, "/eu/revoke")
    place = Keep(path="location", name="location", pattern="eu|us")
    way = Revoke(
        url=provider.url_for("/").rstrip("/") + "/{location}/revoke",
        headers={"Authorization": "Client {client_secret}", "X-Token": "{access_token}"},
        params={"reason": "{client_id}"},
    )

    revoked(an_app(provider, revoke=way, callback_keep=(place,)), fields={"location": "eu"})

    assert calls[0].headers["Authorization"] == "Client canary-client-secret"
    assert calls[0].headers["X-Token"] == "canary-access"
    assert form_of(calls[0])["reason"] == "client-1"
    assert "client_secret" not in form_of(calls[0])


def test_revoke_uses_what_discovery_found(provider):
    calls = recording(provider, "/revoke")
    app = an_app(provider)

    assert revoked(app, ends=replace(ends_of(app), revoke=provider.url_for("/revoke"))) is RevokeOutcome.CONFIRMED
    assert form_of(calls[0])["token"] == "canary-refresh"


def test_revoke_says_where_there_is_no_such_thing(provider):
    assert revoked(an_app(provider)) is RevokeOutcome.UNSUPPORTED
    assert (
        revoked(an_app(provider, revoke=Revoke(url=provider.url_for("/x"))), access=None, fresh=None)
        is RevokeOutcome.UNSUPPORTED
    )
    assert not provider.log


@pytest.mark.parametrize(
    ("status", "document", "outcome"),
    [
        (200, b"", RevokeOutcome.CONFIRMED),
        (204, b"", RevokeOutcome.CONFIRMED),
        (200, b"<html>", RevokeOutcome.CONFIRMED),
        (400, {"error": "invalid_token"}, RevokeOutcome.CONFIRMED),
        (401, {"error": "token_revoked"}, RevokeOutcome.CONFIRMED),
        (503, {"error": "invalid_token"}, RevokeOutcome.FAILED),
        (400, {"error": "unsupported_token_type"}, RevokeOutcome.UNSUPPORTED),
        (401, {"error": "invalid_client"}, RevokeOutcome.FAILED),
        (400, {"error": {"code": 190}}, RevokeOutcome.FAILED),
        (400, [], RevokeOutcome.FAILED),
        (404, b"", RevokeOutcome.FAILED),
        (429, b"", RevokeOutcome.FAILED),
        (500, b"", RevokeOutcome.FAILED),
        (302, b"", RevokeOutcome.FAILED),
    ],
)
def test_revoke_tells_the_truth(provider, status, document, outcome):
    serve(provider, "/revoke", document, status=status)

    assert revoked(an_app(provider, revoke=Revoke(url=provider.url_for("/revoke")))) is outcome


GONE = ["invalid_token", "invalid_grant", "token_revoked", "token_expired", "invalid_refresh_token"]


@pytest.mark.parametrize("error", GONE)
def test_revoke_does_not_take_a_dead_access_token_for_a_dead_grant(provider, error):
    """It may have ended, or been replaced, while its refresh token lives."""
    serve(provider, "/revoke", {"error": error}, status=400)
    way = Revoke(url=provider.url_for("/revoke"))
    by_access = an_app(provider, revoke=replace(way, token="access_token"))

    assert revoked(by_access) is RevokeOutcome.FAILED
    assert revoked(by_access, fresh=None) is RevokeOutcome.CONFIRMED
    assert revoked(by_access, access=None) is RevokeOutcome.CONFIRMED
    assert revoked(an_app(provider, revoke=way)) is RevokeOutcome.CONFIRMED


@pytest.mark.parametrize(("fresh", "outcome"), [(REFRESH, RevokeOutcome.FAILED), (None, RevokeOutcome.CONFIRMED)])
def test_revoke_does_not_count_a_deleted_access_token_where_there_is_another(provider, fresh, outcome):
    recording(provider, "/token", method="DELETE", status=404)
    way = Revoke(url=provider.url_for("/token"), method="DELETE", token="access_token", body=Body.JSON)

    assert revoked(an_app(provider, revoke=way), fresh=fresh) is outcome


@pytest.mark.parametrize(
    ("token", "access", "fresh", "expected"),
    [
        ("access_token", ACCESS, REFRESH, True),
        ("access_token", ACCESS, None, False),
        ("access_token", None, REFRESH, False),
        ("refresh_token", ACCESS, REFRESH, False),
    ],
)
def test_presents_access_only_where_there_is_another(provider, token, access, fresh, expected):
    app = an_app(provider, revoke=Revoke(url=provider.url_for("/revoke"), token=token))

    assert presents_access(app, ends_of(app), access_token=access, refresh_token=fresh) is expected
    bare = an_app(provider)
    assert not presents_access(bare, ends_of(bare), access_token=access, refresh_token=fresh)


@pytest.mark.parametrize(("status", "code"), [(429, Fault.LIMITED), (503, Fault.UNAVAILABLE)])
def test_revoke_says_when_to_ask_again(provider, status, code):
    serve(provider, "/revoke", b"", status=status, **{"Retry-After": "120"})

    with pytest.raises(RevokeLater) as later:
        revoked(an_app(provider, revoke=Revoke(url=provider.url_for("/revoke"))))

    assert (later.value.code, later.value.retry_after) == (code, 120)


@pytest.mark.parametrize("document", [{"ok": False}, {"ok": "true"}, {}, b"<html>"])
def test_revoke_believes_no_200_that_says_no(provider, document):
    serve(provider, "/revoke", document)
    way = Revoke(url=provider.url_for("/revoke"), ok=Condition(path="ok", equals=True))

    assert revoked(an_app(provider, revoke=way)) is RevokeOutcome.FAILED


def test_revoke_counts_a_deleted_token_that_is_gone(provider):
    recording(provider, "/tokens/canary-refresh", method="DELETE", status=404)
    way = Revoke(
        url=provider.url_for("/").rstrip("/") + "/tokens/{token}",
        style=RevokeStyle.DELETE_PATH,
        method="DELETE",
        auth=RevokeAuth.NONE,
        body=Body.NONE,
    )

    assert revoked(an_app(provider, revoke=way)) is RevokeOutcome.CONFIRMED


def test_revoke_raises_nothing_when_nobody_answers(provider):
    app = an_app(provider)

    for address in ("http://127.0.0.1:1025/revoke", "https://10.0.0.1/revoke"):
        assert revoked(app, ends=replace(ends_of(app), revoke=address)) is RevokeOutcome.FAILED


def test_revoke_logs_no_token(provider, caplog):
    serve(provider, "/revoke", b"canary-access canary-refresh canary-client-secret", status=400)

    revoked(an_app(provider, revoke=Revoke(url=provider.url_for("/revoke"))))

    assert "app=acme" in caplog.text
    assert "canary-" not in caplog.text
