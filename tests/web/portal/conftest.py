"""Browsers at the portal, without a screen: forms are sent as the pages send them, with their CSRF token."""

from dataclasses import dataclass

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from app.extensions import db
from app.models import PortalCode
from app.services import portal_codes
from app.tenancy import across_tenants
from tests import factories
from tests.support.forms import cookies_of, csrf_token

DANA = "dana.reyes@harbordental.example"


@dataclass
class Client:
    """A client's browser."""

    app: Flask
    web: FlaskClient

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.open(path, headers=headers)

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> TestResponse:
        token = csrf_token(self.app, path, cookies_of(self.web))
        return self.open(path, method="POST", data={"csrf_token": token, **fields}, headers=headers or {})

    def open(self, path: str, **request: object) -> TestResponse:
        """Ask in a context of its own, as a server does, and let the test's own session see what changed."""
        db.session.rollback()
        with self.app.app_context():
            answer = self.web.open(path, buffered=True, **request)  # read to its end, as a browser does
        db.session.rollback()
        return answer

    def ask(self, email: str = DANA, door: str = "/portal/login") -> TestResponse:
        """Ask for a code."""
        self.get(door)
        return self.post(door, email=email)

    def asked(self) -> PortalCode:
        """What was asked for last, by anybody."""
        with across_tenants("a test's eye"):
            return db.session.scalars(select(PortalCode).order_by(PortalCode.id.desc())).first()

    def code(self) -> str:
        return portal_codes.code_of(self.asked())

    def sign_in(self, email: str = DANA, door: str = "/portal/login") -> TestResponse:
        """Ask for a code, and type it."""
        assert self.ask(email, door).status_code == 303
        return self.post("/portal/code", code=self.code())

    @property
    def session_id(self) -> str | None:
        return cookies_of(self.web).get("gh_portal")


@pytest.fixture
def dana(app, workspace):
    """A member's browser, with nobody signed in yet."""
    factories.make_member(workspace, DANA)
    return Client(app, app.test_client())


@pytest.fixture
def anybody(app, agency):
    return Client(app, app.test_client())
