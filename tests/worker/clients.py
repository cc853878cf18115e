"""Dana, who is a client: a member, and the owner of a connection that broke."""

import pytest

from app.models import Health
from tests import factories

DANA, NOBODY = "dana.reyes@harbordental.example", "nobody@elsewhere.example"


@pytest.fixture
def member(workspace):
    return factories.make_member(workspace, DANA)


@pytest.fixture
def connection(workspace, clock):
    return factories.make_connection(
        workspace, owner_email=DANA, health=Health.ERROR, health_reason="grant_ended", broken_at=clock.now
    )


fixtures = (connection, member)
