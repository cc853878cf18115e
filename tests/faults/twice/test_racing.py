"""What overtakes a callback: each order of the two has one winner and one outcome, tried at every moment of the callback."""

import itertools
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select

from app.errors import Conflict
from app.extensions import db
from app.models import Channel, Connection, ConnectionRequest, Staff
from app.services import connection_requests, handovers, sending, settlement, workflows
from app.tenancy import enter_tenant
from app.worker.handlers import HANDLERS
from app.worker.turns import Turns
from tests import factories
from tests.faults.twice.clients import Clients
from tests.faults.twice.conftest import Place
from tests.support.clock import Clock

pytestmark = pytest.mark.both_databases

SAM, COLLEAGUE = "sam@cobalt-it.example", "colleague@harbordental.example"
SLACK = ("slack", "send_channel_message")
GRANTS = next(handler for handler in HANDLERS if handler.kind == "grant.discard")
_numbers = itertools.count(1)
Event = Callable[[ConnectionRequest, Staff], None]


class Outcome(NamedTuple):
    """Whether the event was let happen; how the request stands; what became of what was issued; what the browser sees."""

    event: str
    request: str
    connection: str
    issued: str
    sees: str

    @property
    def winner(self) -> str:
        return "the callback wins" if self.connection == "connected" else "the callback loses"

    def __str__(self) -> str:
        return "; ".join((self.winner, f"event {self.event}", f"request {self.request}", *self[2:]))


# ── What may happen meanwhile ───────────────────────────────────────────────


class Events:
    """Each as another browser, or the clock, would bring it about."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def cancel(self, asked: ConnectionRequest, by: Staff) -> None:
        connection_requests.cancel(by.agency, asked.public_id, by=by)

    def expiry_of_the_link(self, asked: ConnectionRequest, _: Staff) -> None:
        self.clock.to(asked.bundle.expires_at + timedelta(seconds=1))

    def end_of_the_quarter_of_an_hour(self, _: ConnectionRequest, __: Staff) -> None:
        self.clock.forward(minutes=15, seconds=1)

    def resend(self, asked: ConnectionRequest, by: Staff) -> None:
        sending.resend(by.agency, asked.public_id, by=by)

    def fresh_send(self, asked: ConnectionRequest, by: Staff) -> None:
        more = factories.make_workflow(asked.workflow.workspace, by, ("typeform", "new_response"), name="Forms")
        factories.make_sent(more, by, recipient=asked.recipient)

    def change_of_recipient(self, asked: ConnectionRequest, by: Staff) -> None:
        sending.change_recipient(by.agency, asked.public_id, recipient=SAM, by=by)

    def hand_over(self, asked: ConnectionRequest, _: Staff) -> None:
        handovers.ask(asked.bundle, asked.public_id, COLLEAGUE)

    def hand_over_that_waits(self, asked: ConnectionRequest, _: Staff) -> None:
        handovers.ask(asked.bundle, asked.public_id, SAM)

    def hand_over_approved(self, asked: ConnectionRequest, by: Staff) -> None:
        handovers.ask(asked.bundle, asked.public_id, SAM)
        handovers.approve(by.agency, asked.public_id, to=SAM, by=by)

    def publish(self, asked: ConnectionRequest, by: Staff) -> None:
        workflows.publish(asked.workflow, by=by)

    def decline(self, asked: ConnectionRequest, _: Staff) -> None:
        connection_requests.decline(asked, reason="")


class Race:
    """A client who comes back from the provider, and what happens at some moment of that."""

    def __init__(self, place: Place, clock: Clock, *, starts: timedelta) -> None:
        number = next(_numbers)
        clients = Clients(f"Racing {db.engine.dialect.name} {number}")
        self.place, self.happening = place, "never"
        self.asked = clients.ask(number, SLACK)
        clock.to(self.asked.sent_at + starts)
        self.code, self.back = clients.approve(self.asked, number)
        self._ids = (clients.agency.id, self.asked.id, clients.owner.id)

    def happen(self, event: Event) -> None:
        """Let it happen as another process would bring it about, in a session of its own."""
        agency_id, asked_id, owner_id = self._ids
        with self.place.app.app_context():
            enter_tenant(agency_id)
            try:
                event(db.session.get_one(ConnectionRequest, asked_id), db.session.get_one(Staff, owner_id))
                self.happening = "let happen"
            except Conflict:
                self.happening = "refused"
            finally:
                db.session.remove()

    def come_back(self) -> None:
        self.web = self.place.app.test_client()
        for name, value in self.back.cookies.items():
            self.web.set_cookie(name, value)
        self.landed = self._get(self.back.path, query_string=self.back.query)

    def _get(self, path: str, **more):
        db.session.rollback()
        with self.place.app.app_context():
            return self.web.get(path, **more)

    def outcome(self) -> Outcome:
        sees = self._seen()
        while Turns(self.place.app, threading.Event()).take(GRANTS):
            pass
        db.session.rollback()
        made = db.session.scalars(select(Connection).where(Connection.workspace_id == self.asked.workspace_id)).all()
        revoked = "revoked there" if self.code in self.place.provider.revoked else "kept"
        return Outcome(
            event=self.happening,
            request=self.asked.status.value,
            connection=["no connection", "connected", "two"][len(made)],
            issued=revoked if self.code in self.place.provider.issued else "nothing issued",
            sees=sees,
        )

    def _seen(self) -> str:
        """The page that the callback leads to, as far as it is about the request."""
        assert self.landed.status_code == 303
        answer = self._get(self.landed.headers["Location"])
        page = BeautifulSoup(answer.text, "html.parser")
        if answer.status_code == 404:
            return "“This link can't be opened”"
        parts = page.select(f"#app-{self.asked.public_id} :is(.gh-status, .gh-note), .gh-note strong")
        return ", ".join(f"“{each.get_text(' ', strip=True)}”" for each in parts)


MOMENTS = ("before the claim", "between claim and exchange", "between exchange and storing", "after storing")
CONNECTED, DEAD = "“Connected”", "“This link can't be opened”"
WITHDRAWN = "“Quayside is no longer asked for”"
TRY_AGAIN = "“Signing in to Quayside took longer than 15 minutes. Nothing was connected; please try again.”"
STAFF_WINS = Outcome("let happen", "cancelled", "no connection", "revoked there", WITHDRAWN)
BOTH = Outcome("let happen", "fulfilled", "connected", "kept", CONNECTED)
BOTH_ON_A_DEAD_LINK = BOTH._replace(sees=DEAD)
TOO_LATE = BOTH._replace(event="refused")
MOVED = STAFF_WINS._replace(request="pending")
RAN_OUT = Outcome("let happen", "pending", "no connection", "nothing issued", f"“Awaiting authorisation”, {TRY_AGAIN}")

# What happens, and what comes of it at each moment of the callback. Who loses: a callback makes no connection, staff are refused.
TABLE: dict[str, tuple[Outcome, Outcome, Outcome, Outcome]] = {
    "cancel": (STAFF_WINS, STAFF_WINS, STAFF_WINS, TOO_LATE),
    "change of recipient": (MOVED, MOVED, MOVED, TOO_LATE),
    "hand-over": (MOVED, MOVED, MOVED, TOO_LATE),
    "hand-over that waits": (BOTH, BOTH, BOTH, TOO_LATE),
    "hand-over approved": (MOVED, MOVED, MOVED, TOO_LATE),
    "decline": (BOTH, BOTH, BOTH, TOO_LATE),
    "resend": (BOTH_ON_A_DEAD_LINK, BOTH_ON_A_DEAD_LINK, BOTH_ON_A_DEAD_LINK, TOO_LATE),
    "fresh send": (BOTH_ON_A_DEAD_LINK, BOTH_ON_A_DEAD_LINK, BOTH_ON_A_DEAD_LINK, BOTH_ON_A_DEAD_LINK),
    "publish": (BOTH, BOTH, BOTH, BOTH),
    "expiry of the link": (BOTH_ON_A_DEAD_LINK, BOTH_ON_A_DEAD_LINK, BOTH_ON_A_DEAD_LINK, BOTH_ON_A_DEAD_LINK),
    "end of the quarter of an hour": (RAN_OUT, BOTH, BOTH, BOTH),
}


def run(place: Place, clock: Clock, event: str, moment: str) -> Outcome:
    """A callback with that event at that moment of it."""
    near_the_end = Channel.LINK.lifetime - timedelta(minutes=5)
    race = Race(place, clock, starts=near_the_end if event == "expiry of the link" else timedelta(minutes=10))
    happen = partial(race.happen, getattr(Events(clock), event.replace(" ", "_").replace("-", "_")))
    if moment == "before the claim":
        happen()
    elif moment != "after storing":
        place.provider.once("token" if moment == "between claim and exchange" else "me", happen)
    race.come_back()
    if moment == "after storing":
        happen()
    return race.outcome()


def test_what_overtakes_a_callback_has_one_winner(place, proof, clock, database_kind):
    """Each event at four moments of a callback, over HTTP to a provider that holds its answer until the event is through: who
    won; whether the event was let happen; the request; the connection; the token that was issued; what the browser sees.
    """
    cells = list(itertools.product(TABLE, MOMENTS))
    if not proof.full:  # some here, others on the other database
        proof.random.shuffle(cells)
        cells = cells[database_kind == "sqlite" :: 4]
    found = {(event, moment): run(place, clock, event, moment) for event, moment in cells}

    assert found == {(event, moment): TABLE[event][MOMENTS.index(moment)] for event, moment in cells}
    proof.title = f"Twice: what overtakes a callback ({database_kind})"
    for (event, moment), outcome in found.items():
        proof.figure(f"{event}, {moment}", outcome)


@pytest.mark.parametrize("event", ["cancel", "change of recipient", "hand-over"])
def test_a_check_that_is_gone_is_missed(place, clock, monkeypatch, event):
    """Were nobody to ask whether the request is still asked of the same person, the table would show another outcome."""
    monkeypatch.setattr(settlement, "_is_wanted", lambda *_: True)

    assert run(place, clock, event, "between claim and exchange") != TABLE[event][1]
