"""A value can never move a call to another host, whatever it holds."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.catalog import App, Catalog, addresses, load
from app.catalog.schema import CREDENTIALS
from app.errors import Refused

HOSTILE = [
    "",
    "evil.example/",
    "evil.example#",
    "evil.example?",
    "evil.example\\",
    "evil.example:443",
    "user@evil.example",
    "user:word@evil",
    "evil.example%2f",
    "evil%00",
    "-evil",
    "evil-",
    ".evil",
    "evil.",
    "ev..il",
    "evil\n",
    "evil\t",
    "ev il",
    "еvil",  # a Cyrillic letter
    "evil。example",  # an ideographic full stop
    "①",
    "[::1]",
    "a" * 64,
    ".".join(["a" * 60] * 5),
    "{subdomain}",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_expand_refuses_what_is_no_host_name(value):
    with pytest.raises(Refused) as raised:
        addresses.expand("https://{subdomain}.deskly.example/me", {"subdomain": value})

    assert raised.value.field in {"subdomain", None}


def test_expand_puts_a_name_before_a_fixed_domain():
    assert addresses.expand("https://{a}.deskly.example/x", {"a": "acme"}) == "https://acme.deskly.example/x"
    assert addresses.expand("https://{a}.deskly.example/x", {"a": "acme.eu"}) == "https://acme.eu.deskly.example/x"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a/b", "a%2Fb"),
        ("a?b=c&d", "a%3Fb%3Dc%26d"),
        ("#x", "%23x"),
        ("%2e%2e", "%252e%252e"),
        ("ä b", "%C3%A4%20b"),
        ("{token}", "%7Btoken%7D"),
        ("\r\n", "%0D%0A"),
        ("...", "..."),
    ],
)
def test_expand_encodes_what_stands_in_path_and_query(value, shown):
    template = "https://deskly.example/{v}/end?x={v}"

    assert addresses.expand(template, {"v": value}) == f"https://deskly.example/{shown}/end?x={shown}"


@pytest.mark.parametrize("value", [".", ".."])
def test_expand_refuses_to_climb(value):
    with pytest.raises(Refused):
        addresses.expand("https://deskly.example/a/{v}/b", {"v": value})


@pytest.mark.parametrize(
    "value",
    [
        "",
        "http://eu.deskly.example",
        "https://",
        "https://eu.deskly.example/path",
        "https://eu.deskly.example?x",
        "https://eu.deskly.example#x",
        "https://eu.deskly.example?",
        "https://u@eu.deskly.example",
        "//eu.deskly.example",
        "eu.deskly.example",
        "javascript:alert(1)",
        "https://eu.deskly.example\n",
        "https://[::1]",
    ],
)
def test_expand_takes_nothing_but_scheme_and_host_at_the_beginning(value):
    with pytest.raises(Refused):
        addresses.expand("{server}/token", {"server": value})


def test_expand_begins_with_a_server_that_was_kept():
    assert addresses.expand("{s}/token", {"s": "https://eu.deskly.example"}) == "https://eu.deskly.example/token"
    assert addresses.expand("{s}/token", {"s": "https://eu.deskly.example/"}) == "https://eu.deskly.example/token"


def test_expand_never_lets_a_server_run_on():
    with pytest.raises(Refused):
        addresses.expand("{s}.evil.example/token", {"s": "https://eu.deskly.example"})


@pytest.mark.parametrize(
    ("template", "held"),
    [
        ("https://{a}.deskly.example/x", True),
        ("https://api-{a}.deskly.example/x", True),
        ("https://{a}.{b}.deskly.example", False),
        ("https://{a}", True),
        ("https://{a}:8443/x", True),
        ("https://{a}.example", False),
        ("https://deskly{a}", False),
        ("https://deskly.example{a}", False),
        ("https://deskly.example/{a}", True),
        ("{a}/x", True),
        ("{a}x", False),
        ("{a}.deskly.example/x", False),
    ],
)
def test_holds_its_places_tells_where_a_value_may_stand(template, held):
    assert addresses.holds_its_places(template) is held


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("https://{a}/x", "a"),
        ("https://{a}", "a"),
        ("https://{a}:8443?x", "a"),
        ("https://{a}.deskly.example", ""),
        ("https://deskly.example/{a}", ""),
        ("{a}/x", ""),
    ],
)
def test_whole_host_names_the_value_that_is_all_of_it(template, name):
    assert addresses.whole_host(template) == name


def test_fill_refuses_what_would_begin_a_new_header():
    assert addresses.fill("Bearer {t}", {"t": "a b"}) == "Bearer a b"
    with pytest.raises(Refused):
        addresses.fill("Bearer {t}", {"t": "a\r\nX: y"})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "shop.localhost"])
def test_is_loopback_knows_this_machine(host):
    assert addresses.is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example", "127.0.0.1.example", "10.0.0.1", "0.0.0.0", ""])
def test_is_loopback_knows_no_other(host):
    assert not addresses.is_loopback(host)


# Every address of the catalog as it ships, with whatever its own fields accept.

SHIPPED: Catalog = load()


def _templates(app: App) -> list[str]:
    found = [app.api.base_url]
    if app.oauth2:
        ways = app.oauth2
        found += [ways.authorize_url, ways.token_url, ways.refresh_url, ways.identity.url]
        found += [ways.revoke.url] if ways.revoke else []
        found += [ways.exchange.url] if ways.exchange else []
    if app.api_key and app.api_key.identity:
        found.append(app.api_key.identity.url)
    if app.api_key and app.api_key.revoke:
        found.append(app.api_key.revoke.url)
    return [template for template in found if addresses.placeholders(template)]


PLACES = [(app.key, template) for app in SHIPPED for template in _templates(app)]


def _accepted(app: App, name: str) -> st.SearchStrategy[str]:
    typed = {one.name: one.pattern for one in (*app.fields, *(app.api_key.fields if app.api_key else ()))}
    kept = {one.name: one.pattern for one in app.keeps()}
    pattern = {**typed, **kept}.get(name)
    return st.from_regex(pattern, fullmatch=True) if pattern else st.text(min_size=1)


@pytest.mark.parametrize(("key", "template"), PLACES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_no_value_that_its_pattern_accepts_leads_elsewhere(key, template, data):
    app = SHIPPED.get(key)
    values = {name: data.draw(_accepted(app, name)) for name in addresses.placeholders(template)}

    _stays(app, template, values)


@pytest.mark.parametrize(("key", "template"), PLACES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_no_text_at_all_leads_elsewhere(key, template, data):
    app = SHIPPED.get(key)
    texts = st.one_of(st.text(), st.sampled_from([*HOSTILE, "https://evil.example", "evil.example"]))
    values = {name: data.draw(texts) for name in addresses.placeholders(template)}

    _stays(app, template, values)


def _stays(app: App, template: str, values: dict[str, str]) -> None:
    try:
        address = app.expand(template, values)
    except Refused:
        return
    parts = urlsplit(address)
    assert parts.scheme == "https"
    assert "@" not in parts.netloc
    assert parts.port is None
    assert parts.fragment == ""
    assert address.isascii()
    start = addresses.leading(template)
    if start:
        return  # the whole server was kept: its pattern, above, is what holds it
    authority = template.partition("://")[2].partition("/")[0]
    assert parts.netloc == addresses.PLACEHOLDER.sub(lambda place: app.value(place[1], values), authority)
    assert parts.netloc.endswith(authority.rpartition("}")[2])


@pytest.mark.parametrize("key", [app.key for app in SHIPPED if app.keeps()])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_server_that_is_kept_belongs_to_its_provider(key, data):
    app = SHIPPED.get(key)
    for kept in app.keeps():
        value = data.draw(st.from_regex(kept.pattern, fullmatch=True))
        if "://" not in value:
            continue
        try:
            host = urlsplit(app.expand(f"{{{kept.name}}}/x", {kept.name: value})).hostname or ""
        except Refused:
            continue
        assert any(f".{host}".endswith(f".{domain}") for domain in DOMAINS[key])


DOMAINS = {
    "mailchimp": ["api.mailchimp.com"],
    "pipedrive": ["pipedrive.com"],
    "salesforce": ["salesforce.com", "force.com", "cloudforce.com"],
    "shopify": ["myshopify.com"],
    "worksection": ["worksection.com"],
    "zoho-crm": [
        *(f"accounts.zoho.{end}" for end in ("com", "eu", "in", "com.au", "jp", "com.cn", "sa", "uk")),
        "accounts.zohocloud.ca",
        *(f"www.zohoapis.{end}" for end in ("com", "eu", "in", "com.au", "jp", "com.cn", "sa", "uk", "ca")),
    ],
}


def test_a_credential_is_never_part_of_a_host():
    for app in SHIPPED:
        for template in _templates(app):
            assert not addresses.in_host(template) & CREDENTIALS
