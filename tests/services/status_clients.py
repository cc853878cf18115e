"""What clients do to requests, in the machine that tries every order of events."""

from sqlalchemy import func, select

from app.extensions import db
from app.models import Connection, Health, Status
from app.services import connection_requests, handovers, intake
from tests.services.status_model import FLOW_LIFE, OPEN, Flow, Request
from tests.services.status_scene import Scene
from tests.support.rows import rows_of


class ClientActs(Scene):
    """Each is told by a number which request it is done to, and who does it or is named."""

    def decline(self, number: int, _person: str) -> None:
        it = self.model.pick(number, Status.PENDING)
        if it.status is Status.DECLINED:  # once more is no error, and changes nothing
            before = rows_of(self.agency)
            connection_requests.decline(self.row(it), reason="again")
            assert rows_of(self.agency) == before
            return
        legal = it.status is Status.PENDING
        self.attempt(lambda: connection_requests.decline(self.row(it), reason="Not ours."), legal=legal)
        if legal:
            self.model.decline(it)

    def name_colleague(self, number: int, person: str) -> None:
        it = self.model.pick(number, *OPEN)
        bundle = self.row(it).bundle
        if bundle is None:
            return
        legal = bundle.closed_at is None and self.model.may_hand_over(it, person, self.now)
        if self.attempt(lambda: handovers.ask(bundle, it.id, person), legal=legal):
            self.model.name(it, person, self.now)

    def take_back(self, number: int, _person: str) -> None:
        it = self.pick_named(number)
        bundle = self.row(it).bundle
        if bundle is None:
            return
        legal = it.named is not None and bundle.closed_at is None and it.whose in self.model.alive(self.now)
        self.attempt(lambda: handovers.take_back(bundle, it.id), legal=legal)
        if legal:
            self.model.end_wait(it, "request.hand_over_taken_back")

    def connect(self, number: int, _person: str) -> None:
        """Open the link and press “Connect”; the way back is a rule of its own."""
        it = self.model.pick(number, *OPEN)
        bundle = self.row(it).bundle
        if bundle is None:
            return
        whose = self.workspace_numbers[bundle.workspace_id], bundle.recipient
        is_present = bundle.closed_at is None
        opens = self.browser.open(bundle).bundle is not None
        assert opens is (is_present and whose in self.model.alive(self.now))
        if opens and (state := self.attempt(lambda: self.browser.start(self.row(it)), legal=it.status in OPEN)):
            self.flows.append(Flow(it, it.generation, state, self.now + FLOW_LIFE))

    def come_back(self, number: int, person: str) -> None:
        if not self.flows:
            return
        flow = self.flows[number % len(self.flows)]
        it, exchanges, held = flow.request, self.provider.exchanges, self.connections()
        self.provider.account = person
        assert self.browser.finish(flow.state) is not None
        is_taken = not flow.is_spent and flow.ends_at > self.now
        flow.is_spent = True
        assert self.provider.exchanges == exchanges + is_taken
        if not is_taken or not self.model.may_keep(flow, person):
            assert self.connections() == held
            return
        approved = self.connection_of(it, person)
        self.model.approve(approved, person)
        if it.status is not Status.FULFILLED:
            assert self.row(it).connection_id == approved
            self.model.fulfil(it, approved)

    def connection_of(self, it: Request, account: str) -> int:
        """The one connection that the workspace has of an account."""
        mine = Connection.workspace_id == self.workspaces[it.workspace].id, Connection.account == account
        return db.session.scalars(select(Connection.id).where(*mine, Connection.app_key == self.row(it).app_key)).one()

    def connections(self) -> int:
        return db.session.scalar(select(func.count(Connection.id))) or 0

    def use_offer(self, number: int, _person: str) -> None:
        """Use for one request the account that the same person connected for another."""
        it = self.model.pick(number, *OPEN)
        row = self.row(it)
        if row.bundle is None or row.bundle.recipient != it.recipient:
            return
        given = (
            select(Connection)
            .where(Connection.workspace_id == row.workspace_id, Connection.app_key == row.app_key)
            .where(Connection.owner_email == it.recipient, Connection.health == Health.ACTIVE)
        )
        offered = db.session.scalar(given.order_by(Connection.id.desc()).limit(1))
        legal = it.status in OPEN and offered is not None
        chosen = offered.public_id if offered else "a" * 20
        self.attempt(lambda: intake.use_offer(row.bundle, it.id, chosen), legal=legal)
        if legal:
            assert self.row(it).connection_id == offered.id
            self.model.fulfil(it, offered.id)
