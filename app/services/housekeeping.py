"""Rows that have served their time: what links and sign-ins leave behind is dropped in pages, so that no lock lasts."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, literal_column, select

from app.database import Model, transaction
from app.extensions import db
from app.models import Flow, IntakeSession, OutboxItem, OutboxState, PortalCode, PortalSession, StaffSession
from app.services import letters, refresh_plans
from app.tenancy import across_tenants

PAGE = 500
CODES_KEPT = timedelta(hours=1)
FLOWS_KEPT = timedelta(days=30)
PLANS_KEPT = timedelta(days=1)  # each connection leaves dozens a day
WORK_KEPT = timedelta(days=90)  # long enough to look up whether a mail went out


# Spelt as the indexes have it.
_PLAN: ColumnElement[str] = literal_column(f"'{refresh_plans.KIND}'")


def sweep(*, at: datetime) -> int:
    """Drop what is over; returns how many rows went. A flow that still holds a grant stays until that is given back."""
    with across_tenants("time passes for everybody alike"):
        return sum(
            (
                _drop(IntakeSession, IntakeSession.expires_at < at),
                _drop(StaffSession, StaffSession.expires_at < at),
                _drop(PortalSession, PortalSession.expires_at < at),
                _drop(PortalCode, PortalCode.expires_at < at - CODES_KEPT),
                _drop(Flow, (Flow.expires_at < at - FLOWS_KEPT) & Flow.grant.is_(None)),
                _drop(
                    OutboxItem,
                    (OutboxItem.kind == _PLAN)
                    & (OutboxItem.state == OutboxState.DONE)
                    & (OutboxItem.finished_at < at - PLANS_KEPT),
                ),
                _drop(
                    OutboxItem,
                    (OutboxItem.kind != _PLAN)
                    & ((OutboxItem.state == OutboxState.DONE) | OutboxItem.kind.in_(letters.KINDS))
                    & (OutboxItem.finished_at < at - WORK_KEPT),
                ),
            )
        )


def _drop(kind: type[Model], over: ColumnElement[bool]) -> int:
    gone = 0
    while True:
        with transaction() as session:
            ids = session.scalars(select(kind.id).where(over).limit(PAGE)).all()  # type: ignore[attr-defined]
            if ids:
                session.execute(delete(kind).where(kind.id.in_(ids)).execution_options(synchronize_session=False))  # type: ignore[attr-defined]
        gone += len(ids)
        if len(ids) < PAGE:
            db.session.expire_all()
            return gone
