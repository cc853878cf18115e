"""The setting in which something is done to a connection, a member or a request: an agency for each try, made alike."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from app.database import transaction
from app.models import ConnectionRequest, Health
from app.services import handovers
from tests import factories
from tests.faults.acts import AGREE, OUTSIDE, TO_WHO_WAS_MAILED
from tests.faults.killing import House, Office, office, rows
from tests.support.rows import Rows, changes, rows_of

OWNER, COLLEAGUE = "priya", "sam"


@dataclass
class Scene:
    """Somebody who owns a broken connection and is asked for another app; and a colleague who was mailed, or not."""

    office: Office
    act: str
    before: Rows

    @property
    def given(self) -> Mapping[str, object]:
        address = self.office.address(COLLEAGUE)
        return {"agency": self.office.agency_id, "name": self.act, "colleague": address}

    def look(self) -> Counter:
        """What has changed, counted."""
        with self.office.inside() as (owner, _):
            return changes(self.before, rows_of(owner.agency))


def scene(house: House, act: str) -> Scene:
    """The setting in which an act is done."""
    here = office(house)
    with here.inside() as (owner, workspace):
        address = here.address(OWNER)
        factories.make_member(workspace, address)
        held = factories.make_connection(workspace, "northdesk", owner_email=address, health=Health.ERROR)
        using = factories.make_workflow(workspace, owner, ("northdesk", "find_ticket"), name="Waiting")
        with transaction():
            using.slots[0].connection_id = held.id
        workflow = factories.make_workflow(workspace, owner, ("postwave", "new_contact"))
        factories.make_sent(workflow, owner, recipient=address)
        if act == TO_WHO_WAS_MAILED:
            another = factories.make_workflow(workspace, owner, ("farport", "upload_file"), name="Another")
            factories.make_sent(another, owner, recipient=here.address(COLLEAGUE))
        if act == AGREE:
            (asked,) = rows(ConnectionRequest)
            handovers.ask(asked.bundle, asked.public_id, OUTSIDE)
    if act == TO_WHO_WAS_MAILED:
        house.work()
    with here.inside() as (owner, _):
        return Scene(here, act, rows_of(owner.agency))
