"""What a browser may reach without login: the links that it has opened, kept under the hash of its session's id."""

from datetime import datetime, timedelta

from sqlalchemy import bindparam, insert, literal, select, update

from app.database import inserting
from app.extensions import db
from app.models import Flow, FlowStatus, IntakeSession
from app.prepared import Prepared, Row
from app.tenancy import across_tenants

FINAL_PAGE = timedelta(days=7)  # how long the end of a bundle can be seen after its link


KNOWN = Prepared(
    select(IntakeSession.id).where(
        IntakeSession.id_hash == bindparam("by"),
        IntakeSession.bundle_id == bindparam("bundle"),
        IntakeSession.epoch == bindparam("at_epoch"),
    )
)


def _remember(dialect: str) -> Prepared:
    statement = inserting(dialect, IntakeSession)
    opened = {"epoch": statement.excluded.epoch, "expires_at": statement.excluded.expires_at}
    known = {"index_elements": ["id_hash", "bundle_id"], "where": IntakeSession.epoch != statement.excluded.epoch}
    return Prepared(statement.on_conflict_do_update(set_=opened, **known).returning(IntakeSession.id))


REMEMBER = {name: _remember(name) for name in ("sqlite", "postgresql")}


def knows(id_hash: bytes, bundle: Row) -> bool:
    """Whether the browser has opened this very link before."""
    return KNOWN(by=id_hash, bundle=bundle.id, at_epoch=bundle.epoch).scalar() is not None


def remember(id_hash: bytes, bundle: Row, *, until: datetime, at: datetime) -> bool:
    """Let the browser reach the bundle by its link, which ends at `until`; false if it could.

    One upsert, so that several tabs may at once.
    """
    remembered = REMEMBER[db.engine.dialect.name](
        id_hash=id_hash,
        agency_id=bundle.agency_id,
        workspace_id=bundle.workspace_id,
        bundle_id=bundle.id,
        epoch=bundle.epoch,
        created_at=at,
        expires_at=until + FINAL_PAGE,
    )
    return remembered.scalar() is not None


def succeed(id_hash: bytes, successor: bytes) -> None:
    """Let the browser reach under a new id what it could under its old one, and end there what it began.

    What was reached stays with the old id too, so that two links opened at once both take all along.
    """
    copied = ("agency_id", "workspace_id", "bundle_id", "epoch", "created_at", "expires_at")
    columns = [getattr(IntakeSession, name) for name in copied]
    with across_tenants("one browser may have been asked by several agencies"):
        before = select(literal(successor), *columns).where(IntakeSession.id_hash == id_hash)
        db.session.execute(insert(IntakeSession).from_select(["id_hash", *copied], before))
        bundle_ids = select(IntakeSession.bundle_id).where(IntakeSession.id_hash == successor)
        db.session.execute(
            update(Flow)
            .where(Flow.bundle_id.in_(bundle_ids), Flow.session_hash == id_hash, Flow.status == FlowStatus.STARTED)
            .values(session_hash=successor),
            execution_options={"synchronize_session": False},
        )
