"""Dana, signed in at the portal, and whether she still is."""

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import PortalSession
from tests import factories
from tests.web.portal.conftest import DANA, Client

HOME = "/portal/connections"


@pytest.fixture
def signed_in(app, workspace):
    """Dana, signed in at the workspace that she is a member of."""
    factories.make_member(workspace, DANA)
    return Client(app, factories.signed_in_client(app, DANA, workspace))


@pytest.fixture
def second(agency):
    """Another client of the same agency."""
    return factories.make_workspace(agency, "Tidewater Physio")


def is_in(client, **headers):
    return client.get(HOME, **headers).status_code == 200


def session():
    return db.session.scalars(select(PortalSession)).one()


fixtures = (second, signed_in)
