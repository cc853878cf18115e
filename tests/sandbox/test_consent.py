"""Signing in and consenting, as a person without a script does it."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit, urlunsplit

import pytest
from flask import Flask

from app import oauth
from app.oauth import Fault, ProviderDenied
from app.sandbox import provider_of
from tests.sandbox.flow import PANEL, Connector
from tests.sandbox.person import Page, Person, texts


def test_partial_consent_is_reported_as_such(connect: Connector, person: Person) -> None:
    flow = connect("hubspot")
    begun = flow.begin()
    left_out = flow.scopes[-1]

    token = flow.exchange(begun, person.approve(begun.url, leaving_out=left_out))

    assert oauth.missing(begun.scopes, token.scopes, flow.app) == (left_out,)


@pytest.mark.parametrize("key", ["dropbox", "zoom"])
def test_rest_is_granted_the_second_time(connect: Connector, person: Person, key: str) -> None:
    flow = connect(key)
    person.approve(flow.begin().url, leaving_out=flow.scopes[0])

    begun, token, _ = flow.connect(person)

    assert oauth.missing(begun.scopes, token.scopes, flow.app) == ()


@pytest.mark.parametrize(("key", "adds_up"), [("dropbox", True), ("zoom", False)])
def test_scopes_add_up_where_the_app_says_so(connect: Connector, person: Person, key: str, *, adds_up: bool) -> None:
    flow = connect(key)
    first = flow.begin()
    flow.exchange(first, person.approve(first.url))
    again = flow.begin()

    token = flow.exchange(again, person.approve(again.url, leaving_out=flow.scopes[-1]))

    assert (oauth.missing(again.scopes, token.scopes, flow.app) == ()) is adds_up


@pytest.mark.parametrize(
    ("key", "unsaid"), [("gmail", "gmail.readonly"), ("jira", "offline_access"), ("outlook", "offline_access")]
)
def test_what_goes_without_saying_is_not_reported(connect: Connector, person: Person, key: str, unsaid: str) -> None:
    flow = connect(key)
    begun, token, _ = flow.connect(person)

    assert unsaid in begun.url
    assert unsaid not in str(token.answer["scope"])
    assert oauth.missing(begun.scopes, token.scopes, flow.app) == ()


def test_deny_comes_back_as_denied(connect: Connector, person: Person) -> None:
    flow = connect("slack")
    begun = flow.begin()

    with pytest.raises(ProviderDenied) as caught:
        oauth.read(flow.app, person.deny(begun.url), begun.endpoints, client=flow.client, fields={})

    assert caught.value.code is Fault.DENIED


def test_deny_says_the_issuer_where_the_app_does(connect: Connector, person: Person) -> None:
    begun = connect("gmail").begin()

    assert dict(person.deny(begun.url))["iss"] == begun.endpoints.issuer


def test_consent_names_app_client_account_and_permissions(connect: Connector, person: Person) -> None:
    flow = connect("zendesk", own=True)
    begun = flow.begin()
    page = person.see_consent(begun.url)

    assert page.heading == "Your agency wants access to your Zendesk account"
    assert "Sandbox: standing in for Zendesk" in page.text
    assert f"Signed in as {person.email}" in page.text
    labels = texts(page.soup.select(".form-check-label"))
    assert labels == [f"{flow.app.scope_label(scope)} {scope}" for scope in begun.scopes]
    assert len(page.soup.select("input[name=scope][checked]")) == len(labels)


def test_what_signing_in_is_made_of_can_not_be_left_out(connect: Connector, person: Person) -> None:
    flow = connect("gmail")
    begun = flow.begin()
    page = person.see_consent(begun.url)
    assert not {"openid", "email"} & set(page.scopes)

    callback = person.press(page, scope=page.scopes[:1], approve="yes")
    assert isinstance(callback, list)
    token = flow.exchange(begun, callback)

    assert flow.identify(begun, token).email == person.email


def test_nothing_ticked_is_asked_again(connect: Connector, person: Person) -> None:
    page = person.press(person.see_consent(connect("hubspot").begin().url), approve="yes")

    assert isinstance(page, Page)
    assert page.status == 422
    assert "Tick at least one permission, or choose Deny." in page.text


def test_app_without_permissions_gives_the_whole_account(connect: Connector, person: Person) -> None:
    page = person.see_consent(connect("notion").begin().url)

    assert page.scopes == []
    assert "the whole account is given" in page.text


def test_second_app_knows_the_account(connect: Connector, person: Person) -> None:
    person.approve(connect("slack").begin().url)

    page = person.open(connect("hubspot").begin().url)

    assert isinstance(page, Page)
    assert page.url.endswith("/consent")
    assert person.email in page.text


def test_app_that_wants_an_account_chosen_asks_each_time(connect: Connector, person: Person) -> None:
    person.approve(connect("slack").begin().url)

    page = person.open(connect("outlook").begin().url)

    assert isinstance(page, Page)
    assert page.url.endswith("/account")
    assert "Signed in on this browser" in page.text


def test_another_account_can_be_chosen(connect: Connector, person: Person) -> None:
    flow = connect("hubspot")
    begun = flow.begin()
    page = person.see_consent(begun.url)
    link = page.soup.select_one("a.btn")
    assert link
    chooser = person.open(begun.url.split("/hubspot/")[0] + str(link["href"]))
    assert isinstance(chooser, Page)

    consent = person.press(chooser, email="TOM.baker@bluefin.example ")

    assert isinstance(consent, Page)
    assert "tom.baker@bluefin.example" in consent.text
    assert person.email not in consent.text


@pytest.mark.parametrize("typed", ["", "nobody", "a@b", "a b@c.example", "a@@c.example", f"{'a' * 250}@c.example"])
def test_sign_in_refuses_what_is_no_address(connect: Connector, person: Person, typed: str) -> None:
    page = person.open(connect("slack").begin().url)
    assert isinstance(page, Page)

    answer = person.press(page, email=typed)

    assert isinstance(answer, Page)
    assert answer.status == 422
    field = answer.soup.select_one("#email")
    assert field
    assert (field["value"], field["aria-invalid"]) == (typed, "true")


def test_login_hint_is_filled_in(connect: Connector, person: Person) -> None:
    page = person.open(connect("gmail").begin(login_hint="ana@one.example").url)

    assert isinstance(page, Page)
    field = page.soup.select_one("#email")
    assert field
    assert field["value"] == "ana@one.example"


@pytest.mark.parametrize("first", ["approve", "deny"])
def test_request_is_answered_once(connect: Connector, person: Person, first: str) -> None:
    page = person.see_consent(connect("slack").begin().url)
    person.press(page, **{"scope": page.scopes, first: "yes"})

    again = person.press(page, scope=page.scopes, approve="yes")

    assert isinstance(again, Page)
    assert (again.status, again.heading) == (410, "This request is over")


def test_request_is_not_answered_without_an_account(connect: Connector, person: Person) -> None:
    page = person.see_consent(connect("slack").begin().url)

    with Person() as stranger:
        answer = stranger.press(page, scope=page.scopes, approve="yes")

    assert isinstance(answer, Page)
    assert answer.url.endswith("/account")


def _with(url: str, **changes: str | None) -> str:
    parts = urlsplit(url)
    params = {name: changes.get(name, value) for name, value in (dict(parse_qsl(parts.query)) | changes).items()}
    query = "&".join(f"{name}={value}" for name, value in params.items() if value is not None)
    return urlunsplit(parts._replace(query=query))


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"redirect_uri": None},
        {"redirect_uri": "x"},
        {"redirect_uri": "https://evil.example/oauth/callback/x"},
        {"redirect_uri": f"{PANEL}.evil.example/oauth/callback/x"},
        {"redirect_uri": f"{PANEL}/oauth/callback/"},
        {"redirect_uri": f"{PANEL}/oauth/callback/../../l/x"},
        {"redirect_uri": f"{PANEL}/oauth/callback/x%3Fa=b"},
    ],
)
def test_nothing_is_sent_to_an_address_that_is_not_known(
    connect: Connector, person: Person, changes: dict[str, str | None]
) -> None:
    page = person.open(_with(connect("slack").begin().url, **changes))

    assert isinstance(page, Page)
    assert (page.status, page.heading) == (400, "This request can't be answered")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"state": None}, "invalid_request"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"code_challenge": "x"}, "invalid_request"),
    ],
)
def test_faulty_request_is_sent_back(
    connect: Connector, person: Person, changes: dict[str, str | None], error: str
) -> None:
    answer = person.open(_with(connect("slack").begin().url, **changes))

    assert dict(answer)["error"] == error if isinstance(answer, list) else answer.text


def test_parameter_that_comes_twice_is_refused(connect: Connector, person: Person) -> None:
    page = person.open(connect("slack").begin().url + "&state=other")

    assert isinstance(page, Page)
    assert page.status == 400


def test_only_the_way_back_is_open_to_the_form(sandbox: Flask, connect: Connector, person: Person) -> None:
    page = person.see_consent(connect("slack").begin().url)
    answer = person.http.get(page.url)

    policy = answer.headers["Content-Security-Policy"]
    assert f"form-action 'self' {PANEL};" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert PANEL not in person.http.get(provider_of(sandbox).base_url).headers["Content-Security-Policy"]


def test_another_site_can_not_press_for_the_person(connect: Connector, person: Person) -> None:
    page = person.see_consent(connect("slack").begin().url)

    answer = person.http.post(page.url, data={"approve": "yes"}, headers={"Origin": "https://evil.example"})

    assert answer.status_code == 403
