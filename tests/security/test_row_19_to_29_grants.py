"""What an authorization may lead to: no address of somebody's choosing, no words of the provider's, no less than was asked."""

import json
import logging

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from werkzeug.datastructures import MultiDict

from app.catalog import CatalogError, load
from app.extensions import db
from app.models import Flow, FlowStatus, Notice, OutboxItem, Status
from app.oauth import documents
from app.services import connection_requests, sending
from tests import factories
from tests.security.connecting import connected, leave, status

EVIL = ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "https:evil.example")


# ── Row 19 ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["next", "to", "redirect", "redirect_uri", "url", "return", "continue"])
def test_row_19_no_parameter_of_a_client_page_leads_elsewhere(visitor, asked, person, name):
    away = leave(visitor, asked[0], person)
    for evil in EVIL:
        landed = visitor.ask("GET", away.path, query_string={**away.back, name: evil})
        if landed.status_code == 303:
            assert landed.headers["Location"].startswith("/connect/")
        page = visitor.ask("GET", f"/connect/{asked[0].bundle.public_id}", query_string={name: evil})
        assert (page.status_code, evil in page.text) == (200, False)


@pytest.mark.parametrize(
    "evil",
    [*EVIL, "sign_out", "panel.sign_out", "setup.start", "show_workspace.x.y", "a" * 2000, "..", "show_home\r\nX: y"],
)
def test_row_19_staff_return_by_a_key_that_names_a_page_never_an_address(scenery, clock, evil):
    browser = scenery.nobody()
    path = "/panel/sign-in"
    token = scenery.csrf(browser, path)
    data = {"csrf_token": token, "email": "maya@northwind-studio.example", "password": factories.PASSWORD}

    answer = browser.post(path, query_string={"to": evil}, data=data)

    assert answer.status_code == 303
    assert answer.headers["Location"] == "/panel/"


def test_row_19_a_key_leads_back_to_where_one_was(scenery, clock):
    browser = scenery.nobody()
    wanted = f"/panel/workspaces/{scenery.ours.names['workspace_id']}"
    asked_in = browser.get(wanted)
    assert asked_in.status_code == 303
    address = asked_in.headers["Location"]
    assert "http" not in address
    data = {"csrf_token": scenery.csrf(browser, address), "email": "maya@northwind-studio.example"}

    answer = browser.post(address, data=data | {"password": factories.PASSWORD})

    assert answer.headers["Location"] == wanted


# ── Row 20 ──────────────────────────────────────────────────────────────────

APP = """
key = "evil"
name = "Evil"
category = "Tools"
website = "https://evil.example"
revoke_help = "https://evil.example/help"
{fields}
[oauth2]
authorize_url = "{address}"
token_url = "{address}"

[oauth2.identity]
url = "https://evil.example/me"
id = "id"
label = "id"

[api]
base_url = "https://evil.example"

[scopes]
"a" = "A"

[[actions]]
key = "act"
name = "Act"
scopes = ["a"]
"""
FIELD = '[[fields]]\nname = "host"\nlabel = "Host"\nexample = "acme"\npattern = "[a-z.]+"\n'


@pytest.mark.parametrize(
    "address",
    [
        *("http://evil.example/token", "ftp://evil.example", "https://", "//evil.example", "https://me@evil.example"),
        *("https://evil.example:0/x", "https://evil example/x", "javascript:alert(1)", "http://127.0.0.1/x"),
        *("https://{host}evil.example/x", "https://evil.example{host}/x", "{host}.evil.example/x"),
    ],
)
def test_row_20_the_catalog_takes_plain_public_https_addresses_alone(tmp_path, address):
    (tmp_path / "evil.toml").write_text(APP.format(address=address, fields=FIELD if "{host}" in address else ""))

    with pytest.raises(CatalogError):
        load(tmp_path)


def test_row_20_plain_http_is_for_this_machine_and_only_where_it_was_allowed(tmp_path):
    (tmp_path / "evil.toml").write_text(APP.format(address="http://127.0.0.1:8001/token", fields=""))
    load(tmp_path, loopback_http=True)
    (tmp_path / "evil.toml").write_text(APP.format(address="http://10.0.0.1/token", fields=""))

    with pytest.raises(CatalogError):
        load(tmp_path, loopback_http=True)


@pytest.mark.parametrize(
    "typed",
    [
        "evil.example/",
        "acme.evil.example",
        "acme@evil.example",
        "acme#",
        "acme?x=",
        "acme/../x",
        "acme:8443",
        "ａcme",
        "-acme",
        "",
    ],
)
def test_row_20_what_a_client_types_never_moves_a_call_to_another_host(workspace, owner, visitor, typed):
    workflow = factories.make_workflow(workspace, owner, ("shoply", "new_order"), name="Shop")
    (asked,) = factories.make_sent(workflow, owner)
    page = visitor.open(asked)
    visitor.get(page)

    answer = visitor.start(page, asked, subdomain=typed)

    assert answer.status_code == 422
    assert "HX-Redirect" not in answer.headers
    assert db.session.scalar(select(func.count(Flow.id))) == 0


def test_row_20_metadata_that_points_inside_is_refused(workspace, owner, visitor, provider, monkeypatch):
    for evil in (
        "https://10.0.0.1/token",
        "http://metadata.internal/token",
        "https://169.254.169.254/latest",
        "file:///etc/passwd",
    ):
        answer = {"issuer": provider.issuer, "authorization_endpoint": provider.authorize_url, "token_endpoint": evil}
        monkeypatch.setattr(documents, "fetch", lambda *_, answer=answer, **__: answer)
        made = factories.make_workflow(workspace, owner, ("ledgerly", "find_invoice"), name=f"Books {evil}")
        (asked,) = factories.make_sent(made, owner)
        page = visitor.open(asked)
        visitor.get(page)
        assert visitor.start(page, asked).status_code == 422
    assert db.session.scalar(select(func.count(Flow.id))) == 0


# ── Row 21 ──────────────────────────────────────────────────────────────────

CHARM = "<script>alert(1)</script> call +1 900 555 0100 to win\x07\x1b[31m" + "x" * 5000


def test_row_21_words_of_a_provider_are_never_shown(visitor, asked, person, caplog):
    away = leave(visitor, asked[0], person)
    back = {"state": away.back["state"], "error": "server_error", "error_description": CHARM, "error_uri": EVIL[0]}
    with caplog.at_level(logging.INFO):
        visitor.ask("GET", away.path, query_string=back)

    html = visitor.get(f"/connect/{asked[0].bundle.public_id}")
    for part in ("900 555", "alert(1)", "evil.example"):
        assert part not in html
    assert status(asked[0]) is Status.PENDING
    (line,) = [record.getMessage() for record in caplog.records if "900 555" in record.getMessage()]
    assert line.isprintable()
    assert len(line.split("said: ")[1]) <= 200


def test_row_21_what_an_account_calls_itself_is_shown_as_text(visitor, asked, person, provider):
    name = "<img src=x onerror=alert(1)>\u202e\x00 evil"
    body = json.dumps({"id": "77", "email": name})
    provider.misbehave("api", status=200, body=body, content_type="application/json", times=1)
    away = leave(visitor, asked[0], person)
    visitor.ask("GET", away.path, query_string=away.back)

    assert status(asked[0]) is Status.FULFILLED
    assert asked[0].connection.account == "<img src=x onerror=alert(1)> evil"
    html = visitor.get(f"/connect/{asked[0].bundle.public_id}")
    assert "<img src=x" not in html


# ── Row 22 ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change",
    [
        lambda back: [*back, ("code", "another")],
        lambda back: [*back, ("state", "a" * 43)],
        lambda back: [("state", "a" * 43), *back],
        lambda back: [*back, ("error", "access_denied")],
        lambda back: [*back, ("error_code", "1")],
        lambda back: [pair for pair in back if pair[0] != "code"],
        lambda back: [(name, "\x00" if name == "code" else value) for name, value in back],
        lambda back: [*back, ("iss", "https://a.example"), ("iss", "https://b.example")],
        lambda back: [*back, ("x", "1"), ("x", "2")],
    ],
)
def test_row_22_repeated_or_contradictory_parameters_are_refused(visitor, asked, person, provider, change):
    away = leave(visitor, asked[0], person)
    calls = len(provider.calls("token"))

    pairs = MultiDict(change(list(away.back.items())))
    assert visitor.ask("GET", away.path, query_string=pairs).status_code == 404

    assert (len(provider.calls("token")), status(asked[0])) == (calls, Status.PENDING)
    assert visitor.ask("GET", away.path, query_string=away.back).status_code == 303
    assert status(asked[0]) is Status.FULFILLED


# ── Rows 26, 27 ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("grant", [["campaigns.read"], ["campaigns.read", "contacts.read"], ["contacts.read"]])
def test_row_26_fewer_scopes_are_not_connected(visitor, asked, person, grant):
    away = leave(visitor, asked[1], person, grant=grant)
    visitor.ask("GET", away.path, query_string=away.back)

    assert (status(asked[1]), asked[1].notice, connected()) == (Status.PENDING, Notice.PARTIAL, 0)
    assert asked[1].slot.connection_id is None


def test_row_27_an_account_is_its_issuer_and_its_stable_id(visitor, asked, workspace, owner, person, provider):
    """Another e-mail address with the same id is the same account; the same address with another id is not."""

    def connect_again(name, **account):
        made = factories.make_workflow(workspace, owner, ("northdesk", "find_ticket"), name=name)
        (again,) = factories.make_sent(made, owner)
        if account:
            body = json.dumps(account)
            provider.misbehave("api", status=200, body=body, content_type="application/json", times=1)
        away = leave(visitor, again, person)
        visitor.ask("GET", away.path, query_string=away.back)
        assert status(again) is Status.FULFILLED
        return again.connection_id

    first = connect_again("One")
    assert connect_again("Two", id=person.id, email="renamed@client.example") == first
    assert connect_again("Three", id="somebody-else", email=person.email) != first
    assert connected() == 2


@pytest.mark.both_databases
def test_row_27_the_database_holds_it(workspace):
    factories.make_connection(workspace, "northdesk", issuer="https://a.example", external_id="1", name="one")
    with pytest.raises(IntegrityError):
        factories.make_connection(workspace, "northdesk", issuer="https://a.example", external_id="1", name="two")


# ── Row 29 ──────────────────────────────────────────────────────────────────

# What overtakes the callback, and who wins; `tests/faults/twice/test_racing.py` has the whole table.
RACES = {"cancel": "staff", "change_recipient": "staff", "resend": "callback", "expire": "callback"}


@pytest.mark.both_databases
@pytest.mark.parametrize("event", RACES)
def test_row_29_what_overtakes_a_callback_has_one_named_winner(agency, visitor, asked, owner, person, clock, event):
    if event == "expire":
        clock.to(asked[0].bundle.expires_at)
        clock.forward(minutes=-5)
    away = leave(visitor, asked[0], person)
    public_id = asked[0].public_id
    if event == "cancel":
        connection_requests.cancel(agency, public_id, by=owner)
    elif event == "change_recipient":
        sending.change_recipient(agency, public_id, recipient="sam@cobalt-it.example", by=owner)
    else:
        clock.forward(minutes=6)
    if event == "resend":
        sending.resend(agency, public_id, by=owner)

    visitor.ask("GET", away.path, query_string=away.back)

    expected = {"cancel": Status.CANCELLED, "change_recipient": Status.PENDING}.get(event, Status.FULFILLED)
    assert (status(asked[0]), connected()) == (expected, RACES[event] == "callback")
    flow = db.session.scalars(select(Flow)).one()
    discards = db.session.scalars(select(OutboxItem.key).where(OutboxItem.kind == "grant.discard")).all()
    if RACES[event] == "staff":
        assert (flow.status, flow.outcome, discards) == (FlowStatus.FAILED, "withdrawn", [flow.public_id])
    else:
        assert (flow.status, discards) == (FlowStatus.DONE, [])
