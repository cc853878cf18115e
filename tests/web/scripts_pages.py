"""Pages made of the real bases and components, with a use of every script of ours."""

from datetime import timedelta
from types import SimpleNamespace

from flask import Flask, redirect, render_template, request
from flask_wtf import FlaskForm
from jinja2 import ChoiceLoader, DictLoader
from wtforms import StringField, TextAreaField

from app import clock
from app.web.htmx import close_dialog, fragment, is_poll
from app.web.toasts import toast

TEMPLATES = {
    "page.html": """{% extends "panel/base.html" %}
{% from "components/buttons.html" import cooldown_button, copy_button, dialog_button %}
{% from "components/form.html" import csrf_field, post_button %}{% from "components/field.html" import field %}
{% from "components/time.html" import ago %}
{% block title %}Scripts{% endblock %}
{% block content %}<h1>Scripts</h1>
{{ dialog_button("/panel/dialog", "Open", id="opener") }}
{{ cooldown_button("/panel/slow", "Resend email (2 left)", available_at=soon, target="#board", id="resend") }}
{{ post_button("/panel/slow", "Send", target="#board", id="send") }}{{ post_button("/panel/slow", "Send plainly", id="plain") }}
{{ post_button("/panel/broken", "Break", target="#board", id="break") }}{{ copy_button("copied text", id="copy") }}
<button id="shut" type="button" aria-disabled="true" hx-post="/panel/slow" hx-target="#board">Shut</button>
{{ field(form.secret, secret=True) }}{{ ago(past) }}
{% include "board.html" %}{% endblock %}""",
    "board.html": """<div id="board" hx-get="/panel/board" hx-trigger="every 150ms" hx-target="this">
<p id="count">{{ state.count }}</p><details id="more"><summary>More</summary><textarea id="text"></textarea></details>
<button id="focusable" type="button">Here</button></div>""",
    "dialog.html": """{% from "components/dialog.html" import dialog %}{% from "components/field.html" import field %}
{% from "components/combobox.html" import recipient_combobox %}
{% call dialog("Add Calendly request to queue", "/panel/dialog", "Add to queue", text="Nothing is sent yet.") %}
{{ recipient_combobox(form.email, members, "Members", "/panel/hint") }}
{{ field(form.note, counter=256) }}{% endcall %}""",
}
MEMBERS = [
    SimpleNamespace(name="Dana Reyes", email="dana@harbordental.example"),
    SimpleNamespace(name="Tom Achterberg", email="tom@harbordental.example"),
]


class Form(FlaskForm):
    email = StringField("Recipient email")
    note = TextAreaField("Note to client")
    secret = StringField("API token", render_kw={"type": "password", "autocomplete": "off"})


def add_pages(app: Flask, state: SimpleNamespace) -> None:
    app.jinja_loader = ChoiceLoader([app.jinja_loader, DictLoader(TEMPLATES)])
    app.context_processor(lambda: {"panel_nav": [], "state": state, "members": MEMBERS, "is_sealed": lambda: False})

    @app.get("/panel/scripts")
    def scripts():
        now = clock.now()
        soon, past = now + timedelta(seconds=state.cooldown), now - timedelta(hours=2)
        return render_template("page.html", soon=soon, past=past, form=Form())

    @app.get("/panel/board")
    def board():
        state.polls.append(is_poll())
        state.count += state.step
        return fragment("board.html")

    @app.post("/panel/slow")
    def slow():
        state.pressed += 1
        state.hold.wait(30)
        toast("Sent requests to client")
        return fragment("board.html") if request.htmx else redirect("/panel/scripts", 303)

    @app.post("/panel/broken")
    def broken():
        raise KeyError

    @app.get("/panel/hint")
    def hint():
        state.hold.wait(30)
        return f"{request.args['email']} gets a sign-in link"

    @app.route("/panel/dialog", methods=["GET", "POST"])
    def dialog():
        form = Form()
        if request.method == "POST" and not form.email.data:
            form.email.errors = ["Enter an address."]
            return fragment("dialog.html", status=422, form=form)
        if request.method == "POST":
            toast("Calendly is in the queue", kind="queued")
            state.count = 1000
            return close_dialog(fragment("board.html"), retarget="#board")
        return fragment("dialog.html", form=form)
