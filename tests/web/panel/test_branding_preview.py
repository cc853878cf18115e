"""What a branding would look like: the client's page and the e-mail themselves, and nothing kept of what is tried."""

import base64
import re
from html import unescape
from io import BytesIO

import pytest
from bs4 import BeautifulSoup

from app.services import branding
from tests.services.test_logos import picture
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import one, page
from tests.support.statements import counted
from tests.web.panel.test_branding import given

FIELDS = ("name", "accent", "sender_name", "sender_address", "support_email", "timezone")


def tried(browser, values, status=200, **shown):
    """The answer to what is typed, while the page shows a look."""
    before = {f"shown-{name}": value for name, value in shown.items()}
    return page(browser.post("/panel/branding/preview", values | before, htmx=True), status)


def look_in(soup):
    """The look that an answer has the page show."""
    return {each["name"].removeprefix("shown-"): each["value"] for each in soup.select("input[name^=shown-]")}


def framed(browser, what, scheme="light", **shown):
    values = {"scheme": scheme} | {f"shown-{name}": value for name, value in shown.items()}
    return page(browser.post(f"/panel/branding/preview/{what}", values))


def problems(soup):
    found = {each["id"].removesuffix("-problem"): each.get_text(strip=True) for each in soup.select("[id$=-problem]")}
    return {name: text for name, text in found.items() if text}


# ── What is typed ────────────────────────────────────────────────────────────


def test_what_is_typed_is_shown_and_nothing_of_it_is_saved(maya, agency):
    before = {name: getattr(agency, name) for name in FIELDS}
    values = given(agency, name="Harbour & Sons")
    with counted() as seen:
        soup = tried(maya, values)

    assert look_in(soup) == values | {"picture": ""}
    assert problems(soup) == {}
    assert one(soup, "link")["href"].startswith("/brand/a03c17")
    assert [each.text for each in soup.select("dd")] == [
        "Maya at Northwind no-reply@localhost",
        "help@northwind.example",
        "Action required: Harbour & Sons needs you to connect Slack, HubSpot and 1 more app",
    ]
    assert seen.writes == []
    assert {name: getattr(agency, name) for name in FIELDS} == before


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": ""}, "This is required."),
        ({"name": "North\u202ewind"}, None),
        ({"accent": "#a03"}, "Write the colour as # and six digits or letters from a to f, like #a03c17."),
        (
            {"accent": "#a03c17;} body{display:none"},
            "Write the colour as # and six digits or letters from a to f, like #a03c17.",
        ),
        ({"sender_name": "a\r\nBcc: x@y.example"}, None),
        ({"sender_address": "a@b"}, None),
        ({"support_email": "help@"}, None),
    ],
)
def test_what_can_not_be_accepted_is_told_at_its_field_while_the_last_good_look_stays(maya, agency, changes, problem):
    good = {
        "name": "Harbour & Sons",
        "accent": "#ffe600",
        "sender_name": "Harbour",
        "sender_address": "",
        "support_email": "ask@harbour.example",
        "timezone": "Europe/Paris",
    }
    soup = tried(maya, good | changes, 422, **good)

    assert look_in(soup) == good | {"picture": ""}
    (name,) = changes
    assert set(problems(soup)) == {name}
    assert problem is None or problems(soup)[name] == problem


def test_the_rest_of_what_is_typed_is_shown_beside_a_mistake(maya, agency):
    soup = tried(maya, given(agency, name="Harbour & Sons", support_email="help@"), 422)

    assert look_in(soup)["name"] == "Harbour & Sons"
    assert look_in(soup)["support_email"] == agency.support_email


def test_a_colour_that_is_adjusted_is_said_in_words_when_it_is_new(maya, agency):
    first = tried(maya, given(agency, accent="#FFE600"))
    again = tried(maya, given(agency, accent="#ffe600", name="Harbour"), accent="#ffe600")

    assert look_in(first)["accent"] == "#ffe600"
    assert "so a darker one of the same hue is used there" in one(first, "#contrast").text
    assert "Adjusted" in one(first, "#contrast").text
    assert not again.select("#contrast"), "whoever listens hears it once"


def test_a_page_that_shows_nonsense_falls_back_to_what_is_saved(maya, agency):
    shown = {"name": "", "accent": "red", "support_email": "x", "timezone": "Mars/Olympus", "picture": "%%%"}
    soup = tried(maya, given(agency, name=""), 422, **shown)

    assert look_in(soup)["name"] == agency.name
    assert one(framed(maya, "page", **shown), "h1").text == f"{agency.name} needs you to connect 3 apps"


# ── The logo ─────────────────────────────────────────────────────────────────


def upload(content, name="logo.jpg"):
    return {"logo": (BytesIO(content), name), "logo_changed": "1"}


def test_a_logo_is_seen_before_it_is_saved(maya, agency):
    soup = tried(maya, given(agency) | upload(picture("JPEG")))
    drawn = look_in(soup)["picture"]

    assert base64.b64decode(drawn).startswith(b"\x89PNG")
    assert one(soup, "#logo-tile img")["src"] == f"data:image/png;base64,{drawn}"
    for what, selector in (("page", ".gh-masthead img"), ("mail", "img.logo")):
        assert one(framed(maya, what, picture=drawn), selector)["src"] == f"data:image/png;base64,{drawn}"
    assert branding.logo_url(agency) is None


def test_a_logo_that_is_seen_stays_while_something_else_is_typed_and_goes_with_its_file(maya, agency):
    drawn = look_in(tried(maya, given(agency) | upload(picture("PNG"))))["picture"]

    assert look_in(tried(maya, given(agency, name="Harbour"), picture=drawn))["picture"] == drawn
    assert look_in(tried(maya, given(agency) | {"logo_changed": "2"}, picture=drawn))["picture"] == ""


def test_a_file_that_is_no_picture_is_told_at_its_field_and_the_last_logo_stays(maya, agency):
    drawn = look_in(tried(maya, given(agency) | upload(picture("PNG"))))["picture"]
    soup = tried(maya, given(agency) | upload(b"<svg/>"), 422, picture=drawn)

    assert problems(soup) == {"logo": "This is not a PNG, JPEG or WebP picture that can be read."}
    assert look_in(soup)["picture"] == drawn


def test_what_a_page_says_is_a_picture_is_drawn_anew(maya):
    """Nobody has something else shown as a logo by writing it into the form."""
    with_words = picture("PNG") + b"<script>x()</script>"
    shown = one(framed(maya, "page", picture=base64.b64encode(with_words).decode()), ".gh-masthead img")["src"]

    assert b"script" not in base64.b64decode(shown.partition(",")[2])
    assert not framed(maya, "page", picture=base64.b64encode(b"<svg/>").decode()).select("img")


def test_a_saved_logo_is_shown_until_it_is_to_be_removed(maya, agency):
    maya.post("/panel/branding", given(agency) | upload(picture("PNG")))
    saved = branding.logo_url(agency)

    assert one(framed(maya, "page"), ".gh-masthead img")["src"] == saved
    assert one(framed(maya, "mail"), "img.logo")["src"] == saved
    removed = tried(maya, given(agency, remove_logo="y"))
    assert not removed.select("#logo-tile img")
    assert not framed(maya, "page", **look_in(removed)).select(".gh-masthead img")


# ── The frames ───────────────────────────────────────────────────────────────


def test_the_page_is_the_clients_own_with_a_sample_in_it(maya, agency):
    soup = framed(maya, "page", name="Harbour & Sons", accent="#a03c17", support_email="ask@harbour.example")

    assert one(soup, "h1").text == "Harbour & Sons needs you to connect 3 apps"
    assert one(soup, ".gh-masthead").get_text(strip=True).endswith("Harbour & Sons")
    assert "1 of 3 connected" in soup.text
    assert [each.get_text(strip=True) for each in soup.select("button.btn-primary")] == [
        "Connect HubSpot",
        "Connect Zendesk",
    ]
    assert one(soup, "dl a")["href"] == "mailto:ask@harbour.example"
    assert any(each["href"].startswith("/brand/a03c17") for each in soup.select("link[rel=stylesheet]"))
    assert [each["action"] for each in soup.select("form")] == [""] * 4


def test_the_mail_is_the_one_that_is_sent_with_a_sample_in_it(maya, agency):
    soup = framed(maya, "mail", name="Harbour & Sons", accent="#a03c17", support_email="ask@harbour.example")

    assert one(soup, "h1").text == "Harbour & Sons needs you to connect 3 apps"
    assert "Harbour & Sons never sees your password" in soup.text
    assert "#a03c17" in one(soup, "a.button")["style"]
    assert one(soup, "a.button")["href"].endswith("/l/sample")
    assert "Sent to priya.nair@harbordental.example" in unescape(soup.text)


@pytest.mark.parametrize(
    ("what", "selector", "attribute"),
    [("page", "html", "data-bs-theme"), ("mail", "meta[name=color-scheme]", "content")],
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_scheme_is_shown_whatever_the_viewers_own_is(maya, what, selector, attribute, scheme):
    soup = framed(maya, what, scheme)

    assert one(soup, selector)[attribute] == scheme
    assert "prefers-color-scheme" not in str(soup)
    if what == "mail":
        assert ("@media all" in str(soup)) is (scheme == "dark")


@pytest.mark.parametrize("what", ["page", "mail"])
def test_a_sample_is_at_addresses_that_nobody_has(maya, what):
    """RFC 2606: what ends in .example leads to nobody."""
    hosts = re.findall(r"[\w.]+@([\w.-]+)", str(framed(maya, what)))

    assert hosts
    assert all(host.rstrip(".").endswith(".example") for host in hosts)


def test_a_preview_takes_no_toast_from_the_page_around_it(maya, agency):
    token = {"csrf_token": maya.token()}
    saved = maya.open("/panel/branding", method="POST", data=given(agency) | token)
    assert maya.open("/panel/branding/preview/page", method="POST", data=token).status_code == 200

    assert saved.status_code == 303
    assert "Saved the branding" in one(page(maya.get("/panel/branding")), "#toasts").text


@pytest.mark.parametrize("path", ["", "/page", "/mail"])
def test_previews_are_for_those_who_may_change_the_branding(tom, path):
    assert tom.post(f"/panel/branding/preview{path}").status_code == 403


def test_a_refused_save_shows_what_could_be_accepted(maya, agency):
    answer = maya.post("/panel/branding", given(agency, name="Harbour & Sons", support_email="help@"))
    soup: BeautifulSoup = page(answer, 422)

    assert look_in(soup)["name"] == "Harbour & Sons"
    assert look_in(soup)["support_email"] == agency.support_email
    assert one(soup, "#unsaved").text == "Not saved yet"
