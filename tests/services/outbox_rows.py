"""Rows of the outbox: put there, claimed and looked at."""

import pytest
from sqlalchemy import select

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import OutboxItem
from app.services import claims, outbox
from app.tenancy import across_tenants

KIND = "letter.sent"


@pytest.fixture
def at(agency):
    return clock.now()


@pytest.fixture(autouse=True)
def everybody(agency):
    with across_tenants("the worker's side"):
        yield


def put(agency, *keys, at, kind=KIND, **options):
    with transaction():
        return [outbox.put(kind, key, agency_id=agency.id, at=at, bundle=7, **options) for key in keys]


def row(key="a", kind=KIND):
    db.session.rollback()
    return db.session.scalar(select(OutboxItem).where(OutboxItem.key == key, OutboxItem.kind == kind))


def claim_one(at):
    (item,) = claims.claim([KIND], at=at)
    return item


fixtures = (at, everybody)
