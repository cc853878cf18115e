import pytest

from app.models import Health
from app.services import badges
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


def test_badge_of_what_was_connected_by_something_forgotten():
    assert badges.of_connection(None).text == "Connected"
