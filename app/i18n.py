"""Texts, dates, plurals and lists in the reader's language; English is the source of every text."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import flask_babel
from babel import Locale, dates, lists
from flask import current_app, g, has_app_context

UTC = ZoneInfo("UTC")
MINUTE, HOUR, DAY = 60, 3600, 86400


def gettext(message: str, **variables: object) -> str:
    """Translate a text; `%(name)s` in it takes the variable of that name."""
    return str(flask_babel.gettext(message, **variables))


def ngettext(singular: str, plural: str, num: int, **variables: object) -> str:
    """Translate a text that counts; `%(num)s` takes the number."""
    return str(flask_babel.ngettext(singular, plural, num, **variables))


def lazy_gettext(message: str, **variables: object) -> Any:
    """Translate a text when it is shown: for what stands outside a request, like the labels of forms."""
    return flask_babel.lazy_gettext(message, **variables)


def texts() -> Any:
    """The texts of the page being made."""
    return texts_of(select_locale())


def texts_of(locale: str) -> Any:
    """The texts of a language, whichever is the reader's."""
    held: dict[str, Any] = current_app.extensions.setdefault("gatehouse_texts", {})
    if locale not in held:
        with flask_babel.force_locale(locale):
            held[locale] = flask_babel.get_translations()
    return held[locale]


_ = gettext
_l = lazy_gettext


def language() -> str:
    """The language tag of the page being made: what `g.locale` says, else English."""
    return str(g.get("locale") or "en") if has_app_context() else "en"


def select_locale() -> str:
    """The locale for dates and texts; plain English is written the British way."""
    tag = language().replace("-", "_")
    return "en_GB" if tag == "en" else tag


@lru_cache(maxsize=64)
def _known(tag: str) -> Locale:
    return Locale.parse(tag)


def viewer_zone() -> ZoneInfo:
    """The zone that times are written in: what `g.timezone` names, else the agency's, else UTC."""
    name = (g.get("timezone") or getattr(g.get("agency"), "timezone", None)) if has_app_context() else None
    try:
        return ZoneInfo(str(name)) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def list_of(items: Iterable[str]) -> str:
    """“Slack”, “Slack and HubSpot”, “Slack, HubSpot and Xero”."""
    return lists.format_list(list(items), locale=_known(select_locale()))


def absolute(at: datetime) -> str:
    """“20 November 2026, 09:31 UTC”."""
    local = at.astimezone(viewer_zone())
    day = dates.format_date(local, "long", locale=_known(select_locale()))
    return f"{day}, {local:%H:%M} {local.tzname()}"


def day_of(at: datetime, now: datetime) -> str:
    """“12 November”, with the year unless it is this one."""
    local = at.astimezone(viewer_zone())
    if local.year != now.astimezone(viewer_zone()).year:
        return dates.format_date(local, "long", locale=_known(select_locale()))
    return dates.format_skeleton("MMMMd", local, locale=_known(select_locale()))


def relative(at: datetime, now: datetime) -> str:
    """“2 hours ago”, “in 7 days”; a date from a week back or a month ahead. static/relative-time.js does the same."""
    span = abs((at - now).total_seconds())
    ahead = at > now
    if span < MINUTE:
        return _("in less than a minute") if ahead else _("just now")
    if (minutes := int(span / MINUTE + 0.5)) < 60:
        return _minutes(minutes, ahead=ahead)
    if (hours := int(span / HOUR + 0.5)) < 24:
        return _hours(hours, ahead=ahead)
    return _days(at, now, ahead=ahead)


def _minutes(num: int, *, ahead: bool) -> str:
    if ahead:
        return ngettext("in %(num)s minute", "in %(num)s minutes", num)
    return ngettext("%(num)s minute ago", "%(num)s minutes ago", num)


def _hours(num: int, *, ahead: bool) -> str:
    if ahead:
        return ngettext("in %(num)s hour", "in %(num)s hours", num)
    return ngettext("%(num)s hour ago", "%(num)s hours ago", num)


def _days(at: datetime, now: datetime, *, ahead: bool) -> str:
    zone = viewer_zone()
    num = max(1, abs((at.astimezone(zone).date() - now.astimezone(zone).date()).days))
    if num >= (30 if ahead else 7):
        return day_of(at, now)
    if num == 1:
        return _("tomorrow") if ahead else _("yesterday")
    if ahead:
        return ngettext("in %(num)s day", "in %(num)s days", num)
    return ngettext("%(num)s day ago", "%(num)s days ago", num)
