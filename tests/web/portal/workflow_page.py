"""The portal's page of a workflow as Dana has it, who is a member and asked for Northdesk and Postwave."""

import pytest

from tests import factories
from tests.support.visitor import Visitor
from tests.web.portal.own_connections import DANA


@pytest.fixture
def member(workspace):
    return factories.make_member(workspace, DANA)


@pytest.fixture
def asked(workflow, owner, member):
    """Northdesk and Postwave, sent to Dana, who is a member."""
    return factories.make_sent(workflow, owner, recipient=DANA)


@pytest.fixture
def dana(app, workspace, asked, visitor) -> Visitor:
    return Visitor(factories.signed_in_client(app, DANA, workspace))


@pytest.fixture
def page(workflow) -> str:
    return f"/portal/connections/workflows/{workflow.public_id}"


fixtures = (asked, dana, member, page)
