"""Row 23, against the independent provider, whose refresh tokens rotate: many who ask at once cost one refresh."""

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import Connection, Health
from app.services import secrets
from tests.support.crowd import crowd
from tests.support.users import expire, use

both = pytest.mark.both_databases
PROCESSES, THREADS = 4, 5


def the(connection_id):
    db.session.rollback()
    return db.session.get_one(Connection, connection_id, populate_existing=True)


@both
def test_row_23_twenty_who_ask_at_once_cost_one_refresh(app, agency, visitor, asked, person, provider):
    page = visitor.open(asked[0])
    visitor.get(page)
    visitor.approve(visitor.start(page, asked[0]), person)
    db.session.rollback()
    connection = db.session.scalars(select(Connection).where(Connection.agency_id == agency.id)).one()
    old = secrets.reveal(connection)
    for round_ in (1, 2, 3):
        expire(connection.id)
        provider.reset()
        payload = (agency.id, connection.id, 30.0)
        tokens = crowd(app.config["GATEHOUSE"], use, payload, processes=PROCESSES, threads=THREADS)

        (token,) = set(tokens)
        assert provider.count()["token.refresh_token"] == 1
        assert provider.call_api(token)[0] == 200
        kept = the(connection.id)
        assert (kept.health, kept.secret.version) == (Health.ACTIVE, round_ + 1)
        assert secrets.reveal(kept)["refresh_token"] != old["refresh_token"]
        old = secrets.reveal(kept)
