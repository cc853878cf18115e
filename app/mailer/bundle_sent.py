"""The e-mail that asks a client to connect apps: its words and its looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import css_inline
from babel import dates
from flask import current_app, g

from app import links, runtime
from app.catalog.schema import App
from app.database import new_public_id
from app.i18n import _, absolute, list_of, ngettext, select_locale, viewer_zone
from app.mailer.message import Letter, Message
from app.mailer.transports import host_name
from app.mailer.transports import sender as default_sender
from app.models import Agency, Bundle, Channel, ConnectionRequest
from app.services import branding, bundle_mail, link_tokens, scopes
from app.services.colours import Palette

# The tiles of static/theme.css (.gh-tone-1 to 8) as mail programs know colours: ground and ink, light then dark.
TILES = (
    ("#fbe8e5", "#6a3633", "#402927", "#f6c2bd"),
    ("#f8eade", "#633e16", "#3d2d1d", "#edcaa8"),
    ("#edeede", "#4a4b14", "#31321d", "#d3d5a8"),
    ("#e2f1e6", "#205335", "#223629", "#b3ddc0"),
    ("#ddf2f3", "#005358", "#193637", "#a3dde0"),
    ("#e2eefb", "#254a6e", "#233242", "#b4d5f8"),
    ("#efeafa", "#4e3e6a", "#332c40", "#d7c9f3"),
    ("#f9e7f0", "#643651", "#3d2934", "#efc2da"),
)


@dataclass(frozen=True)
class Asked:
    """One app as the mail shows it."""

    app: App
    note: str
    permissions: tuple[str, ...]
    workflow: str


@dataclass(frozen=True)
class Content:
    """All that the templates say."""

    agency: str
    support_email: str
    has_logo: bool
    brand: Palette
    person: str
    workspace: str
    recipient: str
    by_link: bool
    url: str
    expires_at: datetime
    apps: tuple[Asked, ...]

    @property
    def workflows(self) -> list[str]:
        """What the apps are for, each once."""
        return list(dict.fromkeys(asked.workflow for asked in self.apps))


def compose(bundle: Bundle, *, at: datetime) -> Message:
    """The message for a bundle as it stands now; raises BadHeader where a name or address can't be written in one."""
    agency = bundle_mail.agency_of(bundle)
    config = runtime.current().config
    content = _content(bundle, agency)
    with current_app.app_context():  # its own language and zone, whoever's turn it was before
        g.locale, g.timezone = agency.locale, agency.timezone
        subject, text, html = _rendered(content)
    letter = Letter(
        message_id=f"<{new_public_id()}@{host_name(config)}>",
        at=at,
        sender_name=agency.sender_name,
        sender=agency.sender_address or default_sender(config),
        recipient=bundle.recipient,
        reply_to=agency.support_email,
        subject=subject,
        text=text,
        html=html,
        images={"logo": agency.logo} if agency.logo else {},
    )
    return Message(letter)


def _content(bundle: Bundle, agency: Agency) -> Content:
    by_link = bundle.channel is Channel.LINK
    return Content(
        agency=agency.name,
        support_email=agency.support_email,
        has_logo=agency.logo is not None,
        brand=branding.palette(agency),
        person=bundle.sent_by,
        workspace=bundle.workspace.name,
        recipient=bundle.recipient,
        by_link=by_link,
        url=links.intake_url(link_tokens.of(bundle)) if by_link else links.portal_url(),
        expires_at=bundle.expires_at,
        apps=tuple(_asked(each) for each in bundle_mail.outstanding(bundle)),
    )


def _asked(asked: ConnectionRequest) -> Asked:
    app = scopes.app_of(asked)
    labels = (app.scope_label(scope) for scope in app.ordered(asked.sent_scopes or ()))
    return Asked(app, asked.note, tuple(dict.fromkeys(labels)), asked.workflow.name)


def _rendered(content: Content) -> tuple[str, str, str]:
    environment = current_app.jinja_env
    subject = _(
        "Action required: %(agency)s needs you to connect %(apps)s",
        agency=content.agency,
        apps=name_apps([asked.app.name for asked in content.apps]),
    )
    shown = {
        "mail": content,
        "subject": subject,
        "tiles": TILES,
        "until": _until(content.expires_at),
        "who": _who(content),
    }
    text = environment.get_template("mail/bundle_sent.txt").render(shown)
    css = environment.get_template("mail/light.css").render(shown)
    inliner = css_inline.CSSInliner(extra_css=css, keep_style_tags=True, load_remote_stylesheets=False)
    return subject, text, inliner.inline(environment.get_template("mail/bundle_sent.html").render(shown))


def name_apps(names: Sequence[str]) -> str:
    """“Slack”, “Slack and HubSpot”, or “Slack, HubSpot and 2 more apps”; an app asked for twice is named once."""
    known = list(dict.fromkeys(names))
    if len(known) < 3:
        return list_of(known)
    more, first = len(known) - 2, f"{known[0]}, {known[1]}"
    return ngettext("%(apps)s and %(num)s more app", "%(apps)s and %(num)s more apps", more, apps=first)


def _who(content: Content) -> str:
    """Who asks, for whom, what for and where, in a sentence."""
    several = ngettext("%(num)s workflow", "%(num)s workflows", len(content.workflows))
    return _(
        "%(person)s asks on behalf of %(agency)s, for %(workflows)s at %(workspace)s.",
        person=content.person,
        agency=content.agency,
        workflows=list_of(content.workflows) if len(content.workflows) <= 3 else several,
        workspace=content.workspace,
    )


def _until(at: datetime) -> str:
    """A moment with its weekday and zone: “Friday, 27 November 2026, 09:12 CET”."""
    day = dates.format_date(at.astimezone(viewer_zone()), "EEEE", locale=select_locale())
    return f"{day}, {absolute(at)}"
