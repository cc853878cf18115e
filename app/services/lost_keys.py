"""Lost keys: what they sealed can't be read by anybody again, so it is destroyed, and whoever it belonged to is asked anew."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection as Transaction
from sqlalchemy import Engine, delete, insert, select, update

from app import clock
from app.database import inserting
from app.models import (
    AuditEvent,
    Connection,
    Flow,
    FlowStatus,
    Health,
    OAuthClient,
    OutboxItem,
    OutboxState,
    Purpose,
    Revocation,
    Secret,
)
from app.services import causes, letters, rotation, vault_keys
from app.services.audit import SYSTEM
from app.services.sealed import COLUMNS
from app.services.vault_keys import writing
from app.vault import Keys
from app.vault import keys as files

_NO_LEASE = {"refresh_lease": None, "refresh_called_at": None}
_TOLD = (
    Connection.id, Connection.public_id, Connection.agency_id, Connection.workspace_id, Connection.app_key,
    Connection.owner_email, Connection.owner_left_at,
)  # fmt: skip
OVER = (FlowStatus.DONE, FlowStatus.FAILED)


def give_up(engine: Engine, keys: Keys, *, by_setting: bool) -> Mapping[str, int]:
    """Go on without the keys that are not here: what they sealed is destroyed, all at once. Says how much, by column.

    Connections become “Reconnection needed”, agencies' own clients are to be set up anew, and mail that was under way ends.
    """
    at, held = clock.now(), set(keys.ring.keys) if keys.ring else set()
    if not held and not by_setting:
        held = {files.key_id(files.read(files.activate(files.prepare(keys.folder))))}
    # point: vault.replaced
    with writing(engine) as connection:
        known = vault_keys.known_to(connection)
        lost = ({*vault_keys.needed(known, Purpose.VAULT)} | set(rotation.wrapped_by(connection))) - held
        found = _destroy(connection, lost, at=at)
        vault_keys.retire(connection, sorted(lost), at=at)
    keys.learn()
    return found


def sign_anew(engine: Engine, keys: Keys, *, by_setting: bool) -> None:
    """Sign with the key that is here, or with a fresh one if it is lost: every link and session ends."""
    if not by_setting:
        files.load_secret_key(keys.folder)
        keys.load()
    with writing(engine) as connection:
        known = vault_keys.known_to(connection)
        if keys.signing_id and keys.signing_id not in vault_keys.needed(known, Purpose.SIGNING)[-1:]:
            vault_keys.add(connection, Purpose.SIGNING, keys.signing_id, known, at=clock.now())
    keys.learn()


def _destroy(connection: Transaction, lost: Collection[str], *, at: datetime) -> Mapping[str, int]:
    found: Counter[str] = Counter()
    for column in COLUMNS:
        rows = select(column.id).where(column.column.is_not(None), column.key_id.in_([each.encode() for each in lost]))
        ids = connection.scalars(rows).all()
        found[column.name] = len(ids)
        for start in range(0, len(ids), rotation.BATCH):
            _ENDS[column.name](connection, ids[start : start + rotation.BATCH], at)
    return +found


def _end_credentials(connection: Transaction, ids: Collection[int], at: datetime) -> None:
    mine, lost = Connection.secret_id.in_(ids), {"secret_id": None, "updated_at": at, **_NO_LEASE}
    revoked = {"revocation": Revocation.UNCONFIRMED, **lost}  # nobody can give it back any more
    connection.execute(update(Connection).where(mine, Connection.health == Health.REVOKED).values(revoked))
    worked = Connection.health.in_((Health.PENDING, Health.ACTIVE))
    breaking = connection.execute(select(*_TOLD).where(mine, worked).order_by(Connection.id)).all()
    broken = {"health": Health.ERROR, "health_reason": causes.KEY_LOST, "broken_at": at, **lost}
    connection.execute(update(Connection).where(mine, worked).values(broken))
    connection.execute(update(Connection).where(mine).values(lost))
    _tell_broken(connection, breaking, at=at)
    connection.execute(delete(Secret).where(Secret.id.in_(ids)))


def _tell_broken(connection: Transaction, broken: Sequence[Any], *, at: datetime) -> None:
    """Put each break into the audit trail, and have those told who can mend it, as whenever a connection breaks."""
    common = {"at": at, "type": "connection.broken", "actor_kind": SYSTEM.kind, "actor": SYSTEM.name}
    for each in broken:
        subject = {"agency_id": each.agency_id, "workspace_id": each.workspace_id, "subject_kind": "connection"}
        data = {"app": each.app_key, "cause": causes.KEY_LOST}
        connection.execute(insert(AuditEvent).values(**common, **subject, subject=each.public_id, data=data))
        for key, ids in letters.of_break(each, connection.execute, since=at):
            row = {"kind": letters.BROKEN, "key": key, "payload": ids, "agency_id": each.agency_id}
            put = inserting(connection.dialect.name, OutboxItem).values(**row, due_at=at, created_at=at)
            connection.execute(put.on_conflict_do_nothing())


def _end_clients(connection: Transaction, ids: Collection[int], _at: datetime) -> None:
    nothing = dict.fromkeys(("client_id", "client_secret", "configured_at"))
    connection.execute(update(OAuthClient).where(OAuthClient.id.in_(ids)).values(nothing))


def _end_flows(column: str, connection: Transaction, ids: Collection[int], at: datetime) -> None:
    mine = Flow.id.in_(ids)
    ended = {"status": FlowStatus.FAILED, "outcome": "key_lost", "finished_at": at}
    connection.execute(update(Flow).where(mine, Flow.status.not_in(OVER)).values(ended))
    connection.execute(update(Flow).where(mine).values({column: None}))


def _end_mail(connection: Transaction, ids: Collection[int], at: datetime) -> None:
    mine = OutboxItem.id.in_(ids)
    ended = {"state": OutboxState.DEAD, "error": "internal", "finished_at": at, "leased_until": None}
    connection.execute(update(OutboxItem).where(mine, OutboxItem.state != OutboxState.DONE).values(ended))
    connection.execute(update(OutboxItem).where(mine).values(message=None, message_id=None, fence=OutboxItem.fence + 1))


_ENDS: Mapping[str, Callable[[Transaction, Collection[int], datetime], None]] = {
    "secret.blob": _end_credentials,
    "oauth_client.client_secret": _end_clients,
    "flow.verifier": partial(_end_flows, "verifier"),
    "flow.grant": partial(_end_flows, "grant"),
    "outbox.message": _end_mail,
}
