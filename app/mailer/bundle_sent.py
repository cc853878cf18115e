"""The e-mail that asks a client to connect apps: its words and its looks."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from babel import dates
from flask import current_app, g
from markupsafe import escape

from app import links, runtime
from app.database import new_public_id
from app.i18n import _, absolute, list_of, ngettext, select_locale, viewer_zone
from app.mailer import looks
from app.mailer.message import Letter, Message
from app.mailer.transports import host_name
from app.mailer.transports import sender as default_sender
from app.models import Channel
from app.services import branding, bundle_mail, colours, link_tokens, outgoing
from app.services.colours import Palette
from app.services.outgoing import Outgoing

# Stand where a mail differs from others like it, until it has been drawn; nobody can guess them, and so write them into one.
RECIPIENT, URL = (f"{name}{secrets.token_hex(16)}" for name in ("recipient", "url"))


@dataclass(frozen=True)
class Known:
    """An app by what its tile needs."""

    key: str
    name: str


@dataclass(frozen=True)
class Asked:
    """One app as the mail shows it."""

    app: Known
    note: str
    permissions: tuple[str, ...]
    workflow: str
    is_mending: bool
    account: str | None
    handed_over_from: str | None


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


def compose(bundle: Outgoing, *, at: datetime) -> Message:
    """The message for a bundle as it stands now; raises BadHeader where a name or address can't be written in one."""
    config = runtime.current().config
    subject, text, html = _drawn(_content(bundle), bundle.locale, bundle.timezone)
    letter = Letter(
        message_id=f"<{new_public_id()}@{host_name(config)}>",
        at=at,
        sender_name=bundle.sender_name,
        sender=bundle.sender_address or default_sender(config),
        recipient=bundle.recipient,
        reply_to=bundle.support_email,
        subject=subject,
        text=text,
        html=html,
        images={"logo": branding.logo_of(bundle.logo_digest)} if bundle.logo_digest else {},
        own={RECIPIENT: bundle.recipient, URL: _url(bundle)},
    )
    return Message(letter)


def html_of(bundle: Outgoing, *, url: str) -> str:
    """The HTML of a mail that is looked at and never sent, leading to `url`, with a logo as `cid:logo`."""
    _subject, _text, html = _made(_content(bundle), bundle.locale, bundle.timezone)
    return html.replace(RECIPIENT, escape(bundle.recipient)).replace(URL, escape(url))


def _url(bundle: Outgoing) -> str:
    if bundle.channel is Channel.LINK:
        return links.intake_url(link_tokens.of(bundle))
    first = next(iter(bundle.asked), None)
    return links.portal_url(bundle.slug, workflow_id=first.workflow_id if first else None)


def _content(bundle: Outgoing) -> Content:
    return Content(
        agency=bundle.agency,
        support_email=bundle.support_email,
        has_logo=bundle.logo_digest is not None,
        brand=colours.palette(bundle.accent),
        person=bundle.sent_by,
        workspace=bundle.workspace,
        recipient=RECIPIENT,
        by_link=bundle.channel is Channel.LINK,
        url=URL,
        expires_at=bundle.expires_at.replace(second=0, microsecond=0),
        apps=tuple(_asked(each) for each in bundle_mail.asked(bundle)),
    )


def _asked(asked: outgoing.Asked) -> Asked:
    app = asked.app
    labels = (app.scope_label(scope) for scope in app.ordered(asked.scopes))
    permissions = tuple(dict.fromkeys(labels))
    told = (asked.note, permissions, asked.workflow, asked.is_mending, asked.account, asked.handed_over_from)
    return Asked(Known(app.key, app.name), *told)


@lru_cache(maxsize=64)
def _drawn(content: Content, locale: str, timezone: str) -> tuple[str, str, str]:
    return _made(content, locale, timezone)


def _made(content: Content, locale: str, timezone: str) -> tuple[str, str, str]:
    with current_app.app_context():  # its own language and zone, whoever's turn it was before
        g.locale, g.timezone = locale, timezone
        return _rendered(content)


def _rendered(content: Content) -> tuple[str, str, str]:
    subject = subject_of(content.agency, [asked.app.name for asked in content.apps])
    shown = {
        "mail": content,
        "subject": subject,
        "until": _until(content.expires_at),
        "who": _who(content),
    }
    return subject, *looks.rendered("bundle_sent", shown)


def subject_of(agency: str, apps: Sequence[str]) -> str:
    """“Action required: Northwind Studio needs you to connect Slack”."""
    return _("Action required: %(agency)s needs you to connect %(apps)s", agency=agency, apps=name_apps(apps))


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
