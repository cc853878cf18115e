"""Beginning a flow."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

import pytest

from app.catalog.protocol import Identity, Keep, Source
from app.catalog.schema import Field
from app.errors import Refused
from app.oauth import ClientCredentials, Endpoints, Fault, OAuthError, begin
from tests.oauth.factories import CLIENT, REDIRECT, an_app, serve

SUBDOMAIN = Field(name="subdomain", label="Subdomain", pattern="[a-z0-9][a-z0-9-]*", example="acme")


def query_of(url: str) -> dict[str, str]:
    values = parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(several) == 1 for several in values.values())
    return {name: several[0] for name, several in values.items()}


def started(app, scopes=("read",), fields=None, **named):
    return begin(app, CLIENT, redirect_uri=REDIRECT, scopes=scopes, fields=fields or {}, **named)


def test_begin_asks_for_what_rfc_6749_says(provider):
    flow = started(an_app(provider, default_scopes=("me",)), ("write", "me"))

    assert flow.url.startswith(provider.url_for("/authorize?"))
    query = query_of(flow.url)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(flow.code_verifier.reveal().encode()).digest()).rstrip(b"=")
    assert query == {
        "response_type": "code",
        "client_id": "client-1",
        "redirect_uri": REDIRECT,
        "scope": "me write",
        "state": flow.state.reveal(),
        "code_challenge": challenge.decode(),
        "code_challenge_method": "S256",
    }
    assert flow.scopes == ("me", "write")


def test_begin_makes_a_new_state_verifier_and_nonce_each_time(provider):
    app = an_app(provider, nonce=True)
    flows = [started(app) for _ in range(20)]

    assert len({flow.state.reveal() for flow in flows}) == 20
    assert len({flow.code_verifier.reveal() for flow in flows}) == 20
    assert len({flow.nonce for flow in flows}) == 20
    assert all(len(flow.state.reveal()) == 43 and len(flow.code_verifier.reveal()) >= 43 for flow in flows)


def test_begin_hides_its_secrets(provider):
    flow = started(an_app(provider))

    assert flow.state.reveal() not in repr(flow)
    assert flow.code_verifier.reveal() not in repr(flow)


def test_begin_leaves_pkce_out_where_the_provider_breaks_on_it(provider):
    flow = started(an_app(provider, pkce=False))

    assert flow.code_verifier is None
    assert not {"code_challenge", "code_challenge_method"} & query_of(flow.url).keys()


@pytest.mark.parametrize(
    ("quirks", "scopes"),
    [
        ({"nonce": True}, ()),
        ({"identity": Identity(source=Source.ID_TOKEN, id=("sub",))}, ()),
        ({}, ("openid",)),
    ],
)
def test_begin_sends_a_nonce_where_an_id_token_will_come(provider, quirks, scopes):
    flow = started(an_app(provider, **quirks), scopes)

    assert flow.nonce
    assert query_of(flow.url)["nonce"] == flow.nonce
    assert started(an_app(provider)).nonce is None


def test_begin_speaks_the_providers_dialect(provider):
    app = an_app(
        provider,
        fields=(SUBDOMAIN,),
        scope_separator=",",
        rename={"client_id": "client_key", "scope": "user_scope"},
        authorize_params={"access_type": "offline", "owner": "user {subdomain}", "prompt": "consent"},
        response_mode="query",
    )

    flow = started(app, ("a", "b"), {"subdomain": "acme"})

    query = query_of(flow.url)
    assert query["client_key"] == "client-1"
    assert query["user_scope"] == "a,b"
    assert (query["access_type"], query["owner"], query["prompt"]) == ("offline", "user acme", "consent")
    assert query["response_mode"] == "query"
    assert not {"client_id", "scope"} & query.keys()
    assert "user%20acme" in flow.url


def test_begin_keeps_the_query_of_the_authorize_address(provider):
    app = an_app(provider, authorize_url=provider.url_for("/authorize?audience=api"))

    assert query_of(started(app).url)["audience"] == "api"


def test_begin_leaves_scope_out_when_nothing_is_asked(provider):
    assert "scope" not in query_of(started(an_app(provider), ()).url)


def test_begin_escapes_reserved_characters_of_the_client(provider):
    client = ClientCredentials("id &=+%#?/é")
    flow = begin(an_app(provider), client, redirect_uri=REDIRECT, scopes=("a b",), fields={})

    assert query_of(flow.url)["client_id"] == "id &=+%#?/é"


@pytest.mark.parametrize(
    "quirks", [{}, {"rename": {"scope": "scope"}}, {"authorize_params": {"access_type": "offline"}}]
)
def test_begin_writes_spaces_as_every_decoder_reads_them(provider, quirks):
    flow = started(an_app(provider, **quirks), ("a b", "c+d~/é"))

    assert query_of(flow.url)["scope"] == "a b c+d~/é"
    assert "&scope=a%20b%20c%2Bd~%2F%C3%A9&" in flow.url
    assert "+" not in flow.url


def test_begin_names_the_person_only_to_providers_that_know_how(provider):
    assert (
        query_of(started(an_app(provider), ("openid",), login_hint="jo@client.test").url)["login_hint"]
        == "jo@client.test"
    )
    assert "login_hint" not in query_of(started(an_app(provider), login_hint="jo@client.test").url)


def test_begin_builds_hosts_from_fields(provider):
    app = an_app(
        provider,
        fields=(SUBDOMAIN,),
        authorize_url="https://{subdomain}.acme.example/authorize",
        token_url="https://{subdomain}.acme.example/token",
    )

    flow = started(app, fields={"subdomain": "north"})

    assert flow.url.startswith("https://north.acme.example/authorize?")
    assert flow.endpoints.token == "https://north.acme.example/token"


@pytest.mark.parametrize("value", ["", "evil.example/", "a.b", "x@evil.example", "a#", "a?b", "-a", "ａ", "a\nb"])
def test_begin_refuses_a_field_that_would_lead_elsewhere(provider, value):
    app = an_app(provider, fields=(SUBDOMAIN,), authorize_url="https://{subdomain}.acme.example/authorize")

    with pytest.raises(Refused) as refusal:
        started(app, fields={"subdomain": value})

    assert refusal.value.field == "subdomain"


def test_begin_leaves_open_only_what_the_callback_will_fill(provider):
    host = Keep(
        path="accounts-server",
        name="accounts",
        pattern=r"https://accounts\.acme\.(example|test)",
        default="https://accounts.acme.example",
    )
    app = an_app(provider, authorize_url="{accounts}/authorize", token_url="{accounts}/token", callback_keep=(host,))

    flow = started(app)

    assert flow.url.startswith("https://accounts.acme.example/authorize?")
    assert flow.endpoints.token == "{accounts}/token"


def test_endpoints_survive_their_row():
    ends = Endpoints(
        authorize="https://a.example/", token="https://t.example/", refresh="https://t.example/", iss_required=True
    )

    assert Endpoints.from_json(ends.to_json()) == ends


# Discovery


def metadata(provider, **changes):
    base = provider.url_for("/tenant")
    return {
        "issuer": base,
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "revocation_endpoint": f"{base}/revoke",
        "userinfo_endpoint": f"{base}/me",
        "jwks_uri": f"{base}/keys",
        "authorization_response_iss_parameter_supported": True,
        **changes,
    }


def discovering(provider, **quirks):
    quirks.setdefault("identity", Identity(source=Source.ID_TOKEN, id=("sub",)))
    return an_app(provider, discovery_url=provider.url_for("/tenant/.well-known/openid-configuration"), **quirks)


WELL_KNOWN = "/tenant/.well-known/openid-configuration"


def test_begin_reads_the_addresses_from_discovery_once(provider):
    serve(provider, WELL_KNOWN, metadata(provider))
    base = provider.url_for("/tenant")

    for _ in range(3):
        flow = started(discovering(provider))

    assert flow.url.startswith(f"{base}/authorize?")
    assert flow.endpoints == Endpoints(
        authorize=f"{base}/authorize",
        token=f"{base}/token",
        refresh=f"{base}/token",
        revoke=f"{base}/revoke",
        userinfo=f"{base}/me",
        issuer=base,
        jwks=f"{base}/keys",
        iss_required=True,
    )
    assert len(provider.log) == 1


def test_begin_reads_microsofts_issuer_for_many_tenants(provider):
    document = metadata(provider, issuer=provider.url_for("/{tenantid}/v2.0"))
    serve(provider, "/common/v2.0/.well-known/openid-configuration", document)
    app = an_app(provider, discovery_url=provider.url_for("/common/v2.0/.well-known/openid-configuration"))

    ends = started(app).endpoints

    tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47"
    assert ends.issued_by(provider.url_for(f"/{tenant}/v2.0"), tenant=tenant)
    assert not ends.issued_by(provider.url_for("/evil/v2.0"), tenant="evil")
    assert not ends.issued_by(provider.url_for(f"/{tenant}/v2.0"), tenant="82f988bf-86f1-41af-91ab-2d7cd011db47")
    assert not ends.issued_by(provider.url_for("/{tenantid}/v2.0") + "x")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"issuer": "https://other.example"}, Fault.MISMATCH),
        ({"issuer": None}, Fault.MISMATCH),
        ({"issuer": ["x"]}, Fault.MISMATCH),
        ({"token_endpoint": "http://provider.example/token"}, Fault.MISCONFIGURED),
        ({"token_endpoint": "https://10.0.0.1/token"}, Fault.MISCONFIGURED),
        ({"authorization_endpoint": "https://169.254.169.254/"}, Fault.MISCONFIGURED),
        ({"authorization_endpoint": "javascript:alert(1)"}, Fault.MISCONFIGURED),
        ({"authorization_endpoint": "https://u:p@provider.example/"}, Fault.MISCONFIGURED),
        ({"jwks_uri": "file:///etc/passwd"}, Fault.MISCONFIGURED),
        ({"jwks_uri": 7}, Fault.MISCONFIGURED),
        ({"token_endpoint": None}, Fault.MISCONFIGURED),
        ({"authorization_endpoint": "https://provider.example:22/"}, Fault.MISCONFIGURED),
    ],
)
def test_begin_refuses_metadata_that_leads_elsewhere(provider, changes, code):
    serve(provider, WELL_KNOWN, metadata(provider, **changes))

    with pytest.raises(OAuthError) as failure:
        started(discovering(provider))

    assert failure.value.code is code


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (503, b"", Fault.UNAVAILABLE),
        (404, b"no", Fault.GARBAGE),
        (200, b"<html>", Fault.GARBAGE),
        (200, b"[]", Fault.GARBAGE),
    ],
)
def test_begin_fails_when_discovery_does_and_remembers_no_failure(provider, status, body, code):
    provider.expect_ordered_request(WELL_KNOWN).respond_with_data(body, status=status)
    with pytest.raises(OAuthError) as failure:
        started(discovering(provider))
    provider.clear()
    serve(provider, WELL_KNOWN, metadata(provider))

    assert failure.value.code is code
    assert started(discovering(provider)).url


def test_begin_refuses_an_app_without_oauth(provider):
    from dataclasses import replace

    with pytest.raises(OAuthError):
        started(replace(an_app(provider), oauth2=None))
