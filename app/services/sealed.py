"""Every column that holds what the vault sealed, with the place that each of its blobs is bound to.

Who seals asks here for the place, and who rewraps or looks after all of them goes through `COLUMNS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import InstrumentedAttribute

from app.models import Bundle, Flow, OAuthClient, OutboxItem, Secret
from app.vault import Place

CONNECTION, CLIENT, VERIFIER, GRANT, MAIL = "connection", "oauth_client_secret", "pkce_verifier", "held_grant", "mail"
LATE = "late_token"


def credential_place(secret: Any) -> Place:
    """Of a connection's credential, or a late token of it, as its own row says it."""
    return Place(
        secret.purpose, secret.agency_id, secret.workspace_id, secret.owner, secret.public_id, secret.version
    )  # fmt: skip


def client_place(own: Any) -> Place:
    """Of the secret of an agency's own OAuth client."""
    return Place(CLIENT, own.agency_id, None, own.public_id)


def verifier_place(flow: Any) -> Place:
    """Of a flow's PKCE verifier."""
    return Place(VERIFIER, flow.agency_id, flow.workspace_id, flow.public_id)


def grant_place(flow: Any) -> Place:
    """Of a grant that waits in its flow's row."""
    return Place(GRANT, flow.agency_id, flow.workspace_id, flow.public_id)


def mail_place(item: Any) -> Place:
    """Of a rendered mail in the outbox."""
    return Place(MAIL, item.agency_id, item.workspace_id, item.key)


@dataclass(frozen=True)
class SealedColumn:
    """A column of blobs; `rows` gives id, blob and what the place is made of."""

    column: InstrumentedAttribute[Any]
    place: Callable[[Any], Place]
    parts: Sequence[InstrumentedAttribute[Any]]

    @property
    def name(self) -> str:
        """As in the database: table and column."""
        return f"{self.column.class_.__tablename__}.{self.column.key}"

    @property
    def id(self) -> Any:
        """The primary key of its table."""
        return self.column.class_.id

    @property
    def key_id(self) -> Any:
        """The id of the key that each blob is wrapped with, in bytes, as an expression."""
        return func.substr(self.column, 2, 8)

    def rows(self) -> Select[Any]:
        """Every blob with its id as `id`, itself as `blob`, and the parts of its place."""
        found = select(self.id.label("id"), self.column.label("blob"), *self.parts).where(self.column.is_not(None))
        if self.column.class_ is OutboxItem:
            found = found.outerjoin(Bundle, Bundle.id == OutboxItem.payload["bundle"].as_integer())
        return found


_FLOW = (Flow.agency_id, Flow.workspace_id, Flow.public_id)
COLUMNS = (
    SealedColumn(
        Secret.blob,
        credential_place,
        (Secret.purpose, Secret.agency_id, Secret.workspace_id, Secret.owner, Secret.public_id, Secret.version),
    ),
    SealedColumn(OAuthClient.client_secret, client_place, (OAuthClient.agency_id, OAuthClient.public_id)),
    SealedColumn(Flow.verifier, verifier_place, _FLOW),
    SealedColumn(Flow.grant, grant_place, _FLOW),
    SealedColumn(OutboxItem.message, mail_place, (OutboxItem.agency_id, Bundle.workspace_id, OutboxItem.key)),
)
