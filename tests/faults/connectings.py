"""A client who connects an app while the web process is killed: what there was before, after, and in the end."""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2

from app import clock, runtime
from app.database import transaction
from app.models import (
    AuditEvent,
    Bundle,
    Connection,
    ConnectionRequest,
    Flow,
    FlowStatus,
    OutboxItem,
    OutboxState,
    Secret,
    Slot,
    Status,
)
from app.services import connection_requests, grants, link_tokens, sealed, secrets, sending
from app.vault import VaultError, open_
from tests import factories
from tests.faults.killing import House, Office, office, rows
from tests.support.consent import consent
from tests.support.forms import csrf_token

Look = Mapping[str, Any]
NOTHING_YET = (FlowStatus.STARTED, FlowStatus.CLAIMED)  # what a flow is whose end was not written


@dataclass
class Connecting:
    """A client with a link, and their browser. `grant` is what they tick at the provider, all unless it says so."""

    office: Office
    app_key: str
    request_id: str
    web: httpx2.Client
    grant: Collection[str] | None = None
    deny: bool = False
    meanwhile: Callable[["Connecting"], None] = lambda _: None
    codes: int = 0
    answer: int | None = None  # what came when the browser was last sent back
    page: str = ""
    tokens: list[str] = field(default_factory=list)  # of grants that were seen held

    @property
    def house(self) -> House:
        return self.office.house

    def start(self) -> str | None:
        """Open the link if that was not done yet, and press “Connect”; returns the provider's address, if one comes."""
        with contextlib.suppress(httpx2.TransportError):
            if not self.page:
                with self.office.inside():
                    token = link_tokens.of(rows(Bundle)[-1])
                self.page = self.web.get(f"/l/{token}").headers["Location"]
            answer = self.web.post(
                f"{self.page}/requests/{self.request_id}/start", data={"csrf_token": self._csrf()}, headers=HTMX
            )
            assert answer.status_code == 200, (answer.status_code, answer.text[:500])
            return answer.headers["HX-Redirect"]
        return None

    def agree(self, url: str, *, all_of_it: bool = False) -> str:
        """Decide at the provider; returns the address that the browser is sent back to."""
        self.codes += 1
        grant, deny = (None, False) if all_of_it else (self.grant, self.deny)
        given = consent(url, self.house.provider.people["ann"], grant=grant, deny=deny)
        path = urlsplit(given.pop("redirect_uri")).path
        return f"{path}?{urlencode(given)}"

    def come_back(self, address: str) -> int | None:
        """Follow the provider's redirect; the status that came, or none. A browser goes on once it has the head of an answer."""
        self.answer = None
        with contextlib.suppress(httpx2.TransportError), self.web.stream("GET", address) as answer:
            self.answer = answer.status_code
        return self.answer

    def _csrf(self) -> str:
        return csrf_token(self.house.app, self.page, dict(self.web.cookies), url=self.house.url)

    # What there is

    def look(self) -> Look:
        """All that a callback changes but the flows, with names in place of ids."""
        with self.office.inside():
            return {
                "requests": [
                    (each.status, each.transition, each.notice, bool(each.connection))
                    for each in rows(ConnectionRequest)
                ],
                "connections": [
                    (each.app_key, each.account, each.health, sorted(each.scopes)) for each in rows(Connection)
                ],
                "slots": [bool(each.connection_id) for each in rows(Slot)],
                "secrets": len(rows(Secret)),
                "bundles": [bool(each.closed_at) for each in rows(Bundle)],
                "discards": len(rows(OutboxItem, OutboxItem.kind == grants.KIND)),
                "acts": Counter(each.type for each in rows(AuditEvent) if each.type.partition(".")[0] in ACTS),
            }

    @property
    def flows(self) -> list[FlowStatus]:
        with self.office.inside():
            return [flow.status for flow in rows(Flow)]

    @property
    def is_connected(self) -> bool:
        with self.office.inside():
            return rows(ConnectionRequest)[-1].status is Status.FULFILLED

    @property
    def is_wanted(self) -> bool:
        """Whether the page still offers to connect it."""
        with self.office.inside():
            return rows(ConnectionRequest)[-1].status in (Status.PENDING, Status.DECLINED)

    @property
    def kept(self) -> int:
        """How many grants of the provider's are stored, or were given back."""
        with self.office.inside():
            given_back = len(rows(AuditEvent, AuditEvent.type == "grant.discarded"))
            return given_back + sum(secrets.reveal(each)["access_token"] != OLD for each in rows(Connection))

    def left_over(self) -> list[str]:
        """What was to be given back and was not, once the worker has done all."""
        with self.office.inside():
            discards, held = rows(OutboxItem, OutboxItem.kind == grants.KIND), rows(Flow, Flow.grant.is_not(None))
            told = len(rows(AuditEvent, AuditEvent.type == "grant.discarded"))
        wrongs = [f"a discard is {each.state}" for each in discards if each.state is not OutboxState.DONE]
        wrongs += ["a grant is still held" for _ in held]
        wrongs += ["a grant still works" for token in self.tokens if self.house.provider.call_api(token)[0] == 200]
        return wrongs + ([f"{len(discards)} discards told {told} times"] if len(discards) != told else [])

    def wrongs(self) -> list[str]:
        """What does not hold together, whenever it is looked at."""
        wrongs = []
        with self.office.inside():
            connections, kept = rows(Connection), rows(Secret)
            if len(kept) != len(connections) or {each.secret_id for each in connections} != {each.id for each in kept}:
                wrongs.append(f"{len(connections)} connections and {len(kept)} secrets")
            for connection in connections:
                try:
                    token = secrets.reveal(connection)["access_token"].reveal()
                except (VaultError, KeyError) as error:
                    wrongs.append(f"a secret does not open: {error!r}")
                else:
                    if token != OLD and self.house.provider.call_api(token)[0] != 200:
                        wrongs.append("what is stored does not work")
            for asked in rows(ConnectionRequest):
                works = asked.connection is not None and asked.slot.connection_id == asked.connection_id
                if works != (asked.status is Status.FULFILLED):
                    wrongs.append(f"half connected: {asked.status}, {asked.connection_id}, {asked.slot.connection_id}")
            self.tokens += [token for flow in rows(Flow) if flow.grant and (token := _held(flow)) not in self.tokens]
        return wrongs


ACTS = ("connection", "request", "grant")
HTMX = {"HX-Request": "true", "Sec-Fetch-Site": "same-origin"}
OLD = "the token of before"


def _held(flow: Flow) -> str:
    return str(json.loads(open_(runtime.current().keyring, flow.grant, sealed.grant_place(flow)))["access_token"])


@contextlib.contextmanager
def asked_for(house: House, app_key: str, action: str) -> Iterator[Connecting]:
    """Somebody who was asked to connect an app; their browser is closed at the end."""
    here = office(house)
    with here.inside() as (owner, workspace):
        workflow = factories.make_workflow(workspace, owner, (app_key, action))
        asked = factories.make_request(workflow.slots[0], owner, recipient=here.address("ann"))
        sending.send(workflow, by=owner)
        request_id = asked.public_id
    own = httpx2.HTTPTransport(local_address=f"127.1.{here.number // 250}.{here.number % 250 + 1}", trust_env=False)
    with httpx2.Client(base_url=house.url, trust_env=False, timeout=60, transport=own) as web:
        yield Connecting(here, app_key, request_id, web)  # from an address of its own: openings are counted by address


@contextlib.contextmanager
def connecting(house: House) -> Iterator[Connecting]:
    """Somebody who connects an account for the first time."""
    with asked_for(house, "northdesk", "find_ticket") as scene:
        yield scene


@contextlib.contextmanager
def connecting_again(house: House) -> Iterator[Connecting]:
    """Somebody whose account this workspace has a connection of already: it is updated."""
    with asked_for(house, "northdesk", "find_ticket") as scene:
        with scene.office.inside() as (_, workspace):
            known = {"issuer": house.provider.base_url, "external_id": house.provider.people["ann"].id}
            held = factories.make_connection(workspace, "northdesk", **known, account="ann@client.example")
            with transaction():
                secrets.keep(held, {"access_token": OLD, "refresh_token": None}, at=clock.now())
        yield scene


@contextlib.contextmanager
def granting_too_little(house: House) -> Iterator[Connecting]:
    """Somebody who does not tick all that is asked."""
    with asked_for(house, "postwave", "send_campaign") as scene:
        scene.grant = ("campaigns.read",)
        yield scene


@contextlib.contextmanager
def saying_no(house: House) -> Iterator[Connecting]:
    """Somebody who denies it at the provider."""
    with asked_for(house, "northdesk", "find_ticket") as scene:
        scene.deny = True
        yield scene


@contextlib.contextmanager
def too_late(house: House) -> Iterator[Connecting]:
    """Somebody whose request is cancelled while they are at the provider: what comes is given back."""
    with asked_for(house, "northdesk", "find_ticket") as scene:
        scene.meanwhile = _cancel
        yield scene


def _cancel(scene: Connecting) -> None:
    with scene.office.inside() as (owner, _):
        connection_requests.cancel(owner.agency, scene.request_id, by=owner)


SCENES = {
    "connect": connecting,
    "connect the same account again": connecting_again,
    "grant too little": granting_too_little,
    "say no": saying_no,
    "come after it was cancelled": too_late,
}


@contextlib.contextmanager
def thrown_away(house: House) -> Iterator[Connecting]:
    """Somebody who came back too late: their grant waits to be given back, and nothing else does."""
    with too_late(house) as scene:
        house.work()
        with house.served():
            url = scene.start() or ""
            scene.meanwhile(scene)
            assert scene.come_back(scene.agree(url)) == 303
        assert not scene.wrongs()
        assert len(scene.tokens) == 1
        yield scene
