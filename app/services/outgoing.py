"""A mail's bundle with all that is told of it, read at once as it leaves; and what may change it at that moment."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import and_, bindparam, case, or_, select, update

from app.catalog.schema import App
from app.extensions import db
from app.models import Agency, Bundle, Channel, Connection, ConnectionRequest, Kind, Status, Workflow, Workspace
from app.prepared import Prepared
from app.services import scopes


@dataclass(frozen=True)
class Asked:
    """One of the requests that the mail carries."""

    app: App
    note: str
    scopes: tuple[str, ...]
    workflow: str
    is_mending: bool = False
    account: str | None = None  # which is to be mended
    handed_over_from: str | None = None
    workflow_id: str = ""


@dataclass(frozen=True)
class Outgoing:
    """A bundle, and of its agency and workspace what its mail needs."""

    id: int
    public_id: str
    agency_id: int
    workspace_id: int
    recipient: str
    channel: Channel
    nonce: bytes
    epoch: int
    sent_by: str
    expires_at: datetime
    closed_at: datetime | None
    workspace: str
    agency: str
    slug: str
    locale: str
    timezone: str
    sender_name: str
    sender_address: str | None
    support_email: str
    accent: str
    logo_digest: str | None
    mails_per_hour: int
    mails_per_recipient_day: int
    asked: tuple[Asked, ...] = ()  # in the order that it was asked

    @property
    def sender_id(self) -> int:
        """The agency whose mail it is."""
        return self.agency_id

    @property
    def is_code(self) -> bool:
        """It asks for apps."""
        return False

    def is_expired(self, at: datetime) -> bool:
        """Whether its link has lapsed by the clock."""
        return self.expires_at <= at


OF_BUNDLE = (
    Bundle.id, Bundle.public_id, Bundle.agency_id, Bundle.workspace_id, Bundle.recipient, Bundle.channel, Bundle.nonce,
    Bundle.epoch, Bundle.sent_by, Bundle.expires_at, Bundle.closed_at,
)  # fmt: skip
OF_AGENCY = (
    Agency.slug, Agency.locale, Agency.timezone, Agency.sender_name, Agency.sender_address, Agency.support_email, Agency.accent,
    Agency.logo_digest, Agency.mails_per_hour, Agency.mails_per_recipient_day,
)  # fmt: skip
COLUMNS = (*OF_BUNDLE, Workspace.name.label("workspace"), Agency.name.label("agency"), *OF_AGENCY)
_BUNDLES = (
    select(*COLUMNS)
    .select_from(Bundle)
    .join(Workspace, Workspace.id == Bundle.workspace_id)
    .join(Agency, Agency.id == Bundle.agency_id)
)
_asked, _workflow = ConnectionRequest, Workflow
_WHOLE = (
    _BUNDLES.add_columns(
        _asked.app_key,
        _asked.note,
        _asked.sent_scopes,
        _asked.handed_over_from,
        _workflow.name.label("workflow"),
        _workflow.public_id.label("workflow_id"),
        (_asked.kind == Kind.REAUTHORIZE).label("is_mending"),
        Connection.account,
    )
    .outerjoin(_asked, and_(_asked.bundle_id == Bundle.id, _asked.status == Status.PENDING))
    .outerjoin(_workflow, _workflow.id == _asked.workflow_id)
    .outerjoin(Connection, Connection.id == _asked.connection_id)
    .order_by(_asked.created_at, _asked.id)
)
_MOMENT = Bundle.__table__.c.expires_at.type
_PORTAL, _LINK = (bindparam(channel.value, type_=_MOMENT) for channel in (Channel.PORTAL, Channel.LINK))
_STARTED = (
    update(Bundle)
    .where(Bundle.closed_at.is_(None), Bundle.clock_started_at.is_(None))
    .values(
        clock_started_at=bindparam("at", type_=_MOMENT),
        expires_at=case((Bundle.channel == Channel.PORTAL, _PORTAL), else_=_LINK),
    )
)


@cache
def _read(many: int) -> Prepared:
    return Prepared(_WHOLE.where(Bundle.id.in_([bindparam(f"bundle_{number}") for number in range(many)])))


@cache
def _start(many: int) -> Prepared:
    these = (
        and_(Bundle.id == bindparam(f"bundle_{number}"), Bundle.epoch == bindparam(f"epoch_{number}"))
        for number in range(many)
    )
    return Prepared(_STARTED.where(or_(*these)))


def of(bundle_ids: Collection[int]) -> dict[int, Outgoing]:
    """Those bundles as they are now, without what their mails ask for."""
    rows: Any = db.session.execute(_BUNDLES.where(Bundle.id.in_(bundle_ids)))
    return {row.id: Outgoing(*row) for row in rows}


def read(bundle_id: int) -> Outgoing | None:
    """The bundle as it is now, with what its mail asks for."""
    return read_all([bundle_id]).get(bundle_id)


def read_all(bundle_ids: Sequence[int]) -> dict[int, Outgoing]:
    """Those bundles as they are now, with what their mails ask for."""
    found: dict[int, list[Any]] = {}
    for row in _read(len(bundle_ids))(**{f"bundle_{n}": one for n, one in enumerate(bundle_ids)}):
        found.setdefault(row.id, []).append(row)
    return {
        bundle_id: Outgoing(*(*rows[0][: len(COLUMNS)], tuple(_of(row) for row in rows if row.app_key)))
        for bundle_id, rows in found.items()
    }


def _of(row: Any) -> Asked:
    told = (scopes.app_of(row), row.note, tuple(row.sent_scopes or ()), row.workflow)
    account = row.account if row.is_mending else None
    return Asked(*told, bool(row.is_mending), account, row.handed_over_from, row.workflow_id)


def start_clocks(epochs: Mapping[int, int], *, at: datetime) -> None:
    """Have the lifetime of each bundle's link of that epoch begin, unless it has or the link is another by now."""
    ends = {channel.value: at + channel.lifetime for channel in Channel}
    given = {f"bundle_{n}": bundle_id for n, bundle_id in enumerate(epochs)}
    given |= {f"epoch_{n}": epoch for n, epoch in enumerate(epochs.values())}
    _start(len(epochs))(**given, at=at, **ends)
