import pytest

from app.models import Channel
from app.services import recipients
from tests import factories
from tests.support.shared_app import *  # noqa: F403

PRIYA, DANA = "priya.nair@harbordental.example", "dana.reyes@harbordental.example"

pytestmark = pytest.mark.both_databases


def test_way_to_a_member_is_the_portal_to_others_a_link(workspace):
    factories.make_member(workspace)

    assert recipients.way_to(workspace, f" {DANA.upper()} ") == recipients.Way(DANA, Channel.PORTAL)
    assert recipients.way_to(workspace, PRIYA) == recipients.Way(PRIYA, Channel.LINK)
    assert recipients.way_to(workspace, "priya@") is None


def test_members_to_choose_from_are_those_of_the_workspace_by_name(agency, workspace):
    factories.make_member(workspace, "z@x.example", "Zoe")
    factories.make_member(workspace, "a@x.example", "adam")
    factories.make_member(factories.make_workspace(agency, "Elsewhere"))

    assert [each.name for each in recipients.members(workspace)] == ["adam", "Zoe"]
