"""What staff do to requests, in the machine that tries every order of events."""

import hypothesis.strategies as st
from hypothesis.stateful import initialize

from app.database import transaction
from app.extensions import db
from app.models import Connection, Health, Status
from app.services import connection_requests, fulfilment, handovers, members, sending, workflows
from app.services.audit import SYSTEM
from tests import factories
from tests.services.status_model import LIVE, OPEN
from tests.services.status_scene import PEOPLE, Scene


class StaffActs(Scene):
    """Each is told by a number which request or slot it is done to, and who is to be asked."""

    @initialize(people=st.tuples(*[st.sampled_from(PEOPLE)] * 4), sent=st.sets(st.integers(0, 2), min_size=2))
    def ask(self, people: tuple[str, ...], sent: set[int]) -> None:
        """Begin where most of the table lies: everything asked, most of it sent."""
        for slot, person in enumerate(people):
            self.queue(slot, person)
        for workflow in sent:
            self.dispatch(workflow, publish=False)
            self.note_links()

    def queue(self, slot: int, person: str) -> None:
        slot %= 4
        row, legal = self.slots[slot], self.model.may_queue(slot)
        if made := self.attempt(lambda: factories.make_request(row, self.by, recipient=person), legal=legal):
            self.note(made)

    def send(self, number: int, _person: str) -> None:
        self.dispatch(number % 3, publish=False)

    def publish(self, number: int, _person: str) -> None:
        self.dispatch(number % 3, publish=True)

    def dispatch(self, workflow: int, *, publish: bool) -> None:
        row, queued = self.workflows[workflow], self.model.queued(workflow)
        mine = [number for number, slot in enumerate(self.slots) if slot.workflow_id == row.id]
        act = workflows.publish if publish else sending.send
        sent = self.attempt(lambda: act(row, by=self.by), legal=not publish or self.model.may_publish(mine))
        if sent:
            assert (sent.recipients, sent.requests) == (len({each.recipient for each in queued}), len(queued))
            self.model.dispatch(queued, self.now)
            self.model.versions[workflow] += publish
            self.model.did("workflow.published", publish)

    def resend(self, number: int, _person: str) -> None:
        it = self.model.pick(number, *OPEN)
        legal = self.model.may_resend(it, self.now)
        if self.attempt(lambda: sending.resend(self.agency, it.id, by=self.by), legal=legal):
            self.model.resend(it, self.now)

    def cancel(self, number: int, _person: str) -> None:
        it = self.model.pick(number, *LIVE, Status.DECLINED)
        legal = self.model.may_cancel(it)
        if self.attempt(lambda: connection_requests.cancel(self.agency, it.id, by=self.by), legal=legal):
            self.model.cancel(it)

    def move(self, number: int, person: str) -> None:
        it = self.model.pick(number, *LIVE)
        legal = self.model.may_move(it, person)
        change = lambda: sending.change_recipient(self.agency, it.id, recipient=person, by=self.by)  # noqa: E731
        if self.attempt(change, legal=legal):
            self.model.move(it, person, self.now)

    def request_again(self, number: int, _person: str) -> None:
        it = self.model.pick(number, Status.CANCELLED, Status.REVOKED)
        legal = self.model.may_ask_again(it)
        if made := self.attempt(lambda: connection_requests.request_again(self.agency, it.id, by=self.by), legal=legal):
            assert (made.public_id != it.id, made.recipient, made.resends) == (True, it.recipient, 0)
            self.note(made)

    def change_membership(self, number: int, person: str) -> None:
        workspace = number % 2
        row, known = self.workspaces[workspace], self.model.members.pop((workspace, person), None)
        if known:
            members.remove(row, known, by=self.by)
        else:
            added = members.add(row, name="Somebody", email=person, by=self.by)
            self.model.members[workspace, person] = added.public_id

    def revoke(self, number: int, _person: str) -> None:
        if not (held := sorted(set(self.model.filled.values()))):
            return
        connection = db.session.get_one(Connection, held[number % len(held)])
        with transaction():
            connection.health, connection.revoked_at = Health.REVOKED, self.now
            fulfilment.revoke_for(connection, by=SYSTEM, at=self.now)
        self.model.revoke(connection.id)

    def approve_hand_over(self, number: int, person: str) -> None:
        it = self.pick_named(number)
        to = it.named or person
        legal = self.model.may_approve(it)
        if self.attempt(lambda: handovers.approve(self.agency, it.id, to=to, by=self.by), legal=legal):
            self.model.hand_over(it, to, self.now)

    def refuse_hand_over(self, number: int, person: str) -> None:
        it = self.pick_named(number)
        to, legal = it.named or person, it.named is not None
        if self.attempt(lambda: handovers.refuse(self.agency, it.id, to=to, by=self.by), legal=legal):
            self.model.end_wait(it, "request.hand_over_refused")
