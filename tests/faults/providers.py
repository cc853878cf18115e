"""What a provider may do wrong, what must come of it, and how each is tried: from pressing “Connect” to pressing it again."""

import contextlib
import itertools
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.extensions import db
from app.mailer import bundle_sent
from app.models import ConnectionRequest, Flow, OutboxItem, OutboxState, Staff, Status, Workspace
from app.oauth import documents
from app.tenancy import across_tenants
from app.worker import Worker
from tests import factories
from tests.faults.rogue import CANARY, SIGNING, TRAP, Rogue, Script, endless, hang, raw, say, slow, trickle, zipped
from tests.support.clock import Clock
from tests.support.staff_browser import StaffBrowser
from tests.support.visitor import Visitor

METADATA, KEYS = "/oidc/.well-known/openid-configuration", "/oidc/jwks"
PATHS = {"token": "/token", "identity": "/me", "metadata": METADATA, "keys": KEYS}
EVIL = f"<script>{CANARY}</script>\u202e\x00\x1b[31m {CANARY}"
HTML = f"<html><title>{CANARY}</title><script>{CANARY}</script></html>"
AWAY = "could not be reached, or is busy. Nothing was connected, and you can try again."
WRONG = "answered with an error. Nothing was connected, and you can try again."
CONNECTED = ""
BIG = frozenset({"ten megabytes", "a body without end", "a gzip bomb", "deep JSON", "headers without end"})
# What is a yes to a revocation, whatever else is said (RFC 7009, section 2.2).
TAKEN = frozenset({"HTML with 200", "a form with 200", "nothing with 200", "204", "broken JSON", "deep JSON", "a list"})
REVOKE = 5.0  # seconds for one turn of the worker on a busy machine, with the provider's deadline scaled down
ROOM = 12 * 1024 * 1024  # bytes of memory that one answer may cost
PAUSE = 120  # seconds that are asked for
PAUSED = re.compile(r"asked for a pause\. Try again in [23] minutes\.")  # kept to the next whole minute
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Row:
    """A fault at an endpoint, and the sentence that the client reads afterwards; none when all goes well."""

    name: str
    where: str
    does: Callable[[Rogue, Clock], Script] | None
    says: str
    app: str
    pauses: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.name}"


def _everywhere(name: str, does: Callable[[Rogue, Clock], Script], says: str, **options: object) -> list[Row]:
    return [
        Row(name, where, does, str(options.get(where, says)), _app_of(where), bool(options.get("pauses")))
        for where in PATHS
    ]


def _app_of(where: str) -> str:
    return "plain" if where in ("token", "identity") else "oidc"


def _always(script: Script) -> Callable[[Rogue, Clock], Script]:
    return lambda _rogue, _clock: script


def _redirect(status: int) -> Callable[[Rogue, Clock], Script]:
    return lambda rogue, _clock: say(status, "", Location=rogue.trap_url)


def _dated(_rogue: Rogue, clock: Clock) -> Script:
    later = format_datetime(clock.now + timedelta(seconds=PAUSE), usegmt=True)
    return say(429, HTML, "text/html", Retry_After=later)


ERROR = dict.fromkeys(("error", "error_description", "error_uri", "message", "token_type", "scope", "id", "name"), EVIL)
KEY = SIGNING.as_dict(private=False)
GRANT = {"access_token": "a-token", "scope": "chat.read chat.write"}
ACCOUNT = {"id": "77", "email": "ann@client.example"}

ROWS = (
    *_everywhere("500", _always(say(500, HTML, "text/html")), AWAY),
    *_everywhere("502", _always(say(502, HTML, "text/html")), AWAY),
    *_everywhere("503, later", _always(say(503, HTML, Retry_After=str(PAUSE))), AWAY, pauses=True),
    *_everywhere("429, later", _always(say(429, ERROR, Retry_After=str(PAUSE))), AWAY, pauses=True),
    *_everywhere("429, at a date", _dated, AWAY, pauses=True),
    *_everywhere("429, nonsense", _always(say(429, HTML, Retry_After=CANARY)), AWAY),
    *_everywhere("401", _always(say(401, ERROR)), WRONG),
    *_everywhere("an error in every field", _always(say(400, ERROR)), WRONG),
    *_everywhere("HTML with 200", _always(say(200, HTML, "text/html")), WRONG),
    *_everywhere("a form with 200", _always(say(200, f"access_token=a&x={CANARY}", "text/plain")), WRONG),
    *_everywhere("nothing with 200", _always(say(200)), WRONG),
    *_everywhere("204", _always(say(204)), WRONG),
    *_everywhere("broken JSON", _always(say(200, f'{{"access_token": "{CANARY}')), WRONG),
    *_everywhere("deep JSON", _always(say(200, '{"a":' * 100_000)), WRONG),
    *_everywhere("a list", _always(say(200, [CANARY])), WRONG),
    *_everywhere("ten megabytes", _always(say(200, {"access_token": "a", "id": CANARY, "x": "y" * 10_000_000})), WRONG),
    *_everywhere("a body without end", _always(endless), WRONG),
    *_everywhere("a gzip bomb", _always(zipped(100_000_000)), WRONG),
    *_everywhere("half a gzip", _always(say(200, b"\x1f\x8b\x08", Content_Encoding="gzip")), WRONG),
    *_everywhere("301", _redirect(301), WRONG),
    *_everywhere("302", _redirect(302), WRONG),
    *_everywhere("307", _redirect(307), WRONG),
    *_everywhere("no HTTP", _always(raw(b"SSH-2.0-" + CANARY.encode() + b"\r\n")), WRONG),
    *_everywhere("headers without end", _always(raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000)), WRONG),
    *_everywhere("hangs", _always(hang), AWAY),
    *_everywhere("trickles its headers", _always(trickle(b"HTTP/1.1 200 OK\r\nX: ")), AWAY),
    *_everywhere("trickles its body", _always(trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")), AWAY),
    *_everywhere("hangs up", _always(raw(b"")), AWAY),
    Row("slow", "token", _always(slow(0.2, say(200, GRANT))), CONNECTED, "plain"),
    Row("slow", "identity", _always(slow(0.2, say(200, ACCOUNT))), CONNECTED, "plain"),
    Row("a real form", "token", _always(say(200, "access_token=a&scope=chat.read+chat.write", "application/x-www-form-urlencoded")), CONNECTED, "plain"),
    Row("odd words beside a good token", "token", _always(say(200, {**ERROR, **GRANT, "error": "", "scope": f"chat.read chat.write <script>{CANARY}"})), CONNECTED, "plain"),
    Row("an odd id", "identity", _always(say(200, {**ACCOUNT, "id": EVIL})), WRONG, "plain"),
    Row("an endless id", "identity", _always(say(200, {**ACCOUNT, "id": CANARY * 100})), WRONG, "plain"),
    Row("odd words beside a good account", "identity", _always(say(200, {**ERROR, **ACCOUNT})), CONNECTED, "plain"),
    Row("two thousand keys before the right one", "keys", _always(say(200, {"keys": [KEY | {"kid": CANARY}] * 2000 + [KEY]})), WRONG, "oidc"),
    *(Row("nobody listens", where, None, AWAY, f"closed-{where}") for where in ("token", "identity", "metadata")),
    *(Row("no such name", where, None, AWAY, f"nameless-{where}") for where in ("token", "identity", "metadata")),
    *(Row("wrong certificate", where, None, AWAY, f"untrusted-{where}") for where in ("token", "identity", "metadata")),
    *(Row("no TLS", where, None, AWAY, f"plaintext-{where}") for where in ("token", "identity", "metadata")),
)  # fmt: skip


@contextlib.contextmanager
def weighed(row: Row) -> Iterator[list[int]]:
    """The most memory that was taken meanwhile, measured where the fault is about size."""
    most = [0]
    if row.name not in BIG:
        yield most
        return
    tracemalloc.start()
    try:
        yield most
        most[0] = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@dataclass
class Played:
    """What came of it: what the client met on the way, and what pressing “Connect” again came to."""

    row: Row
    took: float = 0.0
    most: int = 0
    status: Status = Status.PENDING
    met: list[TestResponse] = field(default_factory=list)
    page: str = ""
    seen: str = ""
    stored: bool = False
    trapped: int = 0
    second: Status = Status.PENDING
    during: str = ""
    calls_during: int = 0

    def faults(self, *, limit: float) -> list[str]:
        """Where it falls short of what the row says; nothing when all is well."""
        row, fails = self.row, bool(self.row.says)
        headers = "".join(f"{name}: {value}\n" for answer in self.met for name, value in answer.headers)
        found = {
            f"took {self.took:.1f} s": self.took > limit,
            f"took {self.most:,} bytes": self.most > ROOM,
            f"status {[answer.status_code for answer in self.met]}": any(a.status_code >= 500 for a in self.met),
            f"it is {self.status}": self.status is not (Status.PENDING if fails else Status.FULFILLED),
            "the page says something else": fails and row.says not in self.page,
            "there is no way to try again": fails and "-connect" not in self.page,
            "reflected in a page or a mail": CANARY in self.seen or CANARY in self.page,
            "reflected in a header": CANARY in headers,
            "stored": self.stored,
            "a redirect was followed": bool(self.trapped),
            "the pause was not kept": row.pauses and (not PAUSED.search(self.during) or bool(self.calls_during)),
            "trying again does not work": self.second is not Status.FULFILLED,
        }
        return [f"{row}: {what}" for what, wrong in found.items() if wrong]


@dataclass
class Desk:
    """An installation whose apps the rogue stands behind, and a client who connects them."""

    app: Flask
    owner: Staff
    workspace: Workspace
    clock: Clock
    rogue: Rogue
    visitor: Visitor
    database: Path
    clients: Mapping[str, tuple[str, str]]

    def ask(self, key: str) -> ConnectionRequest:
        """A request for an app, sent to somebody new whose browser has the page open."""
        number = next(_numbers)
        workflow = factories.make_workflow(self.workspace, self.owner, (key, "act"), name=f"Workflow {number}")
        (asked,) = factories.make_sent(workflow, self.owner, recipient=f"n{number}@client.example")
        self.visitor.web.environ_base["REMOTE_ADDR"] = f"2001:db8:{number:x}::1"
        self.visitor.get(self.visitor.open(asked))
        return asked

    def press(self, asked: ConnectionRequest) -> list[TestResponse]:
        """Press “Connect”, and come back with a code if the provider was reached."""
        page = f"/connect/{asked.bundle.public_id}"
        started = self.visitor.start(page, asked)
        if "HX-Redirect" not in started.headers:
            return [started]
        query = {name: value for name, (value,) in parse_qs(urlsplit(started.headers["HX-Redirect"]).query).items()}
        self.rogue.nonce, self.rogue.client = query.get("nonce", ""), query["client_id"]
        back = {"state": query["state"], "code": "a-code"}
        return [started, self.visitor.ask("GET", urlsplit(query["redirect_uri"]).path, query_string=back)]

    def play(self, row: Row) -> Played:
        """Meet a fault, look at everything, then try again with the provider well."""
        self.rogue.behave()
        documents._shelves.clear()
        if row.does:
            self.rogue.answers[PATHS[row.where]] = row.does(self.rogue, self.clock)
        asked, played = self.ask(row.app), Played(row)
        begun = time.monotonic()
        with weighed(row) as most:
            played.met = self.press(asked)
        played.took, played.most = time.monotonic() - begun, most[0]
        db.session.refresh(asked)
        played.status, played.page = asked.status, self.visitor.get(f"/connect/{asked.bundle.public_id}")
        played.seen = self._everything(asked) + "".join(answer.text for answer in played.met)
        played.stored, played.trapped = self._stores(CANARY), self.rogue.asked(TRAP)
        self._again(asked, played)
        return played

    def _again(self, asked: ConnectionRequest, played: Played) -> None:
        self.rogue.behave()
        documents._shelves.clear()  # keys that could be read are remembered for a minute at least
        if played.row.pauses:
            played.during = "".join(answer.text for answer in self.press(asked))
            played.calls_during = len(self.rogue.calls)
            self.clock.forward(seconds=PAUSE + 60)
        if played.status is Status.PENDING:
            if (
                "-" in played.row.app
            ):  # its address is wrong for good: the same request of an app whose address is right
                asked = self.ask("oidc" if played.row.where == "metadata" else "plain")
            self.press(asked)
            db.session.refresh(asked)
        played.second = asked.status

    def give_back(self, row: Row) -> list[str]:
        """Have a grant thrown away at a provider that does this when it is to be revoked, then well; returns what is amiss."""
        self.rogue.behave()
        self.rogue.answers |= {"/me": say(500), "/revoke": row.does(self.rogue, self.clock)}
        asked = self.ask("plain")
        self.press(asked)
        flow = db.session.scalars(select(Flow).where(Flow.request_id == asked.id)).one()
        begun, at = time.monotonic(), self.clock.now
        first = self._discard(flow)
        took, waits = time.monotonic() - begun, (first.due_at - at).total_seconds()
        stored, takes = self._stores(CANARY), row.name in TAKEN
        self.rogue.behave()
        self.clock.to(max(first.due_at, self.clock.now))
        last = first if first.state is OutboxState.DONE else self._discard(flow)
        db.session.refresh(flow)
        found = {
            f"it is {first.state}, {first.error}": first.state
            is not (OutboxState.DONE if takes else OutboxState.RETRY),
            f"took {took:.1f} s": took > REVOKE,
            f"tried again after {waits} s": row.pauses and waits < PAUSE,
            "stored": stored,
            "a redirect was followed": bool(self.rogue.asked(TRAP)),
            "never given back": last.state is not OutboxState.DONE or flow.grant is not None,
        }
        return [f"revocation: {row.name}: {what}" for what, wrong in found.items() if wrong]

    def _discard(self, flow: Flow) -> OutboxItem:
        Worker(self.app).run_once()
        db.session.rollback()
        with across_tenants("the worker's side"):
            item = db.session.scalars(select(OutboxItem).where(OutboxItem.key == flow.public_id)).one()
            db.session.refresh(item)
        db.session.expunge(item)
        return item

    def _everything(self, asked: ConnectionRequest) -> str:
        """What staff see of it, and what a mail would say now."""
        place = f"/panel/workspaces/{self.workspace.public_id}/workflows/{asked.workflow.public_id}"
        shown = StaffBrowser(self.app, self.owner).get(place).text
        if asked.status is Status.PENDING:
            letter = bundle_sent.compose(factories.leaving(asked.bundle), at=self.clock.now).letter
            shown += letter.subject + letter.text + letter.html
        return shown

    def _stores(self, text: str) -> bool:
        """Whether it is anywhere in the database."""
        files = [self.database, self.database.with_name(f"{self.database.name}-wal")]
        return any(text.encode() in path.read_bytes() for path in files if path.exists())
