"""Links that do open: who follows them, what they leave behind, and where they are never found."""

import json
import logging
import re

import pytest
from sqlalchemy.exc import OperationalError

from app import clock as app_clock
from app import links
from app.database import transaction
from app.mailer import bundle_sent
from app.models import Bundle
from app.services import connection_requests, limits, link_tokens
from tests import factories
from tests.support.browsing import Browser
from tests.support.shared_app import running


def bundle_of(scenery, agency):
    return connection_requests.get(agency, scenery.ours.names["request_id"]).bundle


def letter(scenery):
    """The mail's text part, as it would be sent now."""
    with scenery.acting(scenery.ours) as (agency, _):
        message = bundle_sent.compose(factories.leaving(bundle_of(scenery, agency)), at=app_clock.now())
        return message.body, message.html


# ── Row 5 ───────────────────────────────────────────────────────────────────


def test_row_05_scanners_that_open_a_link_fifty_times_change_nothing_that_matters(scenery, clock):
    path = f"/l/{scenery.ours.names['token']}"
    before = scenery.rows(scenery.ours)
    for number in range(25):
        for method in ("GET", "HEAD"):
            scanner, place = scenery.app.test_client(), {"REMOTE_ADDR": f"203.0.113.{number}"}
            assert scanner.open(path, method=method, environ_base=place).status_code == 303

    after = scenery.rows(scenery.ours)
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"intake_session", "audit_event"}
    assert after["bundle"] == before["bundle"]


def test_row_05_no_page_submits_itself(scenery, clock):
    browser = scenery.client(scenery.ours)
    page = f"/connect/{scenery.ours.names['bundle_id']}"
    for path in (page, f"{page}/apps"):
        html = browser.get(path).text
        posts = re.findall(r'<[^>]*hx-(?:post|put|patch|delete)="[^>]*>', html)
        assert not [each for each in posts if "hx-trigger" in each]
        assert not re.search(r'http-equiv="?refresh', html, re.IGNORECASE)


# ── Row 6 ───────────────────────────────────────────────────────────────────


def test_row_06_the_token_is_left_at_once_and_told_to_nobody(scenery, clock, caplog, capfd):
    token = scenery.ours.names["token"]
    browser = scenery.app.test_client()
    with caplog.at_level(logging.DEBUG):
        hop = browser.get(f"/l/{token}")
        page = browser.get(hop.headers["Location"])
        dead = browser.get(f"/l/{token}x")
        figures = browser.get("/metrics")
        logging.getLogger("waitress").error("Exception while serving /l/%s", token)

    assert hop.headers["Referrer-Policy"] == "no-referrer"
    assert hop.headers["Cache-Control"] == "no-store"
    assert token not in hop.headers["Location"]
    assert token not in page.text + dead.text + figures.text + hop.headers.get("Set-Cookie", "")
    mine = [record for record in caplog.records if record.name != "waitress"]
    assert token not in "".join(record.getMessage() for record in mine)
    assert token not in "".join(capfd.readouterr())
    assert token not in repr(scenery.rows(scenery.ours))


@pytest.mark.parametrize("cause", [RuntimeError, OSError, OperationalError])
def test_row_06_the_token_is_in_no_error_either(scenery, clock, monkeypatch, cause):
    """Whatever breaks while a link is opened, and whatever it says of that."""
    token = scenery.ours.names["token"]
    lines = []

    def broken() -> str:
        raise cause(f"SELECT '/l/{token}'", {"token": token}, ValueError(f'"GET /l/{token}" failed'))

    monkeypatch.setattr(limits, "visitor", broken)
    written = next(handler for handler in logging.getLogger().handlers if hasattr(handler, "gatehouse"))
    monkeypatch.setattr(written, "emit", lambda record: lines.append(written.format(record)))
    answer = scenery.app.test_client().get(f"/l/{token}")

    assert answer.status_code in (500, 503)
    assert token not in answer.text
    (line,) = lines
    assert "in client.open_link, request" in json.loads(line)["event"]
    assert token not in line


def test_row_06_no_page_loads_anything_from_elsewhere(scenery, clock):
    html = scenery.client(scenery.ours).get(f"/connect/{scenery.ours.names['bundle_id']}").text
    loaded = re.findall(r'<(?:script|link|img|iframe|source)[^>]*?(?:src|href)="([^"]*)"', html)

    assert loaded
    assert not [each for each in loaded if not each.startswith(("/static/", "/brand/", "data:,"))]


# ── Row 7 ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "localhost:81"},
        {"Host": "localhost@evil.example"},
        {"Host": ""},
    ],
)
def test_row_07_unknown_hosts_are_answered_400_everywhere(scenery, headers):
    for path in ("/panel/sign-in", f"/l/{scenery.ours.names['token']}", "/", "/oauth/callback/x", "/static/x"):
        assert scenery.app.test_client().get(path, headers=headers).status_code == 400


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-Host", "X-Forwarded-Server"])
def test_row_07_links_come_from_the_configured_address_alone(scenery, name):
    """No proxy is trusted that was not said; what one claims moves neither a redirect nor a mail."""
    evil = "host=evil.example" if name == "Forwarded" else "evil.example"
    hop = scenery.app.test_client().get(f"/l/{scenery.ours.names['token']}", headers={name: evil})
    assert hop.headers["Location"].startswith("/connect/")

    with scenery.app.test_request_context("/", base_url="http://evil.example"):
        assert links.intake_url("token") == f"{factories.BASE_URL}/l/token"
    text, html = letter(scenery)
    assert f"{factories.BASE_URL}/l/" in text
    assert "evil.example" not in text + html


@pytest.mark.parametrize(
    ("hops", "headers", "status"),
    [
        (0, {"Host": "evil.example", "X-Forwarded-Host": "localhost"}, 400),
        (0, {"X-Forwarded-Host": "evil.example"}, 404),
        (1, {"X-Forwarded-Host": "evil.example"}, 400),
        (1, {"X-Forwarded-Host": "localhost, evil.example"}, 400),
        (1, {"Host": "evil.example"}, 400),
        (1, {"X-Forwarded-Host": "evil.example, localhost"}, 404),
        (2, {"X-Forwarded-Host": "evil.example, localhost"}, 400),
        (2, {"Host": "evil.example", "X-Forwarded-Host": "localhost"}, 400),
    ],
)
def test_row_07_a_forwarded_host_counts_for_so_many_proxies_as_there_are(tmp_path, hops, headers, status):
    """What stands left of the hops' own values is the visitor's invention. 404: the name was right."""
    url = f"sqlite:///{tmp_path / 'x.sqlite3'}"
    with running(factories.config(tmp_path, url, proxy_hops=hops)) as app:
        assert app.test_client().get("/static/nothing", headers=headers).status_code == status


# ── Row 8 ───────────────────────────────────────────────────────────────────


def test_row_08_the_link_survives_mail_programs(scenery, clock):
    """Alone on its line, of plain letters, and ending in one, since programs cut off other ends."""
    text, _html = letter(scenery)
    address = f"{factories.BASE_URL}/l/{scenery.ours.names['token']}"

    assert [line for line in text.splitlines() if "/l/" in line] == [address]
    assert re.fullmatch(r"[A-Za-z0-9_.-]+[A-Za-z0-9]", scenery.ours.names["token"])
    assert len(address) < 300


@pytest.mark.parametrize("end", "-_.")
def test_row_08_a_token_that_ends_otherwise_is_drawn_again(scenery, monkeypatch, end):
    made = iter((f"first{end}", f"second{end}", "third"))
    monkeypatch.setattr(link_tokens, "make", lambda **_: next(made))

    assert link_tokens.draw(epoch=1, agency_id=1, workspace_id=1, recipient="priya@x.example")[1] == "third"


# ── Row 9 ───────────────────────────────────────────────────────────────────


def test_row_09_thirty_openings_a_minute_then_429_for_every_link_alike(scenery, clock):
    clock.to(clock.now.replace(second=0))
    place = {"REMOTE_ADDR": "203.0.113.9"}

    def opened(token, **other):
        return scenery.app.test_client().get(f"/l/{token}", environ_base=other or place)

    for number in range(30):
        assert opened(f"guess{number}").status_code == 404
    answers = [opened(token) for token in (scenery.ours.names["token"], "guess", "A" * 500)]

    assert {answer.status_code for answer in answers} == {429}
    assert {answer.data for answer in answers} == {answers[0].data}
    assert {answer.headers["Retry-After"] for answer in answers} == {"60"}
    assert opened(scenery.ours.names["token"], REMOTE_ADDR="203.0.113.10").status_code == 303
    clock.forward(minutes=1)
    assert opened(scenery.ours.names["token"]).status_code == 303


def test_row_09_a_whole_ipv6_network_counts_as_one(scenery, clock):
    clock.to(clock.now.replace(second=0))
    answers = [
        scenery.app.test_client().get("/l/guess", environ_base={"REMOTE_ADDR": f"2001:db8:7:7::{number:x}"}).status_code
        for number in range(32)
    ]

    assert answers == [404] * 30 + [429] * 2


def test_row_09_a_link_holds_128_random_bits(scenery):
    with scenery.acting(scenery.ours) as (agency, _):
        bundle = bundle_of(scenery, agency)
        whose = {"agency_id": agency.id, "workspace_id": bundle.workspace_id, "recipient": bundle.recipient}
        nonces = {link_tokens.draw(epoch=1, **whose)[0] for _ in range(100)}
    assert len(nonces) == 100
    assert {len(nonce) * 8 for nonce in nonces} == {128}


# ── Row 10 ──────────────────────────────────────────────────────────────────


def test_row_10_a_forwarded_link_shows_who_is_asked_and_by_whom(scenery, clock):
    html = scenery.client(scenery.ours).get(f"/connect/{scenery.ours.names['bundle_id']}").text

    assert "Northwind Studio" in html
    assert "p••••••••r@harbordental.example" in html
    assert "priya.nair" not in html


# ── Row 11 ──────────────────────────────────────────────────────────────────


def test_row_11_a_link_is_no_login(scenery, clock):
    """It sets one cookie, for one surface, and leaves the session of staff in the same browser as it is."""
    browser = scenery.staff(scenery.ours)
    before = {cookie.key: cookie.value for cookie in browser._cookies.values()}
    hop = browser.get(f"/l/{scenery.ours.names['token']}")

    assert re.findall(r"^([^=]+)=", hop.headers["Set-Cookie"]) == ["gh_intake"]
    assert {cookie.key: cookie.value for cookie in browser._cookies.values()}["gh_staff"] == before["gh_staff"]
    assert browser.get("/panel/").status_code == 200
    visitor = scenery.app.test_client()
    visitor.get(f"/l/{scenery.ours.names['token']}")
    assert visitor.get("/panel/").status_code == 303
    assert visitor.get(f"/connect/{scenery.ours.names['bundle_id']}").status_code == 200
    assert visitor.get(f"/connect/{scenery.theirs.names['bundle_id']}").status_code == 404


def test_row_11_an_old_session_dies_with_its_link(scenery, clock):
    visitor = scenery.app.test_client()
    visitor.get(f"/l/{scenery.ours.names['token']}")
    with scenery.acting(scenery.ours) as (agency, _), transaction() as session:
        bundle = session.get_one(Bundle, bundle_of(scenery, agency).id)
        bundle.epoch += 1

    assert visitor.get(f"/connect/{scenery.ours.names['bundle_id']}").status_code == 404


# ── Row 12 ──────────────────────────────────────────────────────────────────


def test_row_12_no_page_list_or_row_holds_a_link(scenery, clock):
    """Walked as its own staff and its own client: a link is in the mail, and nowhere else."""
    with scenery.acting(scenery.ours) as (agency, _):
        token = link_tokens.of(bundle_of(scenery, agency))
        assert Browser().open(token).bundle is not None
    owner, client = scenery.staff(scenery.ours), scenery.client(scenery.ours)
    for rule in scenery.app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint in ("client.open_link", "oauth.callback"):
            continue
        _, path = rule.build({name: scenery.ours.names[name] for name in rule.arguments})
        for browser in (owner, client):
            answer = browser.get(path)
            assert token.encode() not in answer.data, path
            assert b"/l/" not in answer.data, path
    assert token not in repr(scenery.rows(scenery.ours))
