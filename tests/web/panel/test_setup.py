from contextlib import contextmanager

import pytest
from sqlalchemy import select

from app import create_app
from app.config import SmtpServer
from app.extensions import db
from app.mailer import transports
from app.mailer.transports import FolderTransport
from app.models import Agency, AuditEvent, Staff
from app.services import setup
from app.services.claims import Failed
from app.services.deliveries import REASONS
from app.tenancy import across_tenants
from tests import factories
from tests.support.staff_browser import StaffBrowser, errors, one, page

GIVEN = {
    "name": "Northwind Studio",
    "owner_name": "Maya Okafor",
    "owner_email": "maya@northwind.example",
    "password": factories.PASSWORD,
}


@pytest.fixture
def newcomer(app):
    return StaffBrowser(app)


@pytest.fixture
def code(app):
    with app.app_context():
        return setup.code()


def agencies_there(app):
    with app.app_context():
        return db.session.scalars(select(Agency.name)).all()


@pytest.mark.parametrize(
    "path", ["/", "/panel/", "/panel/sign-in", "/portal/connections", "/nowhere", "/oauth/callback/shared-slack"]
)
def test_an_empty_installation_leads_to_the_set_up_page(newcomer, path):
    answer = newcomer.get(path)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/setup")


def test_the_vague_page_is_the_same_before_the_set_up(newcomer):
    assert "This link can't be opened" in newcomer.get("/l/anything").text


def test_the_page_asks_for_what_is_needed(newcomer):
    soup = page(newcomer.get("/setup"))

    assert one(soup, "h1").text == "Set up Gatehouse"
    assert [each["id"] for each in soup.select("form input[id]")] == [
        "code", "name", "support_email", "owner_name", "owner_email", "password", "sender_address",
    ]  # fmt: skip


def test_without_a_mail_server_the_page_says_what_becomes_of_mail_and_how_to_get_one(newcomer):
    soup = page(newcomer.get("/setup"))

    note = one(soup, "#no-mail").text
    assert "what is sent waits in the outbox until this server knows a mail server" in note
    assert "GATEHOUSE_SMTP_URL, like smtp://user:password@mail.example:587, and GATEHOUSE_MAIL_FROM" in note
    assert not soup.select("#send-test-mail")


def test_setting_up_makes_the_agency_and_signs_its_owner_in(app, newcomer, code):
    answer = newcomer.post("/setup", GIVEN | {"code": code.lower()})

    assert (answer.status_code, answer.headers["Location"]) == (303, "/panel/")
    soup = page(newcomer.get("/panel/workspaces"))
    assert "No workspaces yet" in soup.text
    assert "New workspace" in soup.text
    with app.app_context(), across_tenants("a test looks"):
        owner = db.session.scalars(select(Staff)).one()
        assert (owner.email, owner.role, owner.agency.support_email) == ("maya@northwind.example", "owner", owner.email)
        kinds = [row.type for row in db.session.scalars(select(AuditEvent).order_by(AuditEvent.id))]
        assert kinds == ["agency.created", "staff.added", "staff.signed_in"]


def test_a_wrong_code_makes_nothing(app, newcomer):
    answer = newcomer.post("/setup", GIVEN | {"code": "AAAA-AAAA"})

    assert errors(answer) == {"code": "This is not the code that the console shows."}
    assert agencies_there(app) == []


def test_everything_wrong_is_told_at_once_and_nothing_typed_is_lost(newcomer):
    answer = newcomer.post(
        "/setup",
        {
            "code": "AAAA-AAAA",
            "name": "North\u202ewind",
            "owner_name": "",
            "owner_email": "maya@northwind",
            "password": "northwind",
            "support_email": "help",
        },
    )

    found = errors(answer)
    assert set(found) == {"code", "name", "owner_name", "owner_email", "password", "support_email"}
    assert found["password"] == "This has 9 characters; 3 more are needed."
    soup = page(answer, 422)
    assert (one(soup, "#owner_email")["value"], one(soup, "#support_email")["value"]) == ("maya@northwind", "help")
    assert not one(soup, "#password").get("value")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("code", value) for value in ("", "x", "\x00")],
        *[("name", value) for value in ("", " ", "x" * 81, "a\x0bb", "a\nb")],
        *[("owner_name", value) for value in ("", "x" * 81, "a\u2028b")],
        *[
            ("owner_email", value)
            for value in (
                "",
                "a@b",
                "a@b.example\r\nBcc: c@d.example",
                "a@b.example,c@d.example",
                "x" * 300 + "@b.example",
            )
        ],
        *[("password", value) for value in ("", "elevenchars", "a" * 20, "ab" * 101)],
        *[("support_email", value) for value in ("a@b", "a b@c.example")],
    ],
)
def test_bad_input_is_told_at_its_field(app, newcomer, code, field, value):
    assert set(errors(newcomer.post("/setup", GIVEN | {"code": code} | {field: value}))) == {field}
    assert agencies_there(app) == []


def test_the_code_can_not_be_guessed(app, newcomer, code):
    for _ in range(20):
        assert newcomer.post("/setup", GIVEN | {"code": "AAAA-AAAA"}).status_code == 422
    answer = newcomer.post("/setup", GIVEN | {"code": code})

    assert errors(answer, 429) == {"": "Too many tries. Wait a little, then try again."}
    assert "Retry-After" in answer.headers
    assert agencies_there(app) == []


def test_setting_up_needs_a_token(app, newcomer, code):
    assert newcomer.open("/setup", method="POST", data=GIVEN | {"code": code}).status_code == 400


def test_an_installation_is_set_up_once(app, newcomer, code):
    newcomer.post("/setup", GIVEN | {"code": code})
    other = StaffBrowser(app)

    assert other.get("/setup").headers["Location"] == "/panel/"
    assert (
        other.post("/setup", GIVEN | {"code": code, "owner_email": "eve@elsewhere.example"}).headers["Location"]
        == "/panel/"
    )
    assert other.post("/setup/test-mail", GIVEN | {"code": code}).headers["Location"] == "/panel/"
    assert agencies_there(app) == ["Northwind Studio"]


def test_a_process_notices_the_agency_that_another_made(app, config, catalog, newcomer):
    assert newcomer.get("/").headers["Location"] == "/setup"
    with create_app(config, catalog=catalog).app_context():
        factories.make_agency()

    assert newcomer.get("/").headers["Location"] == "/panel/"


# ── The test mail ────────────────────────────────────────────────────────────


@pytest.fixture
def posting(tmp_path, database_url, catalog):
    """An installation with a mail server that nothing listens at, whose mail goes to a folder."""
    config = factories.config(
        tmp_path, database_url, smtp=SmtpServer("127.0.0.1", 9, "none"), mail_from="gatehouse@northwind.example"
    )
    app = create_app(config, catalog=catalog)
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def folder(posting, tmp_path):
    folder = FolderTransport(tmp_path / "mail")
    transports.install(posting, folder)
    return folder


def trying(app, **changes):
    browser = StaffBrowser(app)
    with app.app_context():
        given = {"code": setup.code(), "owner_email": "maya@northwind.example", "sender_address": ""} | changes
    return browser.post("/setup/test-mail", given, htmx=True)


@pytest.mark.parametrize(
    ("typed", "sender"), [("", "gatehouse@northwind.example"), ("access@northwind.example", "access@northwind.example")]
)
def test_a_test_mail_goes_to_the_owner_to_be(posting, folder, typed, sender):
    answer = trying(posting, sender_address=typed)

    assert "Taken by the mail server, look in maya@northwind.example" in one(page(answer), "#test-mail").text
    [(_name, mail)] = folder.messages()
    assert (mail["To"], mail["From"]) == ("maya@northwind.example", f"Gatehouse <{sender}>")


def test_a_test_mail_is_offered_where_there_is_a_mail_server(posting):
    soup = page(StaffBrowser(posting).get("/setup"))

    assert one(soup, "#send-test-mail")
    assert "Its domain must let 127.0.0.1 send for it." in soup.text


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"code": "AAAA-AAAA"}, "This is not the code that the console shows."),
        ({"code": ""}, "Fill in the code and your e-mail address first."),
        ({"owner_email": ""}, "Fill in the code and your e-mail address first."),
        ({"owner_email": "maya@northwind"}, "This address has no domain ending."),
        ({"sender_address": "nobody"}, "This is not an e-mail address."),
    ],
)
def test_no_test_mail_goes_without_code_and_addresses(posting, folder, changes, problem):
    (folder.path).mkdir()

    assert problem in one(page(trying(posting, **changes), 422), "#test-mail").text
    assert folder.messages() == []


def test_a_test_mail_that_can_not_go_says_why(posting):
    assert "The mail server can't be reached." in one(page(trying(posting), 422), "#test-mail").text


class Refusing:
    """A way out whose server answers every mail with something of its own."""

    def __init__(self, failed):
        self.failed = failed

    @contextmanager
    def open(self):
        yield self

    def deliver(self, *_mail, **_options):
        raise self.failed from OSError("535 5.7.8 kaput at mx7.inside.example")


@pytest.mark.parametrize(
    "error", ["unreachable", "timeout", "tls", "auth", "dropped", "busy", "sender", "refused", "rejected", "new"]
)
def test_what_the_mail_server_says_is_told_in_our_own_words(posting, error):
    transports.install(posting, Refusing(Failed(error)))
    soup = page(trying(posting), 422)

    assert one(soup, "#test-mail .gh-status").text == str(REASONS.get(error, REASONS["internal"]))
    assert "kaput" not in soup.text
    assert "mx7" not in soup.text


def test_what_is_wrong_for_a_test_mail_is_told_at_its_field_too(posting, folder):
    soup = page(trying(posting, code="AAAA-AAAA", sender_address="nobody"), 422)

    said = {each["id"]: each.get_text(strip=True) for each in soup.select("[hx-swap-oob]")}
    assert said == {
        "code-problem": "This is not the code that the console shows.",
        "owner_email-problem": "",
        "sender_address-problem": "This is not an e-mail address. Write it like name@company.com.",
    }


def test_a_test_mail_goes_without_a_script_too(posting, folder):
    browser = StaffBrowser(posting)
    with posting.app_context():
        code = setup.code()
    soup = page(browser.post("/setup/test-mail", GIVEN | {"code": code}))

    assert "Taken by the mail server" in one(soup, "#test-mail").text
    assert one(soup, "#name")["value"] == "Northwind Studio"
    assert len(folder.messages()) == 1
