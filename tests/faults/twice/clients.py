"""Clients who pressed “Connect” and said yes at the provider: what their browsers bring back."""

from dataclasses import dataclass

from flask import Flask

from app.models import ConnectionRequest
from app.tenancy import enter_tenant
from tests import factories
from tests.support.browsing import Browser
from tests.support.token_endpoint import KEY

BOAT = (KEY, "find_boat")


@dataclass(frozen=True)
class Back:
    """What a browser brings back from the provider, and the page that it should land on."""

    path: str
    query: dict[str, str]
    cookies: dict[str, str]
    page: str


def come_back(app: Flask, back: Back) -> tuple[int, str]:
    """One callback; returns its status, and where it leads."""
    browser = app.test_client()
    for name, value in back.cookies.items():
        browser.set_cookie(name, value)
    answer = browser.get(back.path, query_string=back.query)
    return answer.status_code, answer.headers.get("Location", "").partition("#")[0]


class Clients:
    """People who approve, each asked for one app by a workflow of its own."""

    def __init__(self, name: str) -> None:
        self.agency = factories.make_agency(name)
        enter_tenant(self.agency.id)
        self.owner = factories.make_staff(self.agency)
        self.workspace = factories.make_workspace(self.agency)

    def ask(self, number: int, *more: tuple[str, str]) -> ConnectionRequest:
        """Ask one of them, by a workflow of its own that may need more than that."""
        to = f"ann.{number}@harbordental.example"
        workflow = factories.make_workflow(self.workspace, self.owner, BOAT, *more, name=f"Boats {number}")
        return factories.make_sent(workflow, self.owner, recipient=to)[0]

    def approve(self, asked: ConnectionRequest, number: int) -> tuple[str, Back]:
        """They press “Connect” and say yes; returns the code and what their browser brings."""
        browser = Browser()
        assert browser.open(asked.bundle).bundle
        state = browser.start(asked)
        code = f"ann-{number}.{browser.session_id}"
        path = f"/oauth/callback/{browser.clients[state]}"
        cookies = {"gh_intake": browser.session_id, **browser.cookies}
        return code, Back(path, {"state": state, "code": code}, cookies, f"/connect/{asked.bundle.public_id}")
