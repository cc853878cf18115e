"""The e-mail in a browser, as mail programs show it."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from axe_playwright_python.sync_playwright import Axe

from app.database import transaction
from app.mailer import bundle_sent
from tests import factories

BRIGHT, DARK_GROUND = "rgb(255, 255, 255)", "rgb(19, 21, 23)"


@pytest.fixture
def html(agency, workspace, owner):
    steps = (("zendesk", "create_ticket"), ("hubspot", "create_contact"), ("google-sheets", "add_row"))
    workflow = factories.make_workflow(workspace, owner, *steps)
    bundle = factories.make_sent(workflow, owner)[0].bundle
    with transaction():
        agency.accent = "#ffe600"  # no text could be read in it as it is
        factories.outstanding(bundle)[0].note = "W" * 256
    raw = bundle_sent.compose(factories.leaving(bundle), at=datetime(2026, 11, 20, tzinfo=UTC)).as_bytes()
    return message_from_bytes(raw, policy=policy.default).get_body(("html",)).get_content()


@pytest.mark.parametrize(("scheme", "ground"), [("light", BRIGHT), ("dark", DARK_GROUND)])
@pytest.mark.parametrize("width", [320, 1280])
def test_mail_can_be_read_in_both_themes_and_on_any_width(new_context, html, scheme, ground, width):
    page = new_context(color_scheme=scheme, viewport={"width": width, "height": 800}).new_page()
    page.set_content(html)

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
