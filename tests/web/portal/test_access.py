"""Who gets into the portal, and what of it they reach."""

import pytest

from app.models import Member
from tests import factories

DANA = "dana.reyes@harbordental.example"
pytestmark = pytest.mark.both_databases


@pytest.fixture
def member(workspace) -> Member:
    return factories.make_member(workspace, DANA)


def test_a_member_gets_in(app, workspace, member):
    answer = factories.signed_in_client(app, DANA, workspace).get("/portal/connections")

    assert answer.status_code == 200
    assert "Dana Reyes" in answer.text
    assert "Northwind Studio" in answer.text
