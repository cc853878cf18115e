"""An agency and a client to set up screens with, and everything that can be read on those that were looked at."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from werkzeug.test import TestResponse

from app import clock as app_clock
from app import runtime
from app.database import transaction
from app.extensions import db
from app.mailer import bundle_sent
from app.models import Agency, Connection, ConnectionRequest, OutboxItem, OutboxState, Staff, Workflow, Workspace
from app.services import fulfilment, link_tokens
from app.services.audit import SYSTEM
from tests import factories
from tests.support.browsing import Browser, StubbedProvider
from tests.support.clock import Clock
from tests.support.inbox import Received
from tests.support.staff_browser import HTMX, TOKEN, StaffBrowser, refresh

PRIYA = "priya.nair@harbordental.example"


class Part(str):
    """A text within a longer one."""

    __slots__ = ()


@dataclass
class Seen:
    """All that can be read somewhere: the text of every element, and what stands in it besides its children."""

    whole: set[str] = field(default_factory=set)

    def has(self, text: str) -> bool:
        return any(text in each for each in self.whole) if isinstance(text, Part) else text in self.whole

    def add(self, *texts: str) -> None:
        self.whole |= {" ".join(text.split()) for text in texts}

    def add_html(self, html: str) -> None:
        soup = BeautifulSoup(html, "html.parser")
        for unseen in soup.select(".visually-hidden, script, style, template, noscript, [hidden]:not([role])"):
            unseen.decompose()
        for element in (soup, *soup.find_all(True)):
            self.add(element.get_text(), "".join(element.find_all(string=True, recursive=False)))
            self.add(*(str(element[name]) for name in ("placeholder",) if name in element.attrs))

    def add_answer(self, answer: TestResponse) -> None:
        assert answer.status_code in (200, 404, 422), (answer.status_code, answer.headers.get("Location"))
        self.add_html(answer.text)
        said = json.loads(answer.headers.get("HX-Trigger", "{}")).get("toast", {"items": []})
        for toast in said["items"]:
            self.add(toast["title"], toast["text"])


@dataclass
class Stage:
    """An agency with a client, its owner's browser, and what the test has looked at."""

    app: Flask
    agency: Agency
    owner: Staff
    workspace: Workspace
    clock: Clock
    patch: pytest.MonkeyPatch
    provider: StubbedProvider
    maya: StaffBrowser
    seen: Seen = field(default_factory=Seen)

    # What there is

    def workflow(self, *steps: tuple[str, str], name: str = "New patient intake") -> Workflow:
        return factories.make_workflow(self.workspace, self.owner, *steps, name=name)

    def sent(
        self, *steps: tuple[str, str], to: str = PRIYA, name: str = "New patient intake"
    ) -> list[ConnectionRequest]:
        return factories.make_sent(self.workflow(*steps, name=name), self.owner, recipient=to)

    def connect(self, asked: ConnectionRequest, **changes: object) -> Connection:
        """Have the client connect an app."""
        scopes = list(runtime.current().catalog.get(asked.app_key).scopes)
        values = {
            "scopes": scopes,
            "account": f"chat@{asked.app_key}.example",
            "owner_email": asked.recipient,
            **changes,
        }
        held = factories.make_connection(self.workspace, asked.app_key, **values)
        with transaction():
            assert fulfilment.fulfil(asked, held, generation=asked.generation, at=app_clock.now(), by=SYSTEM)
        return held

    def authorize(self, asked: ConnectionRequest, account: str) -> None:
        """Have the client go to the provider and come back, with this account."""
        assert asked.bundle is not None
        self.provider.account = account
        browser = Browser()
        browser.open(asked.bundle)
        assert browser.finish(browser.start(asked))

    def fail_mail(self, state: OutboxState, error: str) -> None:
        """Have the latest mail fail, or be late."""
        self.patch.setattr("app.services.deliveries.mail_is_set_up", lambda: True)
        kept = db.select(OutboxItem).where(OutboxItem.agency_id == self.agency.id).order_by(OutboxItem.id.desc())
        at = app_clock.now()
        due = at + timedelta(minutes=3)
        self.change(db.session.scalars(kept).first(), state=state, error=error, attempts=1, finished_at=at, due_at=due)

    def change(self, row: object, **values: object) -> None:
        with transaction():
            for name, value in values.items():
                setattr(row, name, value)

    # What is looked at

    def path(self, workflow: Workflow) -> str:
        return f"/panel/workspaces/{self.workspace.public_id}/workflows/{workflow.public_id}"

    def look(self, path: str, *, htmx: bool = False) -> None:
        self.seen.add_answer(self.maya.get(path, htmx=htmx))

    def look_at(self, workflow: Workflow) -> None:
        self.look(self.path(workflow))

    def press(self, path: str, workflow: Workflow, **data: str) -> None:
        """Press a button on the page of a workflow."""
        here = {"HX-Current-URL": f"http://localhost{self.path(workflow)}"}
        self.seen.add_answer(self.maya.post(path, data, htmx=True, **here))

    def client(self, asked: ConnectionRequest) -> "Client":
        return Client(self, asked)

    def mail(self, asked: ConnectionRequest) -> None:
        """Read the mail that asks for it."""
        assert asked.bundle is not None
        raw = bundle_sent.compose(factories.leaving(asked.bundle), at=app_clock.now()).as_bytes()
        message = message_from_bytes(raw, policy=policy.default)
        received = Received("", (), raw, encrypted=False, login=None, message=message)
        self.seen.add(str(message["Subject"]), *received.text.splitlines())
        self.seen.add_html(received.html)


class Client:
    """A client's browser at the page that a request's link opens."""

    def __init__(self, stage: Stage, asked: ConnectionRequest) -> None:
        assert asked.bundle is not None
        self._stage, self._web = stage, stage.app.test_client()
        opened = self._open(f"/l/{link_tokens.of(asked.bundle)}")
        assert opened.status_code == 303
        self._page = opened.headers["Location"]

    def look(self) -> None:
        self._stage.seen.add_answer(self._open(self._page))

    def press(self, verb: str, asked: ConnectionRequest, *, htmx: bool = True) -> None:
        found = TOKEN.search(self._open(self._page).text)
        assert found
        address, given = f"{self._page}/requests/{asked.public_id}/{verb}", {"csrf_token": found[1]}
        answer = self._open(address, method="POST", data=given, headers=HTMX if htmx else {})
        self._stage.seen.add_answer(answer)

    def _open(self, path: str, **options: object) -> TestResponse:
        refresh()
        with self._stage.app.app_context():
            answer = self._web.open(path, **options)
        refresh()
        return answer
