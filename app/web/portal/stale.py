"""A page of the portal that is out of date: what it asks for can't be done any more, and its reader is shown how things stand."""

from flask import request, url_for
from flask.typing import ResponseReturnValue

from app.errors import Conflict, DomainError, NotFound
from app.i18n import _
from app.web import destinations, errors
from app.web.htmx import go
from app.web.toasts import toast


def show_as_it_is(error: DomainError) -> ResponseReturnValue:
    """Say that nothing was changed, on the list that the form is from, or where its page is of one thing, at the connections.

    An error page where the form is from no page of ours.
    """
    key = destinations.came_from() or ""
    back = destinations.url_of(key)
    if request.method != "POST" or back is None or not isinstance(error, (Conflict, NotFound)):
        return errors.on_domain_error(error)
    gone = _("What this was about is not there any more.")
    toast(_("Nothing was changed"), gone if isinstance(error, NotFound) else str(error), kind="error")
    is_of_one = "." in key
    return go(url_for("portal.show_connections") if is_of_one else back)
