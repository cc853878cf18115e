"""The e-mail that asks to connect apps, as the client reads it."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import event

from app import links
from app.database import transaction
from app.extensions import db
from app.mailer import bundle_sent
from app.models import Channel
from app.services import connection_requests, link_tokens, mending_requests, nodes, sending
from tests import factories
from tests.support.inbox import Received

PRIYA = "priya.nair@harbordental.example"
STEPS = (("zendesk", "create_ticket"), ("hubspot", "create_contact"), ("google-sheets", "add_row"))
AT = datetime(2026, 11, 20, 8, 12, tzinfo=UTC)


@pytest.fixture
def workflow(workspace, owner):
    return factories.make_workflow(workspace, owner, *STEPS)


@pytest.fixture
def bundle(workflow, owner):
    return sent(workflow, owner)


def sent(workflow, owner, recipient=PRIYA, notes=("We open a ticket\nfor each <b>message</b>.", "", "")):
    for slot, note in zip(workflow.slots, notes, strict=False):
        asked = factories.make_request(slot, owner, recipient=recipient, note=note)
    sending.send(workflow, by=owner)
    return asked.bundle


def read(bundle, at=AT):
    raw = bundle_sent.compose(factories.leaving(bundle), at=at).as_bytes()
    return Received("", (), raw, encrypted=False, login=None, message=message_from_bytes(raw, policy=policy.default))


def page(mail):
    return BeautifulSoup(mail.html, "html.parser")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["Slack"], "Slack"),
        (["Slack", "HubSpot"], "Slack and HubSpot"),
        (["Slack", "HubSpot", "Xero"], "Slack, HubSpot and 1 more app"),
        (["Slack", "HubSpot", "Xero", "Zoom"], "Slack, HubSpot and 2 more apps"),
        (["Slack", "Slack"], "Slack"),
        (["100% Mail", "HubSpot", "Xero"], "100% Mail, HubSpot and 1 more app"),
    ],
)
def test_name_apps_names_two_and_counts_the_rest(app_context, names, words):
    assert bundle_sent.name_apps(names) == words


def test_compose_addresses_it(agency, bundle):
    with transaction():
        agency.sender_name = "Northwind “Access”, Ltd"
        agency.sender_address = "access@northwind-studio.example"

    message = read(bundle).message

    subject = "Action required: Northwind Studio needs you to connect Zendesk, HubSpot and 1 more app"
    assert message["Subject"] == subject
    assert message["From"].addresses[0].display_name == "Northwind “Access”, Ltd"
    assert message["From"].addresses[0].addr_spec == "access@northwind-studio.example"
    assert message["To"] == PRIYA
    assert message["Reply-To"] == "help@northwind-studio.example"
    assert message["Message-ID"].endswith("@localhost>")


def test_compose_sends_from_the_installations_address_unless_the_agency_has_its_own(agency, bundle):
    assert read(bundle).message["From"].addresses[0].addr_spec == "no-reply@localhost"


def test_compose_lists_each_app_with_its_permissions_and_note(bundle, catalog):
    mail = read(bundle)
    soup = page(mail)

    assert soup.h1.text == "Northwind Studio needs you to connect 3 apps"
    assert "Maya Okafor asks on behalf of Northwind Studio, for New patient intake at Harbor Dental." in mail.text
    for app_key, action in STEPS:
        app = catalog.get(app_key)
        assert f"\n{app.name}\n" in mail.text
        assert app.name in [heading.contents[-1] for heading in soup.find_all("h2")]
        assert app.scopes_for([action])
        for scope in app.scopes_for([action]):
            assert f"- {app.scope_label(scope)}\n" in mail.text
            assert app.scope_label(scope) in [item.text for item in soup.find_all("li")]
    note = "“We open a ticket\nfor each <b>message</b>.”"
    assert note in mail.text
    assert note in soup.text
    assert not soup.find_all("b"), "notes are text"


def test_compose_has_one_button_and_the_address_once_more_alone_on_a_line(bundle):
    mail = read(bundle)
    url = links.intake_url(link_tokens.of(bundle))
    soup = page(mail)

    assert mail.links == [url]
    assert f"\n\n{url}\n\n" in mail.text
    assert [link.text for link in soup.find_all("a", class_="button")] == ["Review and connect"]
    assert [link["href"] for link in soup.find_all("a", href=True)] == [
        url,
        url,
        "mailto:help@northwind-studio.example",
    ]


def test_compose_says_when_it_expires_in_the_agencys_time_zone(agency, bundle):
    with transaction():
        agency.timezone = "Europe/Paris"
        bundle.expires_at = datetime(2026, 11, 27, 8, 12, tzinfo=UTC)

    mail = read(bundle)

    assert "The link works until Friday, 27 November 2026, 09:12 CET." in mail.text
    assert page(mail).find("strong").text == "Friday, 27 November 2026, 09:12 CET"


def test_compose_promises_what_the_client_may_count_on(bundle):
    mail = read(bundle)

    for text in (mail.text, page(mail).text):
        assert "Northwind Studio never sees your password." in text
        assert "Connecting uses the provider's own consent screen" in text
        assert f"Sent to {PRIYA}." in text
    assert b"gatehouse" not in mail.raw.lower(), "the product's name is nowhere"


def test_compose_for_a_member_leads_to_the_portal_and_carries_no_capability(workspace, workflow, owner):
    member = factories.make_member(workspace)
    bundle = sent(workflow, owner, recipient=member.email)

    mail = read(bundle)

    assert bundle.channel is Channel.PORTAL
    door = f"http://localhost/portal/login/northwind-studio?to=show_workflow.{workflow.public_id}"
    assert mail.links == [door]
    assert link_tokens.of(bundle) not in mail.html + mail.text
    assert f"Sign in as {member.email}. You have until " in mail.text
    assert page(mail).find("a", class_="button")["href"] == door


def test_compose_tells_what_is_outstanding_alone(agency, owner, bundle):
    zendesk = factories.outstanding(bundle)[0]
    connection_requests.cancel(agency, zendesk.public_id, by=owner)

    mail = read(bundle)

    assert mail.message["Subject"] == "Action required: Northwind Studio needs you to connect HubSpot and Google Sheets"
    assert "Zendesk" not in mail.text


def test_compose_in_the_singular(workspace, owner):
    workflow = factories.make_workflow(workspace, owner, STEPS[1])
    mail = read(sent(workflow, owner, notes=("",)))

    assert mail.message["Subject"] == "Action required: Northwind Studio needs you to connect HubSpot"
    assert page(mail).h1.text == "Northwind Studio needs you to connect 1 app"


def test_compose_names_the_workflow_of_each_app_when_there_are_several(workspace, workflow, owner):
    bundle = sent(workflow, owner)
    other = factories.make_workflow(workspace, owner, ("slack", "send_channel_message"), name="Weekly report")
    sent(other, owner, notes=("",))

    mail = read(bundle)

    assert "for New patient intake and Weekly report at Harbor Dental." in mail.text
    assert "\nSlack\nFor Weekly report\n" in mail.text


def test_compose_shows_the_logo_inside_the_mail(agency, bundle):
    with transaction():
        agency.logo, agency.logo_digest = b"\x89PNG\r\n\x1a\nrest", "0" * 64

    mail = read(bundle)

    assert page(mail).img["src"] == "cid:logo"
    assert [part.get_content() for part in mail.message.walk() if part["Content-ID"] == "<logo>"] == [agency.logo]


def test_compose_reaches_for_nothing_outside(bundle):
    soup = page(read(bundle))

    assert not soup.find_all(["script", "link", "iframe", "form", "input"])
    assert not soup.find_all(src=True)
    assert "url(" not in str(soup)


def test_compose_styles_each_element_and_keeps_the_dark_theme(agency, bundle):
    with transaction():
        agency.accent = "#a03c17"

    soup = page(read(bundle))

    assert "background-color: #a03c17" in soup.find("a", class_="button")["style"]
    assert "prefers-color-scheme: dark" in soup.style.text
    assert len(soup.find_all("style")) == 1


def test_compose_asks_the_database_no_more_for_more_apps(workspace, owner):
    def statements(*steps):
        workflow = factories.make_workflow(workspace, owner, *steps, name=f"Workflow {len(steps)}")
        bundle = sent(workflow, owner, recipient=f"n{len(steps)}@x.example", notes=("",) * len(steps))
        db.session.expire_all()
        seen = []
        listener = lambda *args: seen.append(args[2])  # noqa: E731
        event.listen(db.engine, "before_cursor_execute", listener)
        read(bundle)
        event.remove(db.engine, "before_cursor_execute", listener)
        return len(seen)

    assert statements(STEPS[0]) == statements(*STEPS)


def test_compose_draws_once_what_is_alike_and_tells_each_their_own(workspace, owner, monkeypatch):
    drawn, real = [], bundle_sent._rendered
    monkeypatch.setattr(bundle_sent, "_rendered", lambda content: drawn.append(content) or real(content))
    names = ("priya.nair", "o'brien&sons", "dana")
    workflow = factories.make_workflow(workspace, owner, STEPS[0], name="Alike")
    for _ in names[1:]:
        nodes.add(workflow, app_key="zendesk", action_key="create_ticket", separate=True, by=owner)
        db.session.refresh(workflow)
    asked = [
        factories.make_request(slot, owner, recipient=f"{name}@harbordental.example")
        for slot, name in zip(workflow.slots, names, strict=True)
    ]
    sending.send(workflow, by=owner)

    mails = [read(each.bundle) for each in asked]

    assert len(drawn) == 1
    for mail, each in zip(mails, asked, strict=True):
        assert mail.links == [links.intake_url(link_tokens.of(each.bundle))]
        assert page(mail).find("a", class_="button")["href"] == mail.links[0]
        for told in (mail.text, page(mail).get_text()):
            assert f"Sent to {each.recipient}." in told
            assert not [other for other in asked if other is not each and other.recipient in told]


@pytest.mark.parametrize(("account", "words"), [
    ("desk@slack.example", "desk@slack.example was connected before. Please approve it once more, with that same account."),
    (None, "It was connected before. Please approve it once more, with that same account."),
])  # fmt: skip
def test_what_is_to_be_reconnected_says_which_account(workspace, workflow, bundle, owner, account, words):
    held = factories.make_connection(workspace, "zendesk", owner_email=PRIYA, account=account)
    with transaction():
        workflow.slots[0].connection_id = held.id
    mending_requests.queue(held, workflow=workflow, by=owner)
    sending.send(workflow, by=owner)

    mail = read(bundle)

    assert mail.text.count(words) == 1
    assert page(mail).get_text().count(words) == 1
