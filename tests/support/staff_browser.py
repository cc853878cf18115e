"""A browser of staff without a screen: forms are sent as the pages send them, with their CSRF token."""

import re
from typing import Any

from bs4 import BeautifulSoup, Tag
from flask import Flask, has_app_context
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.extensions import db
from app.models import Staff
from tests import factories

TOKEN = re.compile(r'"X-CSRFToken": "([^"]+)"')
HTMX = {"HX-Request": "true"}


class StaffBrowser:
    """Pages and forms for one person, or for nobody."""

    def __init__(self, app: Flask, person: Staff | None = None) -> None:
        self.app = app
        self.web: FlaskClient = factories.signed_in(app, person) if person else app.test_client()

    def get(self, path: str, *, htmx: bool = False, **headers: str) -> TestResponse:
        return self.open(path, headers=(HTMX if htmx else {}) | headers)

    def post(
        self, path: str, data: dict[str, Any] | None = None, *, htmx: bool = False, **headers: str
    ) -> TestResponse:
        given = {"csrf_token": self.token()} | (data or {})
        return self.open(path, method="POST", data=given, headers=(HTMX if htmx else {}) | headers)

    def open(self, path: str, **request: Any) -> TestResponse:
        """Ask in a context of its own, as a server does, and let the test's own session see what changed."""
        refresh()
        with self.app.app_context():
            answer = self.web.open(path, **request)
        refresh()
        return answer

    def token(self) -> str:
        """A CSRF token of this browser's session."""
        for path in ("/panel/account", "/panel/sign-in", "/setup"):
            found = TOKEN.search(self.get(path).text)
            if found:
                return found[1]
        raise AssertionError("No page has a form for this browser.")


def refresh() -> None:
    """Have the test's own session read anew."""
    if has_app_context():
        db.session.rollback()


def page(answer: TestResponse, status: int = 200) -> BeautifulSoup:
    """The page or fragment that came, to look things up in; without the places where an address may be divided."""
    assert answer.status_code == status, (answer.status_code, answer.headers.get("Location"), answer.text[:2000])
    return BeautifulSoup(answer.text.replace("<wbr>", ""), "html.parser")


def one(soup: BeautifulSoup | Tag, selector: str) -> Tag:
    """The one element that a selector finds."""
    found = soup.select(selector)
    assert len(found) == 1, (selector, len(found), str(soup)[:3000])
    return found[0]


def errors(answer: TestResponse, status: int = 422) -> dict[str, str]:
    """The errors of a form that came back, by the id of their field; those of no field under the empty name."""
    soup = page(answer, status)
    found = {
        each["id"].removesuffix("-error"): each.get_text(strip=True) for each in soup.select(".invalid-feedback[id]")
    }
    for name in found:
        control = one(soup, f"#{name}")
        assert control["aria-invalid"] == "true"
        assert f"{name}-error" in control["aria-describedby"].split()
    notes = soup.select(".gh-note.is-bad[role=alert]")
    return found | ({"": notes[0].get_text(strip=True)} if notes else {})


def toasts(answer: TestResponse) -> str:
    """What the answer to htmx says in a toast."""
    return answer.headers.get("HX-Trigger", "")
