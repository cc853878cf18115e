"""The portal: where a client signs in to see what is asked of them, and to look after what they gave.

Every module of this package adds its views to `bp`; nobody gets to one past the guard.
"""

import pkgutil
from importlib import import_module

from flask import Blueprint

from app.errors import Conflict
from app.web.errors import surround_missing
from app.web.portal.access import admit
from app.web.portal.navigation import around_missing, around_page
from app.web.portal.stale import show_as_it_is
from app.web.sessions import Surface

bp = Blueprint("portal", __name__, url_prefix="/portal")
bp.before_request(admit)
bp.context_processor(around_page)
surround_missing(Surface.PORTAL, "portal/not_found.html", around_missing)
bp.register_error_handler(Conflict, show_as_it_is)

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
