"""A page that is out of date: what it asks for can't be done any more, and its reader is shown how things stand instead."""

from flask import request
from flask.typing import ResponseReturnValue

from app.errors import Conflict, DomainError, NotFound
from app.i18n import _
from app.web import destinations, errors
from app.web.htmx import go
from app.web.toasts import toast

KINDS = (Conflict, NotFound)
GONE = "What this was about is not there any more."


def show_as_it_is(error: DomainError) -> ResponseReturnValue:
    """Say that nothing was changed, on the page that the form is from as it now is; an error page where there is none."""
    back = destinations.url_of(destinations.came_from())
    if request.method != "POST" or back is None:
        return errors.on_domain_error(error)
    detail = _(GONE) if isinstance(error, NotFound) else str(error)
    toast(_("Nothing was changed"), detail, kind="error")
    return go(back)
