"""The staff's surface. Every module of this package adds its views to `bp`; nobody gets to one past the guard."""

import pkgutil
from importlib import import_module

from flask import Blueprint

from app.web.panel import stale
from app.web.panel.access import admit
from app.web.panel.navigation import around_page

bp = Blueprint("panel", __name__, url_prefix="/panel")
bp.before_request(admit)
bp.context_processor(around_page)
for _kind in stale.KINDS:
    bp.register_error_handler(_kind, stale.show_as_it_is)

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

from app.web.panel.setup import first_run  # noqa: E402 - it needs `bp`, as all of them do

__all__ = ["bp", "first_run"]
