"""Siblings: connections that stand on one grant at a provider, whoever's they are here, and for whichever of its apps."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from sqlalchemy import Select, select, update
from sqlalchemy.orm import joinedload

from app import runtime
from app.database import transaction
from app.extensions import db
from app.models import Connection, Health
from app.oauth.identify import Identity
from app.services import oauth_clients
from app.tenancy import across_tenants

PAGE = 500


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
    of_account = (Connection.issuer == account.issuer, Connection.external_id == account.id)
    with across_tenants("a provider does not know our tenants"):
        found = db.session.scalars(_living(granted).where(*of_account)).all()
        return _with_client(found, granted)


def of_any_account(granted: Granted) -> Iterator[Connection]:
    """The same, where nobody knows whose account it is: of whichever account, a page at a time."""
    last = 0
    while True:
        with across_tenants("a provider does not know our tenants"):
            page = _living(granted).where(Connection.id > last).order_by(Connection.id).limit(PAGE)
            found = db.session.scalars(page).all()
            ours = _with_client(found, granted)
        yield from ours
        if len(found) < PAGE:
            return
        last = found[-1].id


def _living(granted: Granted) -> Select[Connection]:
    return (
        select(Connection)
        .where(Connection.app_key.in_(family(granted.app_key)), Connection.health != Health.REVOKED)
        .options(joinedload(Connection.secret))
    )


def _with_client(found: Sequence[Connection], granted: Granted) -> list[Connection]:
    client = oauth_clients.known_by(granted)
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


def doubt(connections: Sequence[Connection]) -> None:
    """Count these as not seen working that were connected while the provider was asked: they may have ended with the rest."""
    if not connections:
        return
    with across_tenants("a provider does not know our tenants"), transaction() as session:
        session.execute(
            update(Connection)
            .where(Connection.id.in_([each.id for each in connections]), Connection.health == Health.ACTIVE)
            .values(health=Health.PENDING)
            .execution_options(synchronize_session=False)
        )
