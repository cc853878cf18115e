"""Browsers around one agency: its owner, a teammate without a role, a stranger, and nobody."""

import pytest
from flask import Flask

from app.models import Staff
from tests.support.staff_browser import StaffBrowser


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
