"""Who may enter the panel: a signed-in member of staff, and for some pages an owner or admin."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import g, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import Forbidden, NotFound
from app.i18n import _
from app.services import passwords, staff_sessions
from app.services.staff_passwords import Proven
from app.tenancy import enter_tenant
from app.web import destinations
from app.web.htmx import go, is_poll
from app.web.sessions import current_session

OPEN = frozenset({"panel.sign_in", "panel.submit_sign_in"})
CHOOSING = frozenset({"panel.choose_password", "panel.save_chosen_password", "panel.sign_out"})
P = ParamSpec("P")
R = TypeVar("R")


def admit() -> ResponseReturnValue | None:
    """Let nobody in but those whose session lives; what they then reach is their own agency's alone."""
    if request.endpoint in OPEN:
        return None
    browser = current_session()
    found = None if browser.is_new else staff_sessions.resume(browser.id_hash, is_poll=is_poll())
    if found is None:
        return ask_to_sign_in()
    enter_tenant(found.agency_id)
    g.staff, g.agency = found.staff, found.staff.agency
    g.timezone, g.locale = g.agency.timezone, g.agency.locale
    if passwords.is_one_time(g.staff.password_hash) and request.endpoint not in CHOOSING:
        return go(url_for("panel.choose_password"))
    if not all(str(value).isascii() and str(value).isprintable() for value in (request.view_args or {}).values()):
        raise NotFound
    return None


def ask_to_sign_in() -> ResponseReturnValue:
    """Lead to the sign-in page, which leads back to where one was."""
    return go(url_for("panel.sign_in", to=destinations.wanted()))


def enter(proven: Proven) -> None:
    """Sign a person in at this browser, under an id that nobody knew before."""
    browser = current_session()
    before = None if browser.is_new else browser.id_hash
    browser.rotate()
    agent = request.headers.get("User-Agent", "")
    staff_sessions.start(proven, id_hash=browser.id_hash, user_agent=agent, replacing=before)


def require_manager() -> None:
    """Raise Forbidden for members of staff who are neither owner nor admin."""
    if not g.staff.manages:
        raise Forbidden(_("Only owners and admins can do this. Ask one of them."))


def for_managers(view: Callable[P, R]) -> Callable[P, R]:
    """Keep a view for owners and admins."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        require_manager()
        return view(*args, **kwargs)

    return guarded
