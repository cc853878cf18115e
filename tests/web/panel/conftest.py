"""Browsers around one agency: its owner, a teammate without a role, a stranger, and nobody."""

import pytest
from flask import Flask

from app.models import Staff
from tests import factories
from tests.support.staff_browser import StaffBrowser
from tests.web.panel.requests_screen import STEPS


@pytest.fixture
def maya(app: Flask, owner: Staff) -> StaffBrowser:
    return StaffBrowser(app, owner)


@pytest.fixture
def tom(app: Flask, teammate: Staff) -> StaffBrowser:
    return StaffBrowser(app, teammate)


@pytest.fixture
def sam(app: Flask, stranger: Staff) -> StaffBrowser:
    return StaffBrowser(app, stranger)


@pytest.fixture
def anybody(app: Flask, owner: Staff) -> StaffBrowser:
    return StaffBrowser(app)


@pytest.fixture
def workflow(workspace, owner):
    return factories.make_workflow(workspace, owner, *STEPS)


@pytest.fixture
def slot(workflow):
    return workflow.slots[0]


@pytest.fixture
def url(workspace, workflow):
    return f"/panel/workspaces/{workspace.public_id}/workflows/{workflow.public_id}"


@pytest.fixture
def here(url):
    return {"HX-Current-URL": f"http://localhost{url}"}
