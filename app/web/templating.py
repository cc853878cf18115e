"""What templates can use beside their context: names and colours of tiles, times, the language."""

import hashlib
import math
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from flask import Flask
from markupsafe import Markup, escape
from wtforms import Field, SelectField

from app import clock
from app.i18n import absolute, language, list_of, relative, select_locale
from app.services.addresses import masked
from app.web.environment import gettext_in, ngettext_in

TONES = 8
HYPHENED = re.compile(r"\be-mail\b", re.IGNORECASE)
SALT = b"b"  # with it the apps that are asked for most often differ


@lru_cache(maxsize=512)
def monogram(name: str) -> str:
    """Two letters that stand for a name: “GS” for Google Sheets, “Hu” for HubSpot."""
    words = [word for word in ("".join(c for c in part if c.isalnum()) for part in name.split()) if word]
    if not words:
        return "?"
    return (words[0][0] + words[1][0]).upper() if len(words) > 1 else words[0][:2].capitalize()


@lru_cache(maxsize=512)
def tone(key: str) -> int:
    """The colour of an app's tile, 1 to 8: the same for the same key everywhere."""
    return hashlib.sha256(SALT + key.encode()).digest()[0] % TONES + 1


def breakable(text: str) -> Markup:
    """A text that may go on in the next line after an @, so that addresses are not divided within a word."""
    return Markup("@<wbr>").join(text.split("@"))


def unbroken(text: str) -> Markup:
    """A text in which the word “e-mail” is not divided at its hyphen."""
    safe = str(escape(text))
    return Markup(HYPHENED.sub(r'<span class="text-nowrap">\g<0></span>', safe))  # noqa: S704 - escaped just now


def relative_now(at: datetime) -> str:
    """“2 hours ago”, by the clock of this moment."""
    return relative(at, clock.now())


def iso(at: datetime) -> str:
    """For `datetime` attributes: ISO 8601 in whole seconds."""
    return at.isoformat(timespec="seconds")


def wait(until: datetime) -> str:
    """“4:12” until a moment, in whole seconds rounded up; nothing once it has come. static/cooldown.js does the same."""
    seconds = math.ceil((until - clock.now()).total_seconds())
    if seconds <= 0:
        return ""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def control_attributes(
    field: Field,
    *,
    hint: str | None = None,
    counter: int | None = None,
    css: str | None = None,
    attrs: Mapping[str, object] = MappingProxyType({}),
    **settings: Any,
) -> dict[str, object]:
    """The attributes of a form control, for `components/field.html`: class, what describes it, whether it is wrong."""
    classes = [css or ("form-select" if isinstance(field, SelectField) else "form-control")]
    classes += [f"gh-{name}" for name in ("code", "short", "tiny") if settings.get(name)]
    described = [f"{field.id}-hint"] if hint else []
    described += [f"{field.id}-count"] if counter else []
    described += [f"{field.id}-error"] if field.errors else []
    described += [str(attrs["aria-describedby"])] if "aria-describedby" in attrs else []
    found: dict[str, object] = dict(attrs)
    if field.errors:
        classes.append("is-invalid")
        found["aria-invalid"] = "true"
    found["class"] = " ".join(classes)
    if described:
        found["aria-describedby"] = " ".join(described)
    if counter:
        found["maxlength"] = counter
    return found | {name: settings[name] for name in ("placeholder", "autofocus") if settings.get(name)}


def server_now() -> str:
    """The server's clock, from which scripts reckon how far the browser's is off."""
    return clock.now().isoformat(timespec="milliseconds")


def register_templating(app: Flask) -> None:
    """Add our filters and globals."""
    app.extensions["babel"].locale_selector = select_locale
    for name_filter in (monogram, tone, absolute, breakable, unbroken, iso, wait, masked):
        app.add_template_filter(name_filter)
    app.add_template_filter(relative_now, "relative")
    app.jinja_env.globals |= {"_": gettext_in, "gettext": gettext_in, "ngettext": ngettext_in}
    app.add_template_global(server_now)
    app.add_template_global(control_attributes)
    app.add_template_global(language)
    app.add_template_global(list_of)
