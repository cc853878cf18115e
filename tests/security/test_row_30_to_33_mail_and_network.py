"""What may stand in mails and pages, how many mails there may be, and where calls may go."""

from email import message_from_bytes, policy
from io import BytesIO

import pytest
from PIL import Image
from sqlalchemy import select

from app import clock as app_clock
from app.database import transaction
from app.egress import Egress, EgressRefused
from app.errors import Refused
from app.extensions import db
from app.mailer import bundle_sent
from app.mailer.message import BadHeader
from app.models import Agency, OutboxItem
from app.services import colours, connection_requests
from tests import factories
from tests.support.scenery import picture

HEADERS = ["From", "To", "Reply-To", "Subject", "Date", "Message-ID", "Auto-Submitted"]
BREAKS = (
    "\r\nBcc: x@evil.example",
    "\nX: y",
    "\x0bX: y",
    "\x0cX: y",
    "\x85X: y",
    "\u2028X: y",
    "\x00",
    "\u202e",
    "\u200b",
)


def asked_of(scenery, agency):
    return connection_requests.get(agency, scenery.ours.names["request_id"])


def mail(scenery, agency):
    raw = bundle_sent.compose(factories.leaving(asked_of(scenery, agency).bundle), at=app_clock.now()).as_bytes()
    return message_from_bytes(raw, policy=policy.default)


# ── Row 30 ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tail", BREAKS, ids=ascii)
@pytest.mark.parametrize("field", ["name", "sender_name", "support_email"])
def test_row_30_no_name_that_is_typed_can_begin_a_header(scenery, clock, field, tail):
    browser = scenery.staff(scenery.ours)
    path = "/panel/branding"
    form = {
        "name": "Northwind",
        "sender_name": "Northwind",
        "support_email": "help@northwind.example",
        "accent": "#0e5a6e",
        "timezone": "UTC",
        "csrf_token": scenery.csrf(browser, path),
    }
    before = scenery.rows(scenery.ours)
    evil = form[field].replace("@", f"{tail}@", 1) if field == "support_email" else f"{form[field]}{tail}x"

    assert browser.post(path, data=form | {field: evil}).status_code == 422

    assert scenery.rows(scenery.ours) == before


@pytest.mark.parametrize("tail", BREAKS, ids=ascii)
@pytest.mark.parametrize("field", ["sender_name", "support_email", "name"])
def test_row_30_nor_can_one_that_came_into_the_database_another_way(scenery, clock, field, tail):
    with scenery.acting(scenery.ours) as (agency, _):
        with transaction() as session:
            session.get_one(Agency, agency.id)
            setattr(agency, field, f"{getattr(agency, field)}{tail}")
        with pytest.raises(BadHeader):
            mail(scenery, agency)


def test_row_30_a_mail_has_the_headers_that_are_listed_and_one_recipient(scenery, clock):
    with scenery.acting(scenery.ours) as (agency, _):
        message = mail(scenery, agency)

    mine = [name for name in message.keys() if not name.startswith(("MIME", "Content"))]  # noqa: SIM118 - no dict
    assert sorted(mine) == sorted(HEADERS)
    assert [address.addr_spec for address in message["To"].addresses] == ["priya.nair@harbordental.example"]
    assert message["Subject"] == "Action required: Northwind Studio needs you to connect Slack"


@pytest.mark.parametrize(
    "recipient", ["a@x.example, b@x.example", "a@x.example\nBcc: b@x.example", "A <a@x.example>", "a@x.example;b"]
)
def test_row_30_one_address_is_one_address(scenery, clock, recipient):
    with scenery.acting(scenery.ours) as (agency, owner):
        with pytest.raises(Refused):
            connection_requests.queue(asked_of(scenery, agency).workflow.slots[2], recipient=recipient, by=owner)
        with transaction():
            asked_of(scenery, agency).bundle.recipient = recipient
        with pytest.raises(BadHeader):
            mail(scenery, agency)


# ── Row 31 ──────────────────────────────────────────────────────────────────

NOTE = "<script>alert(1)</script> & <a href=https://evil.example>here</a> https://evil.example {{ 7*7 }} {% x %}"


def test_row_31_a_note_is_text_on_every_page_and_in_the_mail(scenery, clock):
    with scenery.acting(scenery.ours) as (agency, _):
        with transaction():
            asked_of(scenery, agency).note = NOTE
        message = mail(scenery, agency)
        parts = {
            part.get_content_type(): part.get_content()
            for part in message.walk()
            if part.get_content_maintype() == "text"
        }
    workspace, workflow = scenery.ours.names["workspace_id"], scenery.ours.names["workflow_id"]
    pages = [
        scenery.client(scenery.ours).get(f"/connect/{scenery.ours.names['bundle_id']}").text,
        scenery.staff(scenery.ours).get(f"/panel/workspaces/{workspace}/workflows/{workflow}").text,
        parts["text/html"],
    ]

    for html in pages:
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
        assert "<script>alert" not in html
        assert 'href="https://evil.example' not in html.replace("'", '"')
        assert "href=https://evil" not in html.replace("&lt;a href=https://evil", "")
        assert "{{ 7*7 }}" in html
    assert NOTE in parts["text/plain"].replace("\n", " ")


def upload(scenery, content, name="logo.png"):
    browser, path = scenery.staff(scenery.ours), "/panel/branding"
    form = {
        "name": "Northwind",
        "sender_name": "Northwind",
        "support_email": "help@northwind.example",
        "accent": "#0e5a6e",
        "timezone": "UTC",
        "csrf_token": scenery.csrf(browser, path),
        "logo": (BytesIO(content), name),
    }
    return browser.post(path, data=form, content_type="multipart/form-data")


@pytest.mark.parametrize(
    "content",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"GIF89a/*<script>alert(1)</script>*/",
        b"<html><script>alert(1)</script></html>",
        b"%PDF-1.4",
        b"\x89PNG\r\n\x1a\n" + b"x" * 100,
    ],
)
def test_row_31_a_logo_is_a_picture(scenery, clock, content):
    assert upload(scenery, content).status_code == 422


def test_row_31_a_logo_is_drawn_anew(scenery, clock):
    """What came along with the picture is gone: comments, profiles, a page behind it."""
    file = BytesIO()
    Image.new("RGB", (40, 40), "#aa0000").save(file, "JPEG", comment=b"<script>alert(1)</script>")
    assert upload(scenery, file.getvalue() + b"<script>alert(2)</script>").status_code == 303

    with scenery.acting(scenery.ours) as (agency, _):
        digest = agency.logo_digest
    shown = scenery.app.test_client().get(f"/brand/{digest}.png")
    assert shown.content_type == "image/png"
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert b"script" not in shown.data
    assert Image.open(BytesIO(shown.data)).format == "PNG"
    assert picture() != shown.data


@pytest.mark.parametrize(
    "accent",
    ["red", "#fff", "#12345g", "#123456;}body{background:url(//evil.example)}", "url(x)", "#1234567", "var(--x)"],
)
def test_row_31_a_colour_is_six_hex_digits(scenery, clock, accent):
    browser, path = scenery.staff(scenery.ours), "/panel/branding"
    form = {"name": "N", "sender_name": "N", "support_email": "h@n.example", "accent": accent, "timezone": "UTC"}

    assert browser.post(path, data=form | {"csrf_token": scenery.csrf(browser, path)}).status_code == 422
    for name in (accent[:16].ljust(16, "x"), "zz" * 8):
        assert scenery.app.test_client().get(f"/brand/{name.replace('/', 'x')}.css").status_code == 404


def test_row_31_colours_are_checked_for_contrast(scenery):
    for accent in ("#ffff00", "#ffffff", "#000000", "#808080", "#0e5a6e"):
        assert all(each.ratio >= 4.5 for each in colours.contrasts(accent)), accent


# ── Row 32: the caps are in test_row_32_mail_caps.py ────────────────────────


def test_row_32_a_resend_waits_five_minutes_and_there_are_three(scenery, clock):
    browser = scenery.staff(scenery.ours)
    path = f"/panel/requests/{scenery.ours.names['request_id']}/resend"

    def epoch():
        with scenery.acting(scenery.ours) as (agency, _):
            return asked_of(scenery, agency).bundle.epoch

    def press():
        browser.post(path, data={"csrf_token": scenery.csrf(browser, path)})
        return epoch()

    clock.forward(minutes=6)
    assert [press(), press()] == [2, 2]
    for expected in (3, 4, 4):
        before = epoch()
        clock.forward(minutes=4, seconds=59)
        assert press() == before
        clock.forward(seconds=1)
        assert press() == expected


# ── Row 33 ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "address",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://localhost/x",
    ],
)
def test_row_33_calls_go_to_public_https_addresses_alone(address):
    """`test_row_33_egress.py` and `tests/egress` have the whole of it: spellings, names, redirects, deadlines, sizes."""
    egress = Egress(resolver=lambda _host, _port: ["127.0.0.1"])
    with pytest.raises(EgressRefused):
        egress.request("GET", address)
    egress.close()


def test_row_33_no_address_to_call_is_ever_taken_from_the_outbox(scenery, clock):
    with scenery.acting(scenery.ours):
        payloads = db.session.scalars(select(OutboxItem.payload)).all()

    assert payloads
    assert all(isinstance(value, int) for payload in payloads for value in payload.values())
