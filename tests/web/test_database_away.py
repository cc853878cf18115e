"""PostgreSQL goes away and comes back: 503 in our words meanwhile, and nothing acknowledged is lost."""

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.exc import InterfaceError, InternalError
from sqlalchemy.pool import QueuePool

from app.extensions import db
from app.models import Workspace
from app.tenancy import across_tenants, enter_tenant
from tests import factories
from tests.support.databases import migrate
from tests.support.postgres import fresh_database, stoppable
from tests.support.staff_browser import HTMX, StaffBrowser
from tests.web.tiny import browser, tiny_app

AWAY = "This is not available at the moment"


@pytest.fixture(scope="module")
def server():
    with stoppable() as server:
        yield server


@pytest.fixture
def database_url(server, tmp_path):
    with fresh_database(server.url) as url:
        migrate(factories.driver(url), tmp_path)
        yield factories.driver(url)


@pytest.fixture
def staff(app, app_context):
    agency = factories.make_agency("Northwind Studio")
    enter_tenant(agency.id)
    return factories.make_staff(agency)


@pytest.fixture
def maya(app, staff):
    return StaffBrowser(app, staff)


def create_workspace(maya, name):
    return maya.post("/panel/workspaces", {"name": name})


def test_a_crash_of_the_database_is_met_and_got_over(app, server, staff, maya):
    assert create_workspace(maya, "Harbor Dental").status_code == 303

    server.crash()
    try:
        page, part = maya.get("/panel/"), maya.get("/panel/workspaces", htmx=True)
        link, ready = maya.get("/l/abc"), maya.get("/readyz")
        alive = maya.get("/healthz")
    finally:
        server.start()

    for answer in (page, part, link):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert AWAY in page.text
    assert AWAY in part.headers["HX-Trigger"]
    assert AWAY in link.text
    assert "Gatehouse" not in link.text
    assert "Set-Cookie" not in link.headers
    assert (ready.status_code, ready.text) == (503, "The database can't be reached.\n")
    assert alive.status_code == 200

    again = maya.get("/panel/workspaces")
    assert (again.status_code, "Harbor Dental" in again.text) == (200, True)
    assert maya.get("/readyz").status_code == 200
    assert create_workspace(maya, "Bluefin Logistics").status_code == 303
    with app.app_context(), across_tenants("a test looks"):
        assert set(db.session.scalars(select(Workspace.name))) >= {"Harbor Dental", "Bluefin Logistics"}


def test_a_crash_in_the_middle_of_a_request_is_met_the_same(app, server, maya, monkeypatch):
    def crash_and_read(**_values):
        server.crash()
        db.session.scalars(select(Workspace)).all()

    monkeypatch.setitem(app.view_functions, "panel.show_workspaces", crash_and_read)
    try:
        answer = maya.get("/panel/workspaces")
    finally:
        server.start()

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert AWAY in answer.text
    assert maya.get("/panel/").status_code == 200


def fail(kind):
    if kind == "no-connection":
        engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01)
        with engine.connect(), engine.connect():
            pass
    said = {"interface": InterfaceError, "internal": InternalError}[kind]
    raise said("SELECT 'a secret'", {"token": "s3cret"}, Exception("connection already closed\nmore"))


@pytest.mark.parametrize("kind", ["no-connection", "interface", "internal"])
@pytest.mark.parametrize("path", ["/panel/fails", "/api/fails"])
def test_what_else_a_database_away_raises_is_answered_alike(kind, path, caplog):
    visitor = browser(tiny_app(extend=lambda app: app.add_url_rule(f"{path}/<kind>", "fail", fail)))

    answer = visitor.get(f"{path}/{kind}")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert AWAY in answer.text
    assert "secret" not in caplog.text
    assert "s3cret" not in caplog.text
    (record,) = caplog.records
    assert "No database in fail" in record.getMessage()


def test_a_poll_waits_quietly_for_the_database():
    visitor = browser(tiny_app(extend=lambda app: app.add_url_rule("/panel/fails/<kind>", "fail", fail)))

    answer = visitor.get("/panel/fails/interface", headers=HTMX | {"X-Poll": "1"})

    assert answer.status_code == 503
    assert "HX-Trigger" not in answer.headers
    assert answer.headers["HX-Reswap"] == "none"
