"""The Branding page in a browser that reports every breach of a policy, in the page and in its frames."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FrameLocator, Locator, Page, expect

from app.extensions import db
from app.models import Agency
from tests.e2e import in_process
from tests.e2e.test_screens import LISTEN
from tests.services.test_logos import picture
from tests.support.servers import wait_until

AT_THE_END = """(() => {
  const { contentWindow: frame } = document.querySelector("iframe");
  return frame.scrollY + frame.innerHeight > frame.document.documentElement.scrollHeight - 2;
})()"""

ALL_IN_SIGHT = """(() => {
  const frame = [...document.querySelectorAll("iframe")].find((each) => each.offsetParent);
  const { scrollHeight, clientHeight } = frame.contentDocument.documentElement;
  return scrollHeight - clientHeight < 2;
})()"""

config, home, house, office, served = in_process.fixtures


@pytest.fixture
def said(office) -> list[str]:
    """All that the browser complains of, but for the answer to what can't be accepted."""
    said: list[str] = []
    office.add_init_script(LISTEN)
    office.on(
        "console",
        lambda message: (
            said.append(message.text) if message.type in ("error", "warning") and " 422 " not in message.text else None
        ),
    )
    office.on("weberror", lambda error: said.append(str(error.error)))
    return said


@pytest.fixture
def page(office, house, said) -> Iterator[Page]:
    page = office.new_page()
    page.goto(f"{house.url}/panel/branding")
    yield page
    assert said == []


def switch(page: Page, name: str) -> Locator:
    return page.locator("#preview").get_by_role("button", name=name, exact=True)


def frame(page: Page, what: str, scheme: str = "light") -> FrameLocator:
    return page.frame_locator(f"iframe[title='Preview of the {what}, {scheme}']:last-child")


def test_what_is_typed_is_seen_in_every_preview_and_stays_in_the_form(page, house):
    page.get_by_label("Agency name").fill("Harbour & Sons")
    page.get_by_label("Support e-mail").fill("ask@harbour.example")
    page.locator("#accent").fill("#ffe600")

    expect(page.get_by_text("Not saved yet")).to_be_visible()
    for scheme in ("light", "dark"):
        expect(frame(page, "page", scheme).get_by_text("Harbour & Sons needs you")).to_be_visible()
    expect(page.locator("#contrast")).to_contain_text("Your colour has 1.3:1 on the light page")
    expect(page.locator("#picked")).to_have_value("#ffe600")
    for name in ("E-mail", "Desktop", "Dark"):
        switch(page, name).focus()
        page.keyboard.press("Enter")
        expect(switch(page, name)).to_have_attribute("aria-pressed", "true")
        expect(switch(page, name)).to_be_focused()
    expect(frame(page, "e-mail", "dark").get_by_text("Harbour & Sons needs you")).to_be_visible()
    expect(page.locator("iframe[title$=light]")).to_be_hidden()
    expect(page.get_by_text("Action required: Harbour & Sons needs you")).to_be_visible()
    for label, value in (("Agency name", "Harbour & Sons"), ("Support e-mail", "ask@harbour.example")):
        expect(page.get_by_label(label)).to_have_value(value)
    assert page.evaluate("history.length") == 2, "the way back leads past no preview"
    assert db.session.scalar(db.select(Agency.name).where(Agency.id == house.agency.id)) != "Harbour & Sons"


def test_a_mistake_is_told_while_one_types_on_and_goes_when_it_is_mended(page):
    support = page.get_by_label("Support e-mail")
    support.fill("ask@")
    expect(page.locator("#support_email-error")).to_be_visible()
    expect(support).to_have_attribute("aria-invalid", "true")
    expect(support).to_have_attribute("aria-describedby", "support_email-hint support_email-error")
    page.get_by_label("Agency name").press("End")
    page.get_by_label("Agency name").press_sequentially(" and Sons", delay=30)
    expect(frame(page, "page").get_by_role("heading", level=1)).to_contain_text("and Sons needs you")
    expect(page.get_by_label("Agency name")).to_be_focused()

    support.fill("ask@harbour.example")

    expect(page.locator("#support_email-error")).to_have_count(0)
    expect(support).not_to_have_attribute("aria-invalid", "true")
    expect(frame(page, "page").get_by_text("ask@harbour.example")).to_be_attached()


def test_a_logo_is_seen_at_once_and_stays_while_one_types_on(page, tmp_path: Path):
    file = tmp_path / "logo.png"
    file.write_bytes(picture("PNG"))
    page.get_by_label("Logo").set_input_files(file)

    logo = frame(page, "page").locator(".gh-masthead img")
    expect(logo).to_have_js_property("complete", value=True)
    page.get_by_label("Agency name").fill("Harbour & Sons")
    expect(frame(page, "page").get_by_text("Harbour & Sons needs you")).to_be_visible()
    expect(logo).to_be_visible()
    switch(page, "E-mail").click()
    expect(frame(page, "e-mail").locator("img.logo")).to_be_visible()
    page.get_by_label("Logo").set_input_files([])
    expect(frame(page, "e-mail").locator("img.logo")).to_have_count(0)


def test_a_preview_is_as_long_as_what_it_shows_where_there_is_room(page):
    page.set_viewport_size({"width": 1280, "height": 1400})
    for name, what in (("Phone", "page"), ("Desktop", "page"), ("E-mail", "e-mail"), ("Phone", "e-mail")):
        switch(page, name).click()
        expect(frame(page, what).get_by_text("help@").last).to_be_in_viewport(ratio=1)
        wait_until(lambda: page.evaluate(ALL_IN_SIGHT))
    page.set_viewport_size({"width": 1280, "height": 600})
    wait_until(lambda: not page.evaluate(ALL_IN_SIGHT))


def test_the_switches_stand_as_they_stood_when_a_save_was_refused(page):
    for name in ("E-mail", "Desktop", "Dark"):
        switch(page, name).click()
    page.get_by_label("Support e-mail").fill("ask@")
    page.get_by_role("button", name="Save branding").first.click()

    expect(page.get_by_label("Support e-mail")).to_be_focused()
    for name in ("E-mail", "Desktop", "Dark"):
        expect(switch(page, name)).to_have_attribute("aria-pressed", "true")
    expect(switch(page, "Page")).to_have_attribute("aria-pressed", "false")
    expect(frame(page, "e-mail", "dark").get_by_text("needs you").first).to_be_visible()


def test_who_leaves_is_asked_first_while_something_is_unsaved(page):
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.get_by_role("link", name="Apps", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("ready")
    assert asked == []
    page.go_back()
    page.get_by_label("Support e-mail").fill("ask@")
    page.get_by_role("button", name="Save branding").first.click()
    expect(page.get_by_label("Support e-mail")).to_be_focused()
    assert asked == []

    page.get_by_role("link", name="Apps", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("ready")

    assert asked == ["beforeunload"]


def test_who_is_asked_and_stays_can_leave_later(page):
    page.get_by_label("Support e-mail").fill("ask@")
    page.once("dialog", lambda dialog: dialog.dismiss())
    out = page.get_by_role("button", name="Sign out")
    out.click()
    expect(out).not_to_have_attribute("aria-busy", "true")
    expect(page.get_by_label("Support e-mail")).to_have_value("ask@")

    page.once("dialog", lambda dialog: dialog.accept())
    out.click()

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_preview_can_be_scrolled_by_keyboard_and_stays_where_it_is(page):
    page.set_viewport_size({"width": 1280, "height": 600})
    expect(frame(page, "page").get_by_role("heading", level=1)).to_be_visible()
    top = "document.querySelector('iframe').contentWindow.scrollY"
    page.locator("iframe").first.focus()
    page.keyboard.press("End")
    wait_until(lambda: page.evaluate(AT_THE_END))
    before = page.evaluate(top)

    page.get_by_label("Agency name").fill("Harbour")

    expect(frame(page, "page").get_by_role("heading", level=1)).to_contain_text("Harbour needs you")
    expect(page.locator("iframe")).to_have_count(2)
    assert abs(page.evaluate(top) - before) < 60, "the name is shorter now"


def test_nothing_in_a_preview_can_be_pressed(page, house):
    expect(frame(page, "page").get_by_role("heading", level=1)).to_be_visible()
    for box in page.locator(".gh-preview").all():
        area = box.bounding_box()
        page.mouse.click(area["x"] + area["width"] / 2, area["y"] + area["height"] * 0.9)
    switch(page, "Dark").focus()
    stops = []
    for key in ("Tab", "Tab", "Shift+Tab", "Shift+Tab"):
        page.keyboard.press(key)
        stops.append(page.evaluate("document.activeElement.title"))

    assert stops == ["Preview of the page, light", "Preview of the page, dark", "Preview of the page, light", ""]
    assert page.url == f"{house.url}/panel/branding"


@pytest.mark.parametrize("what", ["Page", "E-mail"])
@pytest.mark.parametrize("size", ["Phone", "Desktop"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_state_fits_and_has_nothing_for_axe_to_find(page, what, size, width):
    page.set_viewport_size({"width": width, "height": 800})
    switch(page, what).click()
    switch(page, size).click()
    page.get_by_label("Support e-mail").fill("ask@")
    expect(page.locator("#support_email-error")).to_be_visible()
    expect(page.locator("iframe")).to_have_count(2)

    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = Axe().run(page, options={"iframes": False})
        assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
