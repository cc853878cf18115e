from io import BytesIO

import pytest

from app.services import branding
from tests.services.test_logos import picture
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import errors, one, page


def given(agency, **changes):
    values = {
        "name": agency.name,
        "accent": "#a03c17",
        "sender_name": "Maya at Northwind",
        "sender_address": "",
        "support_email": "help@northwind.example",
        "timezone": "Europe/Berlin",
    }
    return values | changes


def test_the_page_shows_how_it_is_and_a_preview(maya, agency):
    soup = page(maya.get("/panel/branding"))

    assert one(soup, "#name")["value"] == agency.name
    assert one(soup, "#accent")["value"] == agency.accent
    assert [row.select_one("td").text for row in soup.select("#contrast tbody tr")][:2] == ["#0e5a6e", "#0e5a6e"]
    assert one(soup, "#preview link")["href"] == branding.sheet_url(agency)
    assert [each["data-scheme"] for each in soup.select("#preview figure")] == ["light", "dark"]
    assert len(soup.select("iframe[title][sandbox=allow-same-origin]:not([src])")) == 2
    assert [each.text for each in soup.select("#preview .gh-seg button[aria-pressed=true]")] == [
        "Page",
        "Phone",
        "Both",
    ]
    assert one(soup, "#unsaved").text == ""


def test_saving_is_seen(maya, agency):
    answer = maya.post("/panel/branding", given(agency))

    assert answer.headers["Location"] == "/panel/branding"
    soup = page(maya.get("/panel/branding"))
    assert one(soup, "#sender_name")["value"] == "Maya at Northwind"
    assert one(soup, "#timezone option[selected]")["value"] == "Europe/Berlin"
    assert "Your colour has 2.7:1 on the dark page" in soup.text
    assert "Saved the branding" in one(soup, "#toasts").text


def test_a_logo_is_taken_shown_and_removed(maya, agency):
    upload = {"logo": (BytesIO(picture("JPEG")), "logo.jpg")}
    assert maya.post("/panel/branding", given(agency) | upload).status_code == 303

    url = one(page(maya.get("/panel/branding")), "form img")["src"]
    image = maya.get(url)
    assert (image.status_code, image.content_type, image.data[:4]) == (200, "image/png", b"\x89PNG")

    maya.post("/panel/branding", given(agency, remove_logo="y"))
    assert not page(maya.get("/panel/branding")).select("form img")


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        (
            {"name": "", "sender_name": "", "support_email": "", "accent": ""},
            {"name", "sender_name", "support_email", "accent"},
        ),
        ({"name": "x" * 81}, {"name"}),
        ({"name": "North\x0bwind"}, {"name"}),
        ({"sender_name": "a\r\nBcc: x@y.example"}, {"sender_name"}),
        ({"sender_address": "a@b"}, {"sender_address"}),
        ({"support_email": "help"}, {"support_email"}),
        ({"accent": "#a03c17;} body{display:none"}, {"accent"}),
        ({"accent": "red"}, {"accent"}),
        ({"timezone": "Mars/Olympus"}, {"timezone"}),
        ({"timezone": ""}, {"timezone"}),
    ],
)
def test_bad_input_is_told_at_its_field_and_nothing_typed_is_lost(maya, agency, changes, at):
    answer = maya.post("/panel/branding", given(agency, **changes))

    assert set(errors(answer)) == at
    soup = page(answer, 422)
    for name in ("name", "accent", "sender_name", "support_email"):
        typed = given(agency, **changes)[name]
        assert one(soup, f"#{name}").get("value", "") == typed or not typed.isprintable()


@pytest.mark.parametrize("upload", [b"no picture", b"<svg/>", b""])
def test_a_bad_logo_is_told_at_its_field(maya, agency, upload):
    answer = maya.post("/panel/branding", given(agency) | {"logo": (BytesIO(upload), "logo.png")})

    assert set(errors(answer)) == {"logo"}
    assert branding.logo_url(agency) is None
