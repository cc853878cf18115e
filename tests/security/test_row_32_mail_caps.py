"""How many mails may leave: so many a day to one recipient, so many an hour for an agency; on both databases, many at once."""

import pytest
from sqlalchemy import select

from app.database import transaction
from app.extensions import db
from app.models import Agency, OutboxItem
from app.services import bundle_mail
from app.services.bundle_mail import KIND
from app.services.claims import Claimed, Postponed
from tests import factories
from tests.support.elsewhere import at_once, outcomes

pytestmark = pytest.mark.both_databases
PRIYA = "priya.nair@harbordental.example"


def about_to_leave(agency, owner, recipients) -> list[Claimed]:
    """A mail to each of them, in a worker's hands; from a workspace of its own, as a recipient has one bundle in each."""
    for number, recipient in enumerate(recipients):
        workspace = factories.make_workspace(agency, f"Client {number} of {recipient}"[:60])
        workflow = factories.make_workflow(workspace, owner, ("northdesk", "find_ticket"), name="Tickets")
        factories.make_sent(workflow, owner, recipient=recipient)
    rows = db.session.scalars(
        select(OutboxItem).where(OutboxItem.agency_id == agency.id, OutboxItem.kind == KIND).order_by(OutboxItem.id)
    )
    items = [
        Claimed(row.id, row.kind, row.key, row.agency_id, row.payload, row.attempts, row.fence, started=False)
        for row in rows
    ]
    db.session.rollback()
    return items


def set_caps(agency, **caps):
    with transaction() as session:
        found = session.get_one(Agency, agency.id)
        for name, value in caps.items():
            setattr(found, name, value)


def come_to(items, at) -> list[str]:
    """What becomes of them, one after the other."""
    ends = []
    for item in items:
        try:
            bundle_mail.begin(item, at=at)
        except Postponed as postponed:
            ends.append(postponed.error)
        else:
            ends.append("leaves")
    return ends


def test_row_32_twenty_mails_a_day_to_one_recipient(agency, owner, clock):
    clock.to(clock.now.replace(hour=3, minute=0, second=0))
    assert agency.mails_per_recipient_day == 20
    items = about_to_leave(agency, owner, [PRIYA] * 24 + ["sam@cobalt-it.example"])

    assert come_to(items, clock.now) == ["leaves"] * 20 + ["cap_recipient"] * 4 + ["leaves"]
    clock.forward(hours=21)
    assert come_to(items[20:24], clock.now) == ["leaves"] * 4


def test_row_32_so_many_an_hour_for_an_agency_as_its_setting_says(agency, owner, clock):
    clock.to(clock.now.replace(hour=3, minute=0, second=0))
    assert agency.mails_per_hour == 1000
    set_caps(agency, mails_per_hour=7)
    items = about_to_leave(agency, owner, [f"client{number}@harbordental.example" for number in range(9)])

    assert come_to(items, clock.now) == ["leaves"] * 7 + ["cap_agency"] * 2
    clock.forward(hours=1)
    assert come_to(items[7:], clock.now) == ["leaves"] * 2


def test_row_32_what_a_full_cap_holds_back_counts_for_no_other(agency, owner, clock):
    """The agency's hour is full: the recipient's day has one less of those that left, and no more."""
    clock.to(clock.now.replace(hour=3, minute=0, second=0))
    set_caps(agency, mails_per_hour=1, mails_per_recipient_day=2)
    items = about_to_leave(agency, owner, [PRIYA] * 3)

    assert come_to(items, clock.now) == ["leaves", "cap_agency", "cap_agency"]
    clock.forward(hours=1)
    assert come_to(items[1:], clock.now) == ["leaves", "cap_recipient"]


@pytest.mark.parametrize(
    ("caps", "recipients"),
    [
        ({"mails_per_recipient_day": 3}, [PRIYA] * 8),
        ({"mails_per_hour": 3}, [f"client{number}@harbordental.example" for number in range(8)]),
    ],
    ids=["recipient", "agency"],
)
def test_row_32_eight_at_once_are_no_more_than_the_cap(agency, owner, clock, caps, recipients):
    clock.to(clock.now.replace(hour=3, minute=0, second=0))
    set_caps(agency, **caps)
    items, at = about_to_leave(agency, owner, recipients), clock.now

    ends = outcomes(at_once([lambda item=item: bundle_mail.begin(item, at=at) for item in items]))

    assert ends.count(Postponed) == 5, ends
