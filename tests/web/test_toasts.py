import json
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from bs4 import BeautifulSoup

from tests.web.tiny import browser, cookies_of, tiny_app

HTMX = {"HX-Request": "true"}


@pytest.fixture(scope="module")
def web():
    return tiny_app()


@pytest.fixture
def visitor(web):
    return browser(web)


def said_by(page):
    notes = BeautifulSoup(page.text, "html.parser").select(".gh-note")
    return notes[-1].get_text(" ", strip=True) if notes else None


def say_and_redirect(client):
    token = client.get("/panel/form").text
    return client.post("/panel/toast", data={"csrf_token": token})


def test_toast_stands_in_the_page_being_made(visitor):
    assert said_by(visitor.get("/panel/toast")) == "Sent requests to client 2 recipients Open Apps"


def test_toast_goes_to_htmx_as_an_event(visitor):
    app = tiny_app(extend=lambda app: app.add_url_rule("/panel/part", "part", part))
    answer = browser(app).get("/panel/part", headers=HTMX)

    (item,) = json.loads(answer.headers["HX-Trigger"])["toast"]["items"]
    assert item == {"title": "Déjà fait", "text": "", "kind": "queued", "link_url": "", "link_label": ""}
    assert answer.headers["HX-Trigger"].isascii()


def part():
    from app.web.toasts import toast

    toast("Déjà fait", kind="queued")
    return "<p id='part'></p>"


def test_toast_survives_a_redirect_and_is_said_once(visitor):
    answer = say_and_redirect(visitor)

    assert cookies_of(answer)[0].startswith("gh_toast=")
    assert said_by(visitor.get("/panel/page")) == "Sent requests to client 2 recipients Open Apps"
    assert said_by(visitor.get("/panel/page")) is None


def test_toast_waits_while_a_page_polls_or_loads_parts(visitor):
    say_and_redirect(visitor)

    poll = visitor.get("/panel/quiet", headers=HTMX | {"X-Poll": "1"})

    assert "HX-Trigger" not in poll.headers
    assert said_by(visitor.get("/panel/page"))


def test_toast_of_one_surface_is_not_said_at_another(web, visitor):
    say_and_redirect(visitor)

    with web.test_request_context("/portal/x", headers={"Cookie": f"gh_toast={visitor.get_cookie('gh_toast').value}"}):
        assert web.jinja_env.globals["take_toasts"]() == []


def test_toast_is_said_at_the_surface_that_the_answer_leads_to():
    app = tiny_app(extend=lambda app: app.add_url_rule("/oauth/callback/shared", "callback", callback))
    client = browser(app)

    client.get("/oauth/callback/shared")

    value = client.get_cookie("gh_toast").value
    for path, titles in (("/connect/x", []), ("/panel/x", []), ("/portal/x", ["Slack is connected again"])):
        with app.test_request_context(path, headers={"Cookie": f"gh_toast={value}"}):
            assert [each.title for each in app.jinja_env.globals["take_toasts"]()] == titles


def callback():
    from flask import redirect

    from app.web.toasts import toast

    toast("Slack is connected again")
    return redirect("/portal/connections")


def test_notes_keep_the_title_and_the_text_apart(visitor):
    note = BeautifulSoup(visitor.get("/panel/toast").text, "html.parser").select_one(".gh-note")

    assert note.strong.text == "Sent requests to client"
    assert note.p.text.strip().startswith("2 recipients")


def test_toast_that_was_altered_or_is_old_is_dropped(web, visitor):
    say_and_redirect(visitor)
    value = visitor.get_cookie("gh_toast").value

    visitor.set_cookie("gh_toast", value[:-2] + "xx", domain="localhost")
    assert said_by(visitor.get("/panel/page")) is None
    with time_machine.travel("2031-01-01", tick=False):
        visitor.set_cookie("gh_toast", value, domain="localhost")
        assert said_by(visitor.get("/panel/page")) is None


@pytest.mark.parametrize("seconds", [-90, 90])
def test_a_host_whose_clock_differs_says_what_another_has_to_say(web, visitor, seconds):
    say_and_redirect(visitor)
    value = visitor.get_cookie("gh_toast").value

    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds), tick=False):
        visitor.set_cookie("gh_toast", value, domain="localhost")
        assert said_by(visitor.get("/panel/page")) == "Sent requests to client 2 recipients Open Apps"


def test_toasts_too_long_for_a_cookie_leave_the_oldest_out():
    app = tiny_app(extend=lambda app: app.add_url_rule("/panel/many", "many", many))
    client = browser(app)

    (cookie,) = cookies_of(client.get("/panel/many"))

    assert len(cookie) < 4096
    assert said_by(client.get("/panel/page")) == "last"


def many():
    import random

    from flask import redirect

    from app.web.toasts import toast

    noise = random.Random(1)
    for _ in range(5):
        toast("".join(chr(noise.randrange(0x4E00, 0x9FFF)) for _ in range(400)))
    toast("last")
    return redirect("/panel/page")
