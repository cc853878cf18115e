"""Secrets: in the open nowhere, bound to their place, under one key however many start, and masked where they are held."""

import re
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from app.database import transaction
from app.extensions import db
from app.models import Flow, OAuthClient, Secret
from app.services import grants, oauth_clients, own_clients, secrets
from app.vault import Masked, VaultError
from tests import factories
from tests.security.connecting import leave, status
from tests.support.thief import stored

OWN = "the-agencys-own-client-secret-4711"


# ── Row 40 ──────────────────────────────────────────────────────────────────


def test_row_40_a_secret_that_was_replaced_is_gone_from_the_files(agency, workspace, clock, config):
    """Freed pages are overwritten and the log is folded in: what was shredded can't be dug up."""
    connection = factories.make_connection(workspace)
    with transaction():
        old = secrets.keep(connection, {"access_token": "first"}, at=clock.now).blob
    with transaction():
        secrets.keep(connection, {"access_token": "second"}, at=clock.now)
    db.session.rollback()
    raw = db.engine.raw_connection()
    raw.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()

    assert old not in stored(config)


# ── Row 41 ──────────────────────────────────────────────────────────────────


@pytest.mark.both_databases
def test_row_41_a_blob_that_is_moved_does_not_open(agency, workspace, visitor, asked, person, owner, clock):
    """Whoever can write to the database alone can't have a secret opened where it does not belong."""
    away = leave(visitor, asked[1], person, grant=["contacts.read"])
    visitor.ask("GET", away.path, query_string=away.back)
    own_clients.configure(agency, "farport", client_id="one", client_secret=OWN, by=owner)
    own_clients.configure(agency, "northdesk", client_id="two", client_secret="another-secret", by=owner)
    mine, other = factories.make_connection(workspace), factories.make_connection(workspace, name="other")
    with transaction():
        secrets.keep(mine, {"access_token": "hush"}, at=clock.now)
        secrets.keep(other, {"access_token": "else"}, at=clock.now)
    flow = db.session.scalars(select(Flow)).one()
    with transaction():
        mine.secret.blob, other.secret.blob = other.secret.blob, mine.secret.blob
        first, second = db.session.scalars(select(OAuthClient).order_by(OAuthClient.id)).all()
        first.client_secret, second.client_secret = second.client_secret, first.client_secret
        flow.grant = db.session.scalars(select(Secret.blob)).first()

    for opened in (
        lambda: secrets.reveal(mine),
        lambda: secrets.reveal(other),
        lambda: oauth_clients.for_app(agency, "farport"),
        lambda: grants.discard(flow.id, agency_id=agency.id),
    ):
        with pytest.raises(VaultError):
            opened()


# ── Row 45 ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "shown", [repr, str, "{}".format, "{!r}".format, lambda it: f"{it:>9}", lambda it: repr({"x": [it]})]
)
def test_row_45_secrets_mask_themselves(shown):
    assert "hush" not in shown(Masked("hush"))


def test_row_45_what_holds_secrets_shows_none(agency, workspace, owner, visitor, asked, person, app):
    """Settings, clients, tokens, runtimes, whatever is printed by mistake."""
    own_clients.configure(agency, "farport", client_id="farport-client", client_secret=OWN, by=owner)
    away = leave(visitor, asked[0], person)
    visitor.ask("GET", away.path, query_string=away.back)
    status(asked[0])
    runtime = app.extensions["gatehouse"]
    held = secrets.reveal(asked[0].connection)
    shown = repr(
        [
            runtime,
            runtime.config,
            runtime.keyring,
            oauth_clients.for_app(agency, "farport"),
            held,
            asked[0].connection,
            asked[0].connection.secret,
        ]
    )

    assert OWN not in shown
    assert not [value for value in held.values() if len(value.reveal()) > 8 and value.reveal() in shown]
    assert runtime.secret_key.hex() not in shown
    assert repr(runtime.secret_key)[2:-1] not in shown
    assert not re.search(r"northdesk/s3cret|postwave/s3cret", shown)
    assert urlsplit(away.path).path.startswith("/oauth/callback/")
