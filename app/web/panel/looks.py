"""Looks that are tried on: of every field what was typed if it can be accepted, else what was shown before, else what is saved."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import g
from werkzeug.datastructures import FileStorage

from app.errors import Refused
from app.services import addresses, branding, colours, logos, senders
from app.services.branding import Look
from app.web.panel.forms import BrandingForm, LookForm

SHOWN = "shown"  # the prefix of the fields in which a page keeps the look that it shows
RULES: dict[str, Callable[[str], str]] = {
    "name": addresses.clean_name,
    "sender_name": addresses.clean_name,
    "sender_address": lambda text: senders.checked(text, agency=g.agency) or "",
    "support_email": addresses.normalise,
    "accent": colours.parse,
    "timezone": branding.time_zone,
}


def shown() -> Look:
    """The look that the page shows that asks; of what it does not say, or says wrongly, what is saved."""
    form = LookForm(prefix=SHOWN)
    draft = _drawn(_decoded(form.picture.data or ""))
    return replace(_typed(form, branding.look_of(g.agency)), draft=draft)


def tried(form: BrandingForm, before: Look, *, is_new_logo: bool) -> Look:
    """What was typed over the look from before; what can't be accepted is blamed at its field."""
    look = _typed(form, before)
    upload = form.logo.data
    if not is_new_logo:
        return look
    if not isinstance(upload, FileStorage) or not upload.filename:
        return replace(look, draft=None)
    try:
        return replace(look, draft=logos.redraw(upload.read()).png)
    except Refused as refused:
        if not form.logo.errors:
            form.blame(refused)
        return look


def _typed(form: LookForm, before: Look) -> Look:
    taken: dict[str, Any] = {}
    for name, accept in RULES.items():
        field = form[name]
        try:
            if field.raw_data and not field.errors:
                taken[name] = accept(field.data or "")
        except Refused as refused:
            field.errors = [*field.errors, str(refused)]
    return replace(before, remove_logo=bool(form.remove_logo.data), **taken)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _drawn(picture: bytes) -> bytes | None:
    """Whatever a page brings is drawn anew, as an upload is."""
    try:
        return logos.redraw(picture).png if picture else None
    except Refused:
        return None
