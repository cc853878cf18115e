"""What is said of a revocation, in words."""

import pytest

from app.models import Health, Revocation
from app.services import revocations
from tests import factories
from tests.support import shared_app

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures

DELETED = "We stopped using it and deleted it here;"


@pytest.mark.parametrize(
    ("revocation", "text", "is_linked"),
    [
        (Revocation.CONFIRMED, "Revoked at Slack", False),
        (Revocation.PENDING, "We stopped using it; Slack has yet to confirm that it is revoked there", False),
        (Revocation.UNSUPPORTED, f"{DELETED} Slack offers no revocation: remove it in your Slack settings", True),
        (
            Revocation.KEPT_FOR_SIBLING,
            f"{DELETED} Slack was not asked to revoke it: that would end another connection of the account",
            False,
        ),
        (
            Revocation.UNCONFIRMED,
            f"{DELETED} Slack did not confirm that it is revoked: remove it in your Slack settings",
            True,
        ),
        (None, f"{DELETED} Slack did not confirm that it is revoked: remove it in your Slack settings", True),
    ],
)
def test_words_say_what_happened(workspace, revocation, text, is_linked):
    made = factories.make_connection(workspace, health=Health.REVOKED, revocation=revocation)

    said = revocations.words(made)

    assert said.text == text
    assert said.link.startswith("https://slack.com/help" if is_linked else "") is True
    assert bool(said.link) is is_linked


def test_words_of_a_key_say_to_remove_it_there(workspace):
    values = {"oauth_client": None, "health": Health.REVOKED, "revocation": Revocation.UNSUPPORTED}

    said = revocations.words(factories.make_connection(workspace, "openai", **values))

    assert said.text == f"{DELETED} remove the key in your OpenAI settings"
    assert said.link


@pytest.mark.parametrize("health", [Health.PENDING, Health.ACTIVE, Health.ERROR])
def test_words_are_for_what_was_revoked(workspace, health):
    assert revocations.words(factories.make_connection(workspace, health=health)) is None
