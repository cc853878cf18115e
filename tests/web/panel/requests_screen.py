"""What the tests of requests on the panel look for."""

from app import clock as app_clock
from app.database import transaction
from app.extensions import db
from app.models import OutboxItem
from app.services import fulfilment
from app.services.audit import SYSTEM
from tests.support.staff_browser import one, page

PRIYA, DANA = "priya.nair@harbordental.example", "dana.reyes@harbordental.example"


STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))


def words(tag):
    return " ".join(tag.get_text(" ").split())


def group(answer, recipient=PRIYA):
    found = [each for each in page(answer).select(".gh-recipient") if words(one(each, "h3")) == recipient]
    assert len(found) == 1, (recipient, [words(one(each, "h3")) for each in page(answer).select(".gh-recipient")])
    return found[0]


def row(answer, asked):
    return one(page(answer), f"#request-{asked.public_id}")


def label(answer, asked):
    return words(one(row(answer, asked), ".gh-status"))


def mails(agency):
    kept = db.select(OutboxItem).where(OutboxItem.kind == "bundle.sent", OutboxItem.agency_id == agency.id)
    return db.session.scalars(kept.order_by(OutboxItem.id)).all()


def settle(asked, connection):
    with transaction():
        done = fulfilment.fulfil(asked, connection, generation=asked.generation, at=app_clock.now(), by=SYSTEM)
    assert done


def change(row_, **values):
    with transaction():
        for name, value in values.items():
            setattr(row_, name, value)
