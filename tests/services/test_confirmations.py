import pytest

from app.services import confirmations, slots
from app.services.slots import NeedsConfirmation
from tests import factories
from tests.support.shared_app import *  # noqa: F403


def test_what_is_asked_before_is_what_is_said_after(workspace, workflow, owner):
    slot = workflow.slots[0]
    asked = factories.make_request(slot, owner)
    with pytest.raises(NeedsConfirmation) as needed:
        slots.set_source(slot, "agency", by=owner)
    assert str(needed.value) == confirmations.cancels(asked) == f"This cancels the Slack request to {asked.recipient}."

    held = factories.make_connection(workspace, "hubspot", scopes=["crm.objects.contacts.write"], name="Main")
    slots.use_connection(workflow.slots[1], held.public_id, by=owner)
    with pytest.raises(NeedsConfirmation) as needed:
        slots.set_source(workflow.slots[1], "agency", by=owner)
    said = "This takes Main out of the workflow; the account stays connected."
    assert str(needed.value) == confirmations.takes_out(held) == said


def test_what_takes_nothing_away_says_nothing():
    assert confirmations.cancels(None) == confirmations.takes_out(None) == ""
