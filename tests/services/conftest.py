"""What tests of requests start from."""

import pytest

from app.models import Staff, Workflow, Workspace
from tests import factories
from tests.support import shared_app

app_on_postgres, app_on_sqlite = shared_app.apps


@pytest.fixture
def workflow(workspace: Workspace, owner: Staff) -> Workflow:
    """Slack and HubSpot, which the client is to provide."""
    return factories.make_workflow(workspace, owner, ("slack", "send_channel_message"), ("hubspot", "create_contact"))
