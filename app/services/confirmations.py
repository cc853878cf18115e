"""What an act on a slot takes away with it, in the sentences that ask for a yes; empty where it takes nothing."""

from collections.abc import Sequence

from app.i18n import _, list_of, ngettext
from app.models import Connection, ConnectionRequest
from app.services import scopes


def cancels(asked: ConnectionRequest | None) -> str:
    """That a request is no longer asked."""
    if asked is None:
        return ""
    app, to = scopes.app_of(asked).name, asked.recipient
    return _("This cancels the %(app)s request to %(recipient)s.", app=app, recipient=to)


def takes_out(connection: Connection | None) -> str:
    """That a connection is no longer used here."""
    if connection is None:
        return ""
    return _("This takes %(name)s out of the workflow; the account stays connected.", name=connection.name)


def in_use(workflows: Sequence[str]) -> str:
    """That these workflows lose a connection which they use."""
    return ngettext(
        "%(names)s uses this connection and loses it.",
        "%(names)s use this connection and lose it.",
        len(workflows),
        names=list_of(workflows),
    )
