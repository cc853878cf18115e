"""Letters beside the one that asks for apps: the words and the looks of each kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import current_app, g

from app import links, runtime
from app.database import new_public_id
from app.i18n import _, absolute, list_of
from app.mailer import looks
from app.mailer.message import Letter, Message
from app.mailer.transports import host_name
from app.mailer.transports import sender as default_sender
from app.services import branding, colours, connections, scopes
from app.services.colours import Palette
from app.services.letter_facts import Break, Code, Due, Invitation, Passing


@dataclass(frozen=True)
class Words:
    """What a letter says, from top to bottom; `code` stands between the lines and the button, of which there may be none."""

    subject: str
    title: str
    lines: Sequence[str]
    button: str
    url: str
    after: Sequence[str]
    foot: str
    code: str = ""
    code_hint: str = ""


@dataclass(frozen=True)
class Content:
    """All that the templates say."""

    agency: str
    support_email: str
    has_logo: bool
    brand: Palette
    recipient: str
    words: Words


def compose(due: Due, *, at: datetime) -> Message:
    """The message of a letter as it stands now; raises BadHeader where a name or address can't be written in one."""
    config, sender = runtime.current().config, due.sender
    words, text, html = _drawn(due)
    letter = Letter(
        message_id=f"<{new_public_id()}@{host_name(config)}>",
        at=at,
        sender_name=sender.sender_name,
        sender=sender.sender_address or default_sender(config),
        recipient=due.recipient,
        reply_to=sender.support_email,
        subject=words.subject,
        text=text,
        html=html,
        images={"logo": branding.logo_of(sender.logo_digest)} if sender.logo_digest else {},
    )
    return Message(letter)


def _drawn(due: Due) -> tuple[Words, str, str]:
    sender = due.sender
    with current_app.app_context():  # its own language and zone, whoever's turn it was before
        g.locale, g.timezone = sender.locale, sender.timezone
        words = _words(due)
        content = Content(
            agency=sender.name,
            support_email=sender.support_email,
            has_logo=sender.logo_digest is not None,
            brand=colours.palette(sender.accent),
            recipient=due.recipient,
            words=words,
        )
        return words, *looks.rendered("letter", {"mail": content, "subject": words.subject})


def _words(due: Due) -> Words:
    if isinstance(due.told, Code):
        return _code(due, due.told)
    if isinstance(due.told, Passing):
        return _passing(due, due.told)
    return _invitation(due, due.told) if isinstance(due.told, Invitation) else _break(due, due.told)


def _code(due: Due, told: Code) -> Words:
    agency = due.sender.name
    return Words(
        subject=_("Your code to sign in at %(agency)s", agency=agency),
        title=_("Sign in at %(agency)s", agency=agency),
        lines=[_("Type this code on the page where you asked for it.")],
        code=told.digits,
        code_hint=_("Or press the button, in the same browser:"),
        button=_("Sign in"),
        url=links.button_url(told.button, told.to),
        after=[
            _("Both work once, until %(until)s.", until=absolute(told.until)),
            _("Nobody at %(agency)s will ever ask you for this code.", agency=agency),
        ],
        foot=_("You did not ask to sign in? Ignore this e-mail: without the code nobody gets in."),
    )


def _invitation(due: Due, told: Invitation) -> Words:
    agency = due.sender.name
    return Words(
        subject=_("%(agency)s invites you to its client portal", agency=agency),
        title=_("Your portal at %(agency)s", agency=agency),
        lines=[
            _("Hello %(name)s, you are now a member of %(workspace)s.", name=told.name, workspace=told.workspace),
            _(
                "In the portal you connect the apps that you are asked for, see when each connection is used, "
                "and take access back whenever you like."
            ),
        ],
        button=_("Open the portal"),
        url=links.portal_url(due.sender.slug),
        after=[
            _(
                "Sign in as %(recipient)s. You get a code by e-mail each time, so there is no password to keep.",
                recipient=due.recipient,
            )
        ],
        foot=_("Not expecting this? Ignore it, nothing happens."),
    )


def _break(due: Due, told: Break) -> Words:
    app = scopes.app_of(told.connection).name
    return Words(
        subject=_("%(agency)s: %(app)s needs to be connected again", agency=due.sender.name, app=app),
        title=_("%(app)s needs to be connected again", app=app),
        lines=[_broken(told, app), connections.why_broken(told.connection), _paused(told)],
        button=_("Open Gatehouse") if told.for_staff else _("Connect again"),
        url=links.panel_url() if told.for_staff else links.portal_url(due.sender.slug),
        after=_how(due, told),
        foot=_("You get this e-mail once each time a connection stops working."),
    )


def _broken(told: Break, app: str) -> str:
    account = told.connection.account or told.connection.name
    if told.workspace:
        where = _("%(app)s as %(account)s, connected for %(workspace)s, has stopped working.")
        return where % {"app": app, "account": account, "workspace": told.workspace}
    return _("%(app)s as %(account)s has stopped working.", app=app, account=account)


def _passing(due: Due, told: Passing) -> Words:
    app, agency = scopes.app_of(told.connection), due.sender.name
    given = {"app": app.name, "account": told.connection.account or app.name, "workspace": told.workspace}
    after = [
        _(
            "Is that not right? Write to %(agency)s at once, or take the access back at %(app)s.",
            agency=agency,
            app=app.name,
        )
    ]
    settings = _("Open your %(app)s settings", app=app.name) if app.revoke_help else ""
    return Words(
        subject=_("%(agency)s: %(app)s was connected by somebody else", agency=agency, app=app.name),
        title=_("%(app)s was connected by somebody else", app=app.name),
        lines=[
            _(
                "You had connected %(app)s as %(account)s for %(workspace)s. Another person has connected the same account."
            )
            % given,
            _("The connection is theirs from now on: they renew it or take it back, and you do not see it any more."),
        ],
        button=_("Open the portal") if told.may_enter else settings,
        url=links.portal_url(due.sender.slug) if told.may_enter else app.revoke_help,
        after=after,
        foot=_("You get this e-mail once each time a connection of yours becomes another's."),
    )


def _paused(told: Break) -> str:
    if not told.paused:
        return _("No workflow is paused by it.")
    return _("Paused until then: %(workflows)s.", workflows=list_of(told.paused))


def _how(due: Due, told: Break) -> list[str]:
    if told.for_staff:
        return [_("Sign in as %(recipient)s.", recipient=due.recipient)]
    return [
        _("Sign in as %(recipient)s, and choose “Reconnect” beside it.", recipient=due.recipient),
        _(
            "%(agency)s never sees your password. Connecting uses the provider's own consent screen.",
            agency=due.sender.name,
        ),
    ]
