"""What the preview of a branding shows in the place of a real request: a made-up client, at addresses that nobody has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app import runtime
from app.catalog.schema import App
from app.i18n import _
from app.models import Channel, Health, Kind, Notice, Status
from app.services import outgoing, scopes
from app.services.branding import Look
from app.services.intake import Card
from app.services.outgoing import Outgoing

RECIPIENT = "priya.nair@harbordental.example"  # RFC 2606, section 2
WORKSPACE, WORKFLOW = "Harbor Dental", "New patient intake"
APPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"), ("zendesk", "create_ticket"))
CONNECTED, WITH_A_NOTE = "slack", "zendesk"


@dataclass(frozen=True)
class Asked:
    """A request, as far as its card shows it."""

    public_id: str
    note: str
    status: Status
    account: str | None
    kind: Kind = Kind.CONNECT
    workflow: str = WORKFLOW
    number: int = 0
    notice: Notice | None = None
    health: Health | None = None
    declined_reason: str = ""
    expected_account: str | None = None
    granted_scopes: tuple[str, ...] | None = None
    typed_fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """All that the recipient is asked for, as far as the page shows it."""

    sent_by: str
    expires_at: datetime
    recipient: str = RECIPIENT


def bundle(*, person: str, at: datetime) -> Bundle:
    """What `person` asks of the made-up client."""
    return Bundle(person, at + Channel.LINK.lifetime)


def cards() -> list[Card]:
    """An app that is connected and two that are not, one of which wants something typed first."""
    return [_card(app, needed) for app, needed in _apps()]


def app_names() -> list[str]:
    """What the apps are called."""
    return [app.name for app, _needed in _apps()]


def letter(look: Look, *, person: str, locale: str, at: datetime) -> Outgoing:
    """The mail that asks for them."""
    return Outgoing(
        id=0,
        public_id="",
        agency_id=0,
        workspace_id=0,
        recipient=RECIPIENT,
        channel=Channel.LINK,
        nonce=b"",
        epoch=1,
        sent_by=person,
        expires_at=at + Channel.LINK.lifetime,
        closed_at=None,
        workspace=WORKSPACE,
        agency=look.name,
        slug="",
        locale=locale,
        timezone=look.timezone,
        sender_name=look.sender_name,
        sender_address=look.sender_address or None,
        support_email=look.support_email,
        accent=look.accent,
        logo_digest="sample" if look.logo_url else None,
        mails_per_hour=0,
        mails_per_recipient_day=0,
        asked=tuple(outgoing.Asked(app, _note(app), needed, WORKFLOW) for app, needed in _apps()),
    )


def _apps() -> list[tuple[App, tuple[str, ...]]]:
    known = ((runtime.current().catalog.find(key), action) for key, action in APPS)
    return [(app, app.scopes_for([action])) for app, action in known if app is not None]


def _card(app: App, needed: tuple[str, ...]) -> Card:
    is_connected = app.key == CONNECTED
    asked = Asked(
        public_id=app.key,
        note=_note(app),
        status=Status.FULFILLED if is_connected else Status.PENDING,
        account=WORKSPACE if is_connected else None,
        health=Health.ACTIVE if is_connected else None,
    )
    return Card(asked, app, scopes.permissions(app, needed, granted=None))


def _note(app: App) -> str:
    return _("Use the account that the front desk works with.") if app.key == WITH_A_NOTE else ""
