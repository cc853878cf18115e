"""Marks of forms: what tells one that was sent from every other, so that a form sent twice is acted on once."""

import secrets

from flask import Flask, request

LONGEST = 64


def form_mark() -> str:
    """The mark of the form that was sent, if it has one; `services.counters.once` lets it be used once."""
    return request.form.get("mark", "")[:LONGEST]


def new_form_mark() -> str:
    """A mark for a form that is being made."""
    return secrets.token_urlsafe(16)


def register_marks(app: Flask) -> None:
    """Let templates mark their forms."""
    app.add_template_global(new_form_mark)
