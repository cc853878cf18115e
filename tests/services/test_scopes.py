from dataclasses import replace

import pytest

from app.catalog import Catalog
from app.services import scopes
from app.services.intake import cards
from tests import factories


@pytest.fixture
def workflow(workspace, owner):
    return factories.make_workflow(workspace, owner, ("slack", "send_channel_message"), ("hubspot", "create_deal"))


def without_slack(app):
    runtime = app.extensions["gatehouse"]
    left = Catalog({each.key: each for each in runtime.catalog if each.key != "slack"})
    app.extensions["gatehouse"] = replace(runtime, catalog=left)


def test_an_app_that_left_the_catalog_is_still_shown_by_its_name(app, agency, workflow, owner):
    asked = factories.make_sent(workflow, owner)
    without_slack(app)

    slack = next(each for each in asked if each.app_key == "slack")
    assert scopes.app_of(slack).name == "Slack"
    assert scopes.of_slot(slack.slot) == ()
    assert sorted(card.app.name for card in cards(slack.bundle)) == ["HubSpot", "Slack"]


def test_its_workflow_page_still_opens(app, agency, workspace, workflow, owner):
    without_slack(app)

    page = factories.signed_in(app, owner).get(
        f"/panel/workspaces/{workspace.public_id}/workflows/{workflow.public_id}"
    )
    assert page.status_code == 200
    assert "Send channel message" in page.text
