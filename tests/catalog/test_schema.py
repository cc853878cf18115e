from dataclasses import replace

import pytest

from app.catalog.protocol import Reported, ScopeAs
from app.catalog.schema import ApiKey, Field
from app.errors import NotFound, Refused


def test_eligible_for_clients_needs_oauth2(shipped):
    assert shipped.get("zendesk").eligible_for_clients
    assert shipped.get("zendesk").methods == ("oauth2", "api_key")
    assert not shipped.get("twilio").eligible_for_clients
    assert shipped.get("twilio").methods == ("api_key",)


def test_action_finds_by_key(deskly):
    assert deskly.action("find_ticket").name == "Find ticket"
    with pytest.raises(NotFound):
        deskly.action("fly")


def test_scopes_for_is_the_union_in_the_order_of_the_catalog(deskly):
    assert deskly.scopes_for(["create_ticket"]) == ("read", "tickets:write")
    assert deskly.scopes_for(["create_ticket", "find_ticket"]) == ("read", "tickets:write")
    assert deskly.scopes_for([]) == ()


def test_asked_adds_the_default_scopes_each_once(deskly):
    assert deskly.oauth2
    assert deskly.oauth2.asked(["tickets:write", "read"]) == ("read", "tickets:write")
    assert deskly.oauth2.asked([]) == ("read",)


def test_ordered_puts_unknown_scopes_last(deskly):
    assert deskly.ordered(["extra", "tickets:write", "read", "extra"]) == ("read", "tickets:write", "extra")


def test_scope_label_speaks_plainly_or_says_the_scope_itself(deskly):
    assert deskly.scope_label("read") == "See your tickets"
    assert deskly.scope_label("unheard:of") == "unheard:of"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("acme", "acme"),
        ("  Acme ", "acme"),
        ("https://acme.deskly.example/", "acme"),
        ("https://acme.deskly.example/agent/home?tab=1#top", "acme"),
        ("acme.deskly.example?lang=de", "acme"),
        ("acme.deskly.example", "acme"),
        ("HTTP://ACME.DESKLY.EXAMPLE", "acme"),
    ],
)
def test_clean_takes_off_what_the_page_shows_around_the_input(deskly, typed, kept):
    assert deskly.fields[0].clean(typed) == kept


@pytest.mark.parametrize("typed", ["acme.example", "a/b", "acme\n.x", "https://evil.example/.deskly.example"])
def test_clean_refuses_what_does_not_match(deskly, typed):
    with pytest.raises(Refused) as raised:
        deskly.fields[0].clean(typed)

    assert raised.value.field == "subdomain"
    assert str(raised.value) == "This does not look right. For example: acme"


def test_clean_says_which_field_is_needed(deskly):
    with pytest.raises(Refused) as raised:
        deskly.fields[0].clean("  ")

    assert str(raised.value) == "Deskly subdomain is needed."
    assert Field(name="x", label="X", optional=True).clean(" ") == ""
    assert Field(name="x", label="X", default="login", pattern="login|test").clean("") == "login"


def test_clean_leaves_a_secret_as_it_is():
    secret = Field(name="key", label="Key", secret=True, prefix="https://", pattern="[A-Za-z:/]+")

    assert secret.clean(" https://KEY/ ") == "https://KEY/"


def test_expand_checks_each_value_against_its_pattern(deskly):
    assert deskly.expand(deskly.api.base_url, {"subdomain": "acme"}) == "https://acme.deskly.example"
    for wrong in ({}, {"subdomain": "a.b"}, {"subdomain": "a/b"}):
        with pytest.raises(Refused):
            deskly.expand(deskly.api.base_url, wrong)


def test_expand_falls_back_to_defaults(shipped):
    salesforce, zoho = shipped.get("salesforce"), shipped.get("zoho-crm")

    assert salesforce.oauth2
    assert zoho.oauth2
    assert salesforce.expand(salesforce.oauth2.token_url) == "https://login.salesforce.com/services/oauth2/token"
    assert zoho.expand(zoho.oauth2.token_url) == "https://accounts.zoho.com/oauth/v2/token"
    kept = {"accounts_server": "https://accounts.zoho.eu"}
    assert zoho.expand(zoho.oauth2.token_url, kept) == "https://accounts.zoho.eu/oauth/v2/token"


@pytest.mark.parametrize(
    "server", ["https://accounts.zoho.evil.example", "http://accounts.zoho.com", "https://evil.example"]
)
def test_expand_takes_no_server_that_the_catalog_does_not_know(shipped, server):
    zoho = shipped.get("zoho-crm")

    with pytest.raises(Refused):
        zoho.expand(zoho.oauth2.token_url, {"accounts_server": server})


def test_expand_wants_every_credential(shipped):
    trello = shipped.get("trello")
    values = {"api_key": "0" * 32, "token": "T" * 64}

    assert trello.expand(trello.api_key.revoke.url, values) == (
        f"https://api.trello.com/1/tokens/{'T' * 64}?key={'0' * 32}&token={'T' * 64}"
    )
    with pytest.raises(Refused):
        trello.expand(trello.api_key.revoke.url, {"api_key": "0" * 32})


def test_headers_carry_the_credential_as_the_app_wants_it(shipped):
    def headers(key: str, values: dict[str, str], auth: str | None = None) -> dict[str, str]:
        return shipped.get(key).headers(values, auth=auth)

    assert headers("slack", {"access_token": "T"}) == {"Authorization": "Bearer T"}
    assert headers("monday", {"access_token": "T"}) == {"Authorization": "T"}
    assert headers("zoho-crm", {"access_token": "T"}) == {"Authorization": "Zoho-oauthtoken T"}
    assert headers("shopify", {"access_token": "T"}) == {"X-Shopify-Access-Token": "T"}
    assert headers("twilio", {"account_sid": "AC1", "auth_token": "é:x"}) == {"Authorization": "Basic QUMxOsOpOng="}
    assert headers("zendesk", {"email": "a@b.example", "api_token": "k"}, auth="Basic {email}/token:{api_token}") == {
        "Authorization": "Basic YUBiLmV4YW1wbGUvdG9rZW46aw=="
    }
    assert headers("slack", {"access_token": "T"}, auth="") == {}


def test_headers_refuse_a_line_break(shipped):
    with pytest.raises(Refused):
        shipped.get("slack").headers({"access_token": "T\r\nX: y"})


def test_apps_cannot_be_changed(deskly):
    with pytest.raises(AttributeError):
        deskly.name = "Other"
    with pytest.raises(TypeError):
        deskly.scopes["read"] = "Everything"


# Reported scopes: what the answer says → what was granted, in the spelling of what was asked.
ASKED = ("https://api.example/mail.read", "email", "orders:read")
TOLD = [
    ("as asked", Reported(), " ".join(ASKED), set(ASKED)),
    ("fewer", Reported(), "email", {"email"}),
    ("nothing said", Reported(), None, set(ASKED)),
    ("nothing ever said", Reported(scope_as=ScopeAs.NONE), "email", set(ASKED)),
    ("an empty text", Reported(), "", set()),
    ("commas", Reported(separator=","), "email,orders:read", {"email", "orders:read"}),
    ("commas and spaces", Reported(separator=","), "email, orders:read", {"email", "orders:read"}),
    ("a list", Reported(scope_as=ScopeAs.LIST), ["email"], {"email"}),
    ("neither text nor list", Reported(), 7, set()),
    ("another name", Reported(aliases={"userinfo.email": "email"}), "userinfo.email", {"email"}),
    ("a prefix left off", Reported(prefix="https://api.example/"), "mail.read", {"https://api.example/mail.read"}),
    ("a prefix added", Reported(prefix="x/"), "x/email", {"email"}),
    ("more than was asked", Reported(), "email admin", {"email", "admin"}),
    ("a wider one", Reported(implies={"orders:write": ("orders:read",)}), "orders:write", {"orders:write", "orders:read"}),
    ("a wider one of a wider one", Reported(implies={"a": ("b",), "b": ("email", "a")}), "a", {"a", "email"}),
    ("granted in silence", Reported(unreported=("email",)), "orders:read", {"email", "orders:read"}),
]  # fmt: skip


@pytest.mark.parametrize(("reported", "value", "granted"), [case[1:] for case in TOLD], ids=[case[0] for case in TOLD])
def test_read_tells_what_was_granted(reported, value, granted):
    assert reported.read(value, asked=ASKED) == granted


def test_scope_text_joins_as_the_provider_wants(shipped):
    assert shipped.get("slack").oauth2.scope_text(["a", "b"]) == "a,b"
    assert shipped.get("hubspot").oauth2.scope_text(["a", "b"]) == "a b"


def test_keeps_gathers_what_is_kept_from_every_answer(shipped):
    assert [kept.name for kept in shipped.get("zoho-crm").keeps()] == ["accounts_server", "api_domain"]
    assert [kept.name for kept in shipped.get("jira").keeps()] == ["cloud_id"]
    assert shipped.get("twilio").keeps() == ()


def test_value_prefers_what_is_given_to_the_default(deskly):
    field = replace(deskly.fields[0], default="main")
    app = replace(deskly, fields=(field,), api_key=ApiKey(fields=(Field(name="note", label="Note", optional=True),)))

    assert app.value("subdomain", {}) == "main"
    assert app.value("subdomain", {"subdomain": "acme"}) == "acme"
    assert app.value("note", {}) == ""
