from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import time_machine
from bs4 import BeautifulSoup
from flask import render_template_string
from flask_wtf import FlaskForm
from markupsafe import Markup
from wtforms import BooleanField, SelectField, StringField
from wtforms.fields.choices import SelectChoice

from app.web.templating import breakable, monogram, tone, unbroken, wait
from tests.web.tiny import tiny_app

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


class Form(FlaskForm):
    email = StringField("Recipient email")
    role = SelectField("Role", choices=[SelectChoice("member", "Member")])
    hand_over = BooleanField("Clients may hand over")


@pytest.fixture(scope="module")
def web():
    return tiny_app()


def drawn(web, source, **context):
    with web.test_request_context("/panel"), time_machine.travel(NOW, tick=False):
        return BeautifulSoup(render_template_string(source, **context), "html.parser")


def form(web, **errors):
    with web.test_request_context("/panel"):
        made = Form()
    for name, said in errors.items():
        made[name].errors = [said]
    return made


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("HubSpot", "Hu"),
        ("Google Sheets", "GS"),
        ("Alder & Finch Legal", "AF"),
        ("x", "X"),
        ("ÖBB", "Öb"),
        ("!", "?"),
        ("", "?"),
    ],
)
def test_monogram_is_two_letters_of_the_name(name, letters):
    assert monogram(name) == letters


def test_tone_is_one_of_eight_and_stays():
    keys = [f"app-{number}" for number in range(200)]

    assert {tone(key) for key in keys} == set(range(1, 9))
    assert tone("hubspot") == tone("hubspot")


@pytest.mark.parametrize(
    ("seconds", "text"), [(252, "4:12"), (59.2, "1:00"), (0.1, "0:01"), (3600, "1:00:00"), (0, ""), (-5, "")]
)
def test_wait_counts_to_the_second_and_rounds_up(seconds, text):
    with time_machine.travel(NOW, tick=False):
        assert wait(NOW + timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("priya.nair@harbordental.example", "priya.nair@<wbr>harbordental.example"),
        ("Front desk", "Front desk"),
        ("<b>@&", "&lt;b&gt;@<wbr>&amp;"),
    ],
)
def test_breakable_lets_an_address_go_on_after_its_at(text, html):
    assert str(breakable(text)) == html


def test_field_ties_label_hint_and_error_together(web):
    page = drawn(
        web,
        '{% from "components/field.html" import field %}{{ field(form.email, hint="Like name@company.com", counter=80) }}',
        form=form(web, email="This address has no domain ending."),
    )
    control = page.input

    assert page.label["for"] == control["id"]
    assert control["aria-invalid"] == "true"
    assert "is-invalid" in control["class"]
    described = [page.find(id=one).get_text(strip=True) for one in control["aria-describedby"].split()]
    assert described == ["Like name@company.com", "0 of 80", "This address has no domain ending."]
    assert control["maxlength"] == "80"


def test_field_without_error_says_nothing_of_one(web):
    page = drawn(web, '{% from "components/field.html" import field %}{{ field(form.role) }}', form=form(web))

    control = page.find("select")

    assert control["class"] == ["form-select"]
    assert not {"aria-invalid", "aria-describedby"} & control.attrs.keys()


def test_what_people_write_is_escaped_in_every_component(web):
    page = drawn(
        web,
        """{% from "components/note.html" import note %}{% from "components/status.html" import status %}
        {% from "components/empty.html" import empty %}{% from "components/tile.html" import app_tile %}
        {% from "components/form.html" import post_button %}{% from "components/dialog.html" import confirm_dialog %}
        {{ note(bad) }}{{ status("pending", bad) }}{{ empty(bad, bad) }}{{ app_tile(app) }}{{ post_button(bad, bad) }}
        {{ confirm_dialog(bad, bad, bad, bad, items=[bad]) }}""",
        bad="\"><img src=x>'",
        app=SimpleNamespace(key="<b>", name="<b> <i>"),
    )

    assert page.find_all(["img", "b"]) == []


def test_ago_says_the_absolute_to_pointers_and_screen_readers(web):
    time = drawn(web, '{% from "components/time.html" import ago %}{{ ago(at) }}', at=NOW - timedelta(hours=2)).time

    assert time["datetime"] == "2026-11-20T07:00:00+00:00"
    assert time["title"] == "20 November 2026, 07:00 UTC"
    assert time.get_text() == "2 hours ago (20 November 2026, 07:00 UTC)"


COOLDOWN = (
    '{% from "components/buttons.html" import cooldown_button %}'
    '{{ cooldown_button("/resend", "Resend email (2 left)", available_at=at, spent_label=spent, what="HubSpot") }}'
)


@pytest.mark.parametrize(
    ("at", "spent", "text", "shut"),
    [
        (NOW + timedelta(seconds=252), None, "Resend email (available in 4:12) HubSpot", "true"),
        (NOW, None, "Resend email (2 left) HubSpot", None),
        (None, None, "Resend email (2 left) HubSpot", None),
        (NOW + timedelta(seconds=252), "No resends left", "No resends left HubSpot", "true"),
    ],
)
def test_cooldown_button_says_what_is_left_and_the_wait(web, at, spent, text, shut):
    button = drawn(web, COOLDOWN, at=at, spent=spent).button

    assert button.get_text() == text
    assert button.get("aria-disabled") == shut
    assert ("data-available-at" in button.attrs) is (shut is not None and spent is None)


@pytest.mark.parametrize(("done", "total", "segments"), [(0, 3, 0), (2, 3, 2), (3, 3, 3), (0, 0, 0)])
def test_progress_has_a_segment_for_each_app_and_says_it_in_words(web, done, total, segments):
    bar = drawn(web, '{% from "components/progress.html" import progress %}{{ progress(d, t) }}', d=done, t=total).span

    assert len(bar.find_all("i")) == max(total, 1)
    assert len(bar.find_all("i", class_="is-done")) == segments
    assert bar["aria-valuetext"] == f"{done} of {total} connected"
    assert int(bar["aria-valuenow"]) <= int(bar["aria-valuemax"])


def test_recipient_combobox_lists_members_and_room_for_any_other(web):
    members = [
        SimpleNamespace(name="Dana Reyes", email="dana@harbordental.example"),
        SimpleNamespace(name="", email="x@y.example"),
    ]
    page = drawn(
        web,
        """{% from "components/combobox.html" import recipient_combobox %}
        {{ recipient_combobox(form.email, members, "Members of Harbor Dental", "/hint") }}""",
        form=form(web),
        members=members,
    )
    options = page.find_all(role="option")

    assert [option["data-value"] for option in options] == ["dana@harbordental.example", "x@y.example", ""]
    assert page.find(id=page.input["aria-controls"])["role"] == "listbox"
    assert page.find(id=page.input["aria-describedby"])["aria-live"] == "polite"
    assert page.input["hx-get"] == "/hint"


def test_confirm_dialog_says_what_to_what_and_begins_on_keeping_it(web):
    page = drawn(
        web,
        """{% from "components/dialog.html" import confirm_dialog %}
        {% call confirm_dialog("Revoke Harbor Dental CRM?", "2 workflows pause:", "/revoke", "Revoke", items=["Recall"]) %}
        <p id="more">More</p>{% endcall %}""",
    )

    assert page.form["hx-post"] == page.form["action"] == "/revoke"
    assert page.select_one("[data-dialog-text]").get_text() == "2 workflows pause:"
    assert [item.get_text() for item in page.find_all("li")] == ["Recall"]
    assert page.find(id="more")
    assert page.select_one("[autofocus]").get_text() == "Keep it"
    assert page.select_one(".btn-danger")["type"] == "submit"


def test_unbroken_keeps_a_word_with_a_hyphen_in_one_line_and_escapes_the_rest():
    assert unbroken("Your e-mail & <b>") == 'Your <span class="text-nowrap">e-mail</span> &amp; &lt;b&gt;'
    assert unbroken(Markup("E-mail &amp; more")) == '<span class="text-nowrap">E-mail</span> &amp; more'
    assert unbroken("Ice-maildrop") == "Ice-maildrop"
