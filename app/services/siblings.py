"""Siblings: connections that stand on one grant at a provider, whoever's they are here, and for whichever of its apps."""

from collections.abc import Collection, Sequence
from typing import Protocol

from sqlalchemy import select, update
from sqlalchemy.orm import joinedload

from app import runtime
from app.database import transaction
from app.extensions import db
from app.models import Connection, Health
from app.oauth.identify import Identity
from app.services import oauth_clients
from app.tenancy import across_tenants


class Granted(oauth_clients.Granted, Protocol):
    """What a provider gave for an app, and to which client."""

    @property
    def app_key(self) -> str:
        """The app."""


def of(granted: Granted, account: Identity) -> Sequence[Connection]:
    """The live connections of the same account that were made with the same client of the provider.

    One client may be set up for several apps, and by several agencies: where what they revoke goes to one address, the provider
    sees one grant.
    """
    with across_tenants("a provider does not know our tenants"):
        client = oauth_clients.known_by(granted)
        found = db.session.scalars(
            select(Connection)
            .where(
                Connection.issuer == account.issuer,
                Connection.external_id == account.id,
                Connection.app_key.in_(family(granted.app_key)),
                Connection.health != Health.REVOKED,
            )
            .options(joinedload(Connection.secret))
        ).all()
        return [each for each in found if oauth_clients.known_by(each) == client]


def family(app_key: str) -> Collection[str]:
    """The apps of the catalog whose access is ended at one address, this one among them."""
    catalog = runtime.current().catalog
    mine = catalog.find(app_key)
    way = mine.oauth2.revoke if mine and mine.oauth2 else None
    shared = {
        app.key for app in catalog if way and app.oauth2 and app.oauth2.revoke and app.oauth2.revoke.url == way.url
    }
    return shared | {app_key}


def doubt(granted: Granted, account: Identity) -> None:
    """Count those as not seen working that were connected while the provider was asked: they may have ended with the rest."""
    with across_tenants("a provider does not know our tenants"), transaction() as session:
        session.execute(
            update(Connection)
            .where(Connection.id.in_([each.id for each in of(granted, account)]), Connection.health == Health.ACTIVE)
            .values(health=Health.PENDING)
            .execution_options(synchronize_session=False)
        )
