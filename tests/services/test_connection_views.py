"""Connections as the panel lists them, and the forecast of what ends soon."""

from datetime import timedelta

import pytest

from app.errors import NotFound
from app.models import Health
from app.services import attention, broken_connections, connection_views, forecasts, mending_requests
from app.services.connection_views import Filters
from tests import factories
from tests.services.settling import change
from tests.support.shared_app import *  # noqa: F403
from tests.support.statements import counted

PRIYA = "priya.nair@harbordental.example"

pytestmark = pytest.mark.both_databases


@pytest.fixture
def held(workspace, workflow, clock):
    held = factories.make_connection(
        workspace, name="Front desk", owner_email=PRIYA, account="Desk_1@slack.example", scopes=["chat:write"]
    )
    change(workflow.slots[0], connection_id=held.id)
    return held


def found(agency, at, **filters):
    return [each.connection.name for each in connection_views.page(agency, Filters(**filters), at=at).items]


@pytest.mark.parametrize(
    ("filters", "is_found"),
    [
        ({"search": "desk_1@"}, True),
        ({"search": "NAIR"}, True),
        ({"search": "deskX1"}, False),
        ({"status": "active"}, True),
        ({"status": "revoked"}, False),
        ({"status": "nonsense"}, False),
        ({"owner": PRIYA.upper()}, True),
        ({"owner": "agency"}, False),
        ({"app": "slack", "owner": "clients"}, True),
        ({"workspace": "agency"}, False),
    ],
)
def test_page_narrows(agency, held, clock, filters, is_found):
    assert found(agency, clock.now, **filters) == (["Front desk"] if is_found else [])


def test_page_leaves_out_what_was_deleted_and_other_agencies(agency, workspace, stranger, held, clock):
    assert found(agency, clock.now, workspace=workspace.public_id) == ["Front desk"]
    assert found(stranger.agency, clock.now) == []
    change(held, deleted_at=clock.now)
    assert found(agency, clock.now) == []
    assert connection_views.options(agency).apps == []
    with pytest.raises(NotFound):
        connection_views.get(agency, held.public_id, at=clock.now)


def test_options_name_workspaces_and_the_apps_that_there_are(agency, workspace, held):
    factories.make_workspace(agency, "alder")
    options = connection_views.options(agency)

    assert [each.name for each in options.workspaces] == ["alder", "Harbor Dental"]
    assert [each.name for each in options.apps] == ["Slack"]


def test_get_tells_what_is_around_it(agency, workspace, workflow, owner, held, clock):
    view = connection_views.get(agency, held.public_id, at=clock.now)

    assert (view.workspace.id, [each.id for each in view.workflows]) == (workspace.id, [workflow.id])
    assert [each.label for each in view.permissions] == ["Send messages as the app"]
    assert (view.may_ask, view.needs_asking, view.is_asked) == (True, False, False)
    change(held, health=Health.ERROR)
    assert connection_views.get(agency, held.public_id, at=clock.now).needs_asking
    mending_requests.queue(held, by=owner)
    view = connection_views.get(agency, held.public_id, at=clock.now)
    assert (view.may_ask, view.is_asked, view.asked_badge.text) == (False, True, "Queued (not yet sent)")


def test_what_nobody_uses_or_the_agency_owns_is_not_asked_for(agency, workspace, workflow, held, clock):
    change(workflow.slots[0], connection_id=None)
    change(held, health=Health.ERROR)
    ours = factories.make_connection(workspace, health=Health.ERROR)

    for each in (held, ours):
        assert not connection_views.get(agency, each.public_id, at=clock.now).may_ask


@pytest.mark.parametrize(("days", "health", "is_soon"), [
    (13, Health.ACTIVE, True),
    (14, Health.PENDING, True),
    (15, Health.ACTIVE, False),
    (-1, Health.ACTIVE, True),
    (5, Health.ERROR, False),
    (5, Health.REVOKED, False),
])  # fmt: skip
def test_the_forecast_is_two_weeks_and_of_what_works(agency, held, clock, days, health, is_soon):
    change(held, grant_ends_at=clock.now + timedelta(days=days), health=health)

    assert attention.counts(agency).ending == is_soon
    assert [each.connection.id for each in forecasts.page(agency, at=clock.now).items] == ([held.id] if is_soon else [])
    assert bool(forecasts.end_of(held, at=clock.now)) is is_soon
    assert found(agency, clock.now, status="ending") == (["Front desk"] if is_soon else [])


def test_the_forecast_says_who_is_asked_already(agency, held, owner, clock):
    change(held, grant_ends_at=clock.now + timedelta(days=3))
    [ending] = forecasts.page(agency, at=clock.now).items
    assert ending.may_ask
    asked = mending_requests.queue(held, by=owner)

    [ending] = forecasts.page(agency, at=clock.now).items
    assert (ending.asked.id, ending.may_ask) == (asked.id, False)


def test_the_banner_names_the_last_that_broke_first(agency, workspace, clock):
    assert broken_connections.banner(agency, attention.counts(agency).broken) is None
    for number in range(7):
        factories.make_connection(
            workspace, name=f"Slack {number}", health=Health.ERROR, updated_at=clock.now + timedelta(minutes=number)
        )
    ours = factories.make_connection(
        workspace, "hubspot", workspace_id=None, health=Health.ERROR, updated_at=clock.now + timedelta(days=1)
    )
    banner = broken_connections.banner(agency, attention.counts(agency).broken)

    assert (banner.count, len(banner.first)) == (8, 5)
    assert (banner.first[0].public_id, banner.first[0].place) == (ours.public_id, None)
    assert banner.first[1].place == "Harbor Dental"


def test_many_cost_what_one_costs(agency, owner, clock):
    def statements(count):
        for number in range(count):
            workspace = factories.make_workspace(agency, f"Client {count} {number}")
            workflow = factories.make_workflow(workspace, owner, ("slack", "find_user"))
            held = factories.make_connection(workspace, owner_email=PRIYA, health=Health.ERROR)
            change(workflow.slots[0], connection_id=held.id)
            mending_requests.queue(held, by=owner)
        with counted() as seen:
            connection_views.page(agency, Filters(), at=clock.now)
        return len(seen)

    assert statements(1) == statements(10)
