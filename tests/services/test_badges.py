import pytest

from app.models import Health
from app.services import badges
from app.services.workflows import Progress, State
from tests import factories
from tests.support.shared_app import *  # noqa: F403


@pytest.mark.parametrize(
    ("health", "kind", "text"),
    [
        (Health.PENDING, "connected", "Connected as someone@slack.example"),
        (Health.ACTIVE, "connected", "Connected as someone@slack.example"),
        (Health.ERROR, "error", "Reconnection needed"),
        (Health.REVOKED, "revoked", "Revoked"),
    ],
)
def test_badge_of_a_connection(workspace, health, kind, text):
    badge = badges.of_connection(factories.make_connection(workspace, health=health))

    assert (badge.kind, badge.text) == (kind, text)


@pytest.mark.parametrize(
    ("health", "kind", "text"),
    [
        (Health.PENDING, "pending", "Waiting for the first sync."),
        (Health.ACTIVE, "connected", "Connected and working."),
        (Health.ERROR, "error", "Reconnection needed."),
        (Health.REVOKED, "revoked", "Revoked."),
    ],
)
def test_badge_of_a_connections_health(workspace, health, kind, text):
    assert badges.of_health(factories.make_connection(workspace, health=health)) == badges.Badge(kind, text)


def test_badge_of_what_was_connected_by_something_forgotten():
    assert badges.of_connection(None).text == "Connected"


@pytest.mark.parametrize(
    ("state", "kind", "alone", "with_numbers"),
    [
        (State.DRAFT, "draft", "Draft", "Draft"),
        (State.WAITING, "pending", "Waiting on client", "Waiting on client (1 of 2 connected)"),
        (State.READY, "connected", "Ready", "Ready"),
        (State.PAUSED, "paused", "Paused", "Paused"),
        (State.ARCHIVED, "cancelled", "Archived", "Archived"),
    ],
)
def test_badge_of_a_workflow(app_context, state, kind, alone, with_numbers):
    assert badges.of_state(state) == badges.Badge(kind, alone)
    assert badges.of_workflow(Progress(state, 1, 2)) == badges.Badge(kind, with_numbers)
