"""Where requests of the kind `reauthorize` show: at every workflow that uses the connection."""

import pytest

from app import clock as app_clock
from app.database import transaction
from app.extensions import db
from app.models import Health, Slot, Source, Status
from app.services import (
    board_rows,
    connection_requests,
    fulfilment,
    mending_requests,
    node_views,
    nodes,
    scopes,
    sending,
    workflows,
)
from app.services.audit import SYSTEM
from tests import factories
from tests.services import broken
from tests.services.broken import PRIYA, ask, asked_of_many, at, cards
from tests.services.settling import change
from tests.support.shared_app import *  # noqa: F403
from tests.support.statements import counted

pytestmark = pytest.mark.both_databases
held, other = broken.fixtures


def test_it_shows_at_every_workflow_that_uses_the_connection(workspace, workflow, other, held, owner):
    apart = factories.make_workflow(workspace, owner, ("slack", "find_user"), name="Apart")
    asked = ask(held, owner, workflow=workflow)

    for shown in (workflow, other):
        card = cards(shown)[asked.public_id]
        assert (card.is_mending, card.badge.text, card.may_cancel, card.may_move) == (
            True,
            "Queued (not yet sent)",
            True,
            False,
        )
        assert at(shown).queued == 1
    assert cards(apart) == {}
    assert sorted(each.name for each in mending_requests.shown_at(asked)) == ["Another", "New patient intake"]
    sending.send(workflow, by=owner)
    assert at(other).is_moving


def test_its_row_says_that_permissions_changed_since_it_was_sent(workflow, other, held, owner):
    change(held, scopes=scopes.needed_of(held))
    asked = ask(held, owner, workflow=workflow)
    assert not cards(workflow)[asked.public_id].is_changed
    sending.send(workflow, by=owner)
    assert not cards(workflow)[asked.public_id].is_changed

    nodes.add(other, app_key="slack", action_key="create_channel", by=owner)

    assert [cards(shown)[asked.public_id].is_changed for shown in (workflow, other)] == [True, True]


def test_what_changed_is_looked_for_once_for_all(workspace, owner):
    def statements(count):
        workflow = asked_of_many(workspace, owner, count)
        sending.send(workflow, by=owner)
        db.session.expire_all()
        db.session.refresh(workflow)
        with counted() as found:
            assert len(cards(workflow)) == count
        return len(found)

    assert statements(2) == statements(20)


def test_elsewhere_it_joins_its_recipient_and_goes_once_it_is_settled(workflow, other, held, owner):
    nodes.add(other, app_key="hubspot", action_key="create_contact", by=owner)
    hubspot = next(slot for slot in other.slots if slot.app_key == "hubspot")
    change(hubspot, source=Source.CLIENT)
    own = factories.make_request(hubspot, owner, recipient=PRIYA)
    asked = ask(held, owner, workflow=workflow)

    [group] = at(other).groups
    assert [card.asked.id for card in group.cards] == [own.id, asked.id]
    assert group.total == 2

    with transaction():
        connection_requests.withdraw(asked, by=owner, at=app_clock.now())
    assert [card.asked.id for card in at(other).groups[0].cards] == [own.id]


def test_elsewhere_it_is_on_the_first_page_or_with_its_recipient(monkeypatch, workflow, other, held, owner):
    monkeypatch.setattr(board_rows, "PAGE", 1)
    for number in range(3):
        nodes.add(other, app_key="slack", action_key="find_user", separate=True, by=owner)
        change(other.slots[number + 1], source=Source.CLIENT)
        factories.make_request(other.slots[number + 1], owner, recipient=f"p{number}@x.example")
    ask(held, owner, workflow=workflow)

    first = at(other)
    second = at(other, after=first.older)

    assert [group.recipient for group in first.groups] == [PRIYA, "p2@x.example"]
    assert [group.recipient for group in second.groups] == ["p1@x.example"]


def test_the_board_offers_to_ask_where_a_clients_connection_broke(workspace, workflow, held, owner):
    slack = factories.make_request(workflow.slots[1], owner)
    fulfilled = _fulfilled(workflow, held, owner)
    assert cards(workflow)[fulfilled.public_id].may_mend
    assert not cards(workflow)[fulfilled.public_id].may_reconnect
    assert cards(workflow)[fulfilled.public_id].badge.text == "Reconnection needed"
    assert not cards(workflow)[slack.public_id].may_mend

    ask(held, owner, workflow=workflow)
    assert not cards(workflow)[fulfilled.public_id].may_mend


def _fulfilled(workflow, held, owner):
    change(workflow.slots[0], connection_id=None)
    asked = factories.make_request(workflow.slots[0], owner)
    sending.send(workflow, by=owner)
    with transaction():
        fulfilment.fulfil(asked, held, generation=0, by=SYSTEM, at=app_clock.now())
    return asked


def test_the_node_says_who_is_asked(agency, workspace, workflow, held, owner):
    def slack():
        found = workflows.get(workspace, workflow.public_id)
        return node_views.view(found, agency, at=app_clock.now())[0].slot

    assert (slack().badge.text, slack().may_mend, slack().mending) == ("Reconnection needed", True, None)
    asked = ask(held, owner, workflow=workflow)

    assert (slack().mending.id, slack().mending_badge.text) == (asked.id, "Queued (not yet sent)")
    assert (slack().badge.text, slack().may_mend) == ("Reconnection needed", False)
    sending.send(workflow, by=owner)
    connection_requests.decline(asked, reason="")
    assert (slack().mending_badge.text, slack().may_mend) == ("Declined", True)


def test_publishing_sends_it(workspace, other, held, owner):
    asked = ask(held, owner, workflow=other)

    workflows.publish(other, by=owner)

    db.session.refresh(asked)
    assert asked.status is Status.PENDING


def test_it_may_be_asked_of_any_number_of_connections_at_the_same_price(agency, workspace, owner):
    def statements(count):
        workflow = workflows.create(workspace, f"With {count}", by=owner)
        for number in range(count):
            nodes.add(workflow, app_key="slack", action_key="find_user", separate=True, by=owner)
            held = factories.make_connection(
                workspace, name=f"{count}.{number}", owner_email=f"p{number}@x.example", health=Health.ERROR
            )
            change(workflow.slots[number], connection_id=held.id)
            ask(held, owner, workflow=workflow)
        db.session.expire_all()
        workflow = workflows.get(workspace, workflow.public_id)
        with counted() as found:
            at(workflow)
            node_views.view(workflow, agency, at=app_clock.now())
        return len(found)

    assert statements(1) == statements(20)


def test_a_slot_that_no_longer_uses_it_does_not_show_it(workflow, other, held, owner):
    asked = ask(held, owner, workflow=workflow)
    with transaction():
        db.session.get(Slot, other.slots[0].id).connection_id = None

    assert asked.public_id not in cards(other)
    assert asked.public_id in cards(workflow)
