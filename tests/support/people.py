"""A crowd at work over HTTP: staff who ask, clients who open and decline; each notes what it was told has been done."""

import contextlib
import hashlib
import itertools
import re
import secrets
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Self
from urllib.parse import urlsplit

import httpx2
from flask import Flask
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import select

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import ConnectionRequest, IntakeSession, OutboxItem, Staff, StaffSession, Status, Workflow, Workspace
from app.tenancy import across_tenants, acting_for
from tests import factories
from tests.support.inbox import Inbox, Received
from tests.support.servers import wait_until
from tests.support.staff_browser import HTMX, TOKEN

STEP = ("slack", "send_channel_message")
KINDS = ("named", "queued", "sent", "opened", "declined")
_numbers = itertools.count(1)


class NotDone(Exception):
    """The answer does not say that it was done: not available, or something else than was expected."""


class Person:
    """One browser: its cookies, an address of its own, and the tallies of its crowd."""

    def __init__(self, crowd: "Crowd", cookie: str | None = None) -> None:
        self.crowd = crowd
        number = next(_numbers)
        headers = {"X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
        self.web = httpx2.Client(base_url=crowd.url, headers=headers, trust_env=False, timeout=30)
        if cookie:
            self.web.cookies.set("gh_staff", cookie)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_how: object) -> None:
        self.web.close()

    def ask(self, method: str, path: str, **request: object) -> httpx2.Response:
        """The answer, if it is none of those that say that the installation is not available; else NotDone."""
        began = time.monotonic()
        try:
            answer = self.web.request(method, path, **request)
        except httpx2.HTTPError as error:
            self.crowd.odd(f"{method} {path}: {error!r}")
            raise NotDone from error
        self.crowd.note(answer, began)
        if answer.status_code >= 500:
            raise NotDone
        return answer

    def page(self, path: str) -> str:
        """A page, as far as its forms go."""
        answer = self.ask("GET", path)
        if answer.status_code != 200:
            self.crowd.odd(f"GET {path}: {answer.status_code}")
            raise NotDone
        return answer.text

    def press(self, path: str, token: str, *, says: str = "", **given: str) -> httpx2.Response:
        """Send a form as htmx does; NotDone unless the toast that comes with the answer says so."""
        answer = self.ask("POST", path, data={"csrf_token": token, **given}, headers=HTMX)
        if says and says not in toast_of(answer):
            self.crowd.odd(f"POST {path}: {answer.status_code} {toast_of(answer)!r}")
            raise NotDone
        return answer


def toast_of(answer: httpx2.Response) -> str:
    """What is said once, on the page that comes next."""
    carried = answer.cookies.get("gh_toast")
    return str(URLSafeTimedSerializer("").loads_unsafe(carried)[1]) if carried else ""


class Crowd:
    """Staff of one agency and their clients, at work until told to stop."""

    def __init__(self, app: Flask, url: str, inbox: Inbox, *, staff: int = 3) -> None:
        self.app, self.url, self.inbox = app, url, inbox
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self.cookies, self.workspaces = self._people(staff)
        self.forget()

    def forget(self) -> None:
        """Begin anew with what is told and counted; mail that is there already is not read."""
        self.told: dict[str, list[tuple[str, ...]]] = {kind: [] for kind in KINDS}
        self.statuses: Counter[int] = Counter()
        self.oddities: list[str] = []
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._read = len(self.inbox)

    @property
    def acknowledged(self) -> int:
        """How many acts were answered with success."""
        return sum(map(len, self.told.values()))

    @contextlib.contextmanager
    def at_work(self, *, clients: int = 2) -> Iterator["Crowd"]:
        """Let them work meanwhile."""
        pairs = zip(self.cookies, self.workspaces, strict=True)
        self._stopping.clear()
        threads = [threading.Thread(target=self._staff, args=pair) for pair in pairs]
        threads += [threading.Thread(target=self._clients) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join(60)

    def goes_on(self, acts: int, *, timeout: float = 60) -> None:
        """Wait until they were told so many times more that something has been done."""
        before = self.acknowledged
        wait_until(lambda: self.acknowledged >= before + acts, timeout=timeout)

    def note(self, answer: httpx2.Response, began: float) -> None:
        with self._lock:
            self.statuses[answer.status_code] += 1
            if answer.status_code < 500:
                self.seconds[answer.request.method].append(time.monotonic() - began)
        if answer.status_code >= 500 and not (answer.status_code == 503 and "Retry-After" in answer.headers):
            self.odd(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:200]}")

    def odd(self, what: str) -> None:
        """Note an answer that should not be."""
        with self._lock:
            self.oddities.append(what)

    def tell(self, kind: str, *what: str) -> None:
        with self._lock:
            self.told[kind].append(what)

    def lost(self) -> list[tuple[str, ...]]:
        """What was answered with success, and is not in the database."""
        with self.app.app_context(), across_tenants("a test looks"):
            requests = {row.recipient: row for row in db.session.scalars(select(ConnectionRequest))}
            mails = {key.partition(":")[0] for key in db.session.scalars(select(OutboxItem.key))}
            there = {
                "named": set(db.session.scalars(select(Workflow.name))),
                "queued": set(requests),
                "sent": {to for to, row in requests.items() if row.bundle and row.bundle.public_id in mails},
                "opened": {digest.hex() for digest in db.session.scalars(select(IntakeSession.id_hash))},
                "declined": {to + row.declined_reason for to, row in requests.items() if row.status is Status.DECLINED},
            }
            db.session.remove()
        return [(kind, *what) for kind in KINDS for what in self.told[kind] if "".join(what) not in there[kind]]

    def slots(self, count: int) -> list[str]:
        """Addresses of slots for which nobody is asked yet."""
        with self.app.app_context(), acting_for(self.agency_id):
            owner = db.session.get_one(Staff, self.owner_id)
            workspace = db.session.scalars(select(Workspace)).first()
            made = [factories.make_workflow(workspace, owner, STEP, name=f"Slot {n}") for n in range(count)]
            pages = [f"/panel/workspaces/{workspace.public_id}/workflows/{each.public_id}" for each in made]
            found = [f"{page}/slots/{each.slots[0].public_id}" for page, each in zip(pages, made, strict=True)]
            db.session.remove()
        return found

    def queue(self, slots: list[str]) -> None:
        """Have one of staff ask for each of these."""
        with Person(self, self.cookies[0]) as person:
            token = token_in(person.page("/panel/account"))
            for slot in slots:
                with contextlib.suppress(NotDone):
                    self._queue(person, slot, token)

    # At work

    def _people(self, staff: int) -> tuple[list[str], list[str]]:
        with self.app.app_context():
            agency = factories.make_agency()
            with acting_for(agency.id):
                with transaction():
                    agency.mails_per_hour = 100_000
                owner, at = factories.make_staff(agency), clock.now()
                cookies = [secrets.token_urlsafe(32) for _ in range(staff)]
                with transaction() as session:
                    for each in cookies:
                        session.add(_session(owner.id, agency.id, each, at))
                workspaces = [factories.make_workspace(agency, f"Client {n}").public_id for n in range(staff)]
                self.agency_id, self.owner_id = agency.id, owner.id
            db.session.remove()
        return cookies, workspaces

    def _staff(self, cookie: str, workspace: str) -> None:
        token = ""
        with Person(self, cookie) as person:
            while not self._stopping.is_set():
                with contextlib.suppress(NotDone):
                    token = token or token_in(person.page("/panel/account"))
                    self._ask_somebody(person, f"/panel/workspaces/{workspace}/workflows", token)
                    continue
                self._stopping.wait(0.05)

    def _ask_somebody(self, person: Person, workflows: str, token: str) -> None:
        """A workflow with one step, a request for it, and the mail."""
        name = f"Workflow {secrets.token_hex(6)}"
        page = person.press(workflows, token, name=name).headers.get("HX-Redirect", "")
        if not page.startswith(workflows):
            self.odd(f"a workflow was answered with {page!r}")
            raise NotDone
        self.tell("named", name)
        person.press(f"{page}/nodes/new/slack", token, says="Added Slack", action="send_channel_message")
        slot = re.search(r"/slots/(\w+)/", person.page(page))
        if slot is None:
            self.odd("a step has no slot")
            raise NotDone
        recipient = self._queue(person, f"{page}/slots/{slot[1]}", token)
        person.press(f"{page}/send", token, says="Sent requests to client")
        self.tell("sent", recipient)

    def _queue(self, person: Person, slot: str, token: str) -> str:
        recipient = f"{secrets.token_hex(6)}@client.example"
        person.press(f"{slot}/request", token, says="Slack is in the queue", recipient=recipient)
        self.tell("queued", recipient)
        return recipient

    def _clients(self) -> None:
        while not self._stopping.is_set():
            mail = self._next_mail()
            if mail is None:
                self._stopping.wait(0.02)
                continue
            with contextlib.suppress(NotDone), Person(self) as person:
                self._decline(person, mail)

    def _next_mail(self) -> Received | None:
        with self._lock:
            mails = self.inbox.all()
            if self._read == len(mails):
                return None
            self._read += 1
            return mails[self._read - 1]

    def _decline(self, person: Person, mail: Received) -> None:
        (link,) = [urlsplit(each).path for each in mail.links if "/l/" in each]
        opened = person.ask("GET", link)
        cookie = person.web.cookies.get("gh_intake")
        if opened.status_code != 303 or cookie is None:
            self.odd(f"a link was answered with {opened.status_code}")
            raise NotDone
        self.tell("opened", hashlib.sha256(cookie.encode()).hexdigest())
        page = opened.headers["Location"]
        html = person.page(page)
        asked, reason = re.search(r"/requests/(\w+)/decline", html), f"No, {secrets.token_hex(4)}"
        if asked is None:
            return  # a mail that came twice: it is declined already
        answer = person.press(f"{page}/requests/{asked[1]}/decline", token_in(html), reason=reason)
        if answer.status_code == 303:
            self.tell("declined", mail.rcpt_tos[0], reason)


def token_in(html: str) -> str:
    """The CSRF token of a page's forms."""
    found = TOKEN.search(html)
    if found is None:
        raise NotDone
    return found[1]


def _session(staff_id: int, agency_id: int, cookie: str, at: clock.datetime) -> StaffSession:
    return StaffSession(
        agency_id=agency_id,
        staff_id=staff_id,
        id_hash=hashlib.sha256(cookie.encode()).digest(),
        created_at=at,
        seen_at=at,
        expires_at=at + timedelta(hours=12),
    )
