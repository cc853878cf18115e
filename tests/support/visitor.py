"""A client's browser at an installation behind whose apps the independent provider stands."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.extensions import db
from app.models import ConnectionRequest
from app.services import link_tokens
from tests.support.consent import consent
from tests.support.provider import Person


@dataclass
class Visitor:
    """A client's browser, and the way through the provider's pages."""

    web: FlaskClient

    def ask(self, method: str, address: str, **more: Any) -> TestResponse:
        """Send one request with a context of its own, as a server has: nothing of the test's leaks into it."""
        with self.web.application.app_context():
            answer = self.web.open(address, method=method, **more)
        db.session.rollback()  # so that the test reads what is there now
        return answer

    def open(self, asked: ConnectionRequest) -> str:
        """Follow the link of the mail; returns the address of the page that it opens."""
        assert asked.bundle is not None
        answer = self.ask("GET", f"/l/{link_tokens.of(asked.bundle)}")
        assert answer.status_code == 303, answer.status_code
        return answer.headers["Location"]

    def start(self, page: str, asked: ConnectionRequest, **fields: str) -> TestResponse:
        """Press “Connect”."""
        return self.post(f"{page}/requests/{asked.public_id}/start", **fields)

    def post(self, address: str, **fields: str) -> TestResponse:
        token = self.token()
        return self.ask("POST", address, data={"csrf_token": token, **fields}, headers={"HX-Request": "true"})

    def token(self) -> str:
        """The CSRF token of the page that was opened last."""
        return self._token

    def get(self, page: str) -> str:
        answer = self.ask("GET", page)
        assert answer.status_code == 200, answer.status_code
        self._token = answer.text.split('"X-CSRFToken": "')[1].split('"')[0]
        return answer.text

    def approve(self, started: TestResponse, person: Person, **choice: object) -> TestResponse:
        """Sign in and decide at the provider, and come back."""
        assert started.status_code == 200, started.text
        back = consent(started.headers["HX-Redirect"], person, **choice)  # type: ignore[arg-type]
        address = urlsplit(back.pop("redirect_uri")).path
        return self.ask("GET", address, query_string=back)

    _token: str = ""
