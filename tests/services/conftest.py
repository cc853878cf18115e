"""What tests of requests start from."""

import pytest

from app.models import ConnectionRequest, Staff, Workflow, Workspace
from tests import factories
from tests.support import shared_app
from tests.support.browsing import Browser

app_on_postgres, app_on_sqlite = shared_app.apps


@pytest.fixture
def workflow(workspace: Workspace, owner: Staff) -> Workflow:
    """Slack and HubSpot, which the client is to provide."""
    return factories.make_workflow(workspace, owner, ("slack", "send_channel_message"), ("hubspot", "create_contact"))


@pytest.fixture
def sent(workflow: Workflow, owner: Staff) -> list[ConnectionRequest]:
    """Slack and HubSpot, sent to Priya."""
    return factories.make_sent(workflow, owner)


@pytest.fixture
def browser(sent: list[ConnectionRequest]) -> Browser:
    """Priya's, in which the link was opened."""
    browser, bundle = Browser(), sent[0].bundle
    assert bundle is not None
    assert browser.open(bundle).bundle
    return browser
