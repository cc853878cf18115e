"""Our scripts in Chromium, under the security policy, over pages made of the real bases and components."""

import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Page, expect

from app import clock
from app.config import Config
from tests.support.browser import visitor
from tests.support.servers import serve_in_thread, wait_until
from tests.web.scripts_pages import add_pages
from tests.web.tiny import tiny_app


@pytest.fixture
def state():
    hold = threading.Event()
    hold.set()
    return SimpleNamespace(count=0, step=1, polls=[], pressed=0, hold=hold, cooldown=0)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with visitor(browser, timezone_id="Asia/Tokyo") as window:
        yield window.new_page()


@pytest.fixture
def opened(page: Page, state) -> Iterator[Page]:
    """The page, in a browser that reports every error of a script and every breach of the policy."""
    said = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if "Content Security" in message.text else None)
    with serve_in_thread() as served:
        served.app = tiny_app(Config(base_url=served.url), extend=lambda app: add_pages(app, state))
        page.goto(f"{served.url}/panel/scripts")
        yield page
        page.goto("about:blank")
    assert said == []


# Between the last and the first are the browser's own controls, for which the page reports its body
INSIDE = "[document.body, ...document.querySelectorAll('#dialog *')].includes(document.activeElement)"


PRESS_TWICE = (
    "(one) => { const b = document.querySelector(one); b.click(); b.click(); return b.getAttribute('aria-busy'); }"
)


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.id")


def poll_times(page: Page, times: int) -> None:
    """Wait for so many answers to polls; what was there before the last has been settled."""
    for _ in range(times):
        with page.expect_response("**/panel/board"):
            pass


def stand_still(page: Page) -> None:
    """Load it again with a clock that only the test moves, however long the machine takes."""
    page.clock.install(time=clock.now())
    page.clock.pause_at(clock.now() + timedelta(minutes=1))
    page.reload()


def test_polling_keeps_focus_typed_text_caret_and_open_details(opened, state):
    opened.get_by_text("More").click()
    opened.fill("#text", "half typed")
    opened.evaluate("document.getElementById('text').setSelectionRange(2, 4)")
    before = state.count

    expect(opened.locator("#count")).not_to_have_text(str(before))
    opened.wait_for_function(f"() => Number(document.getElementById('count').textContent) > {before + 2}")

    assert focused(opened) == "text"
    assert opened.input_value("#text") == "half typed"
    assert opened.evaluate("document.getElementById('text').selectionStart") == 2
    assert opened.evaluate("document.getElementById('more').open")
    assert all(state.polls)


def test_polling_keeps_the_focus_of_what_has_no_id(opened, state):
    opened.locator("summary").focus()
    opened.wait_for_function(f"() => Number(document.getElementById('count').textContent) > {state.count + 2}")

    assert opened.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_polling_leaves_what_did_not_change_alone(opened, state):
    state.step = 0
    poll_times(opened, 2)
    opened.evaluate("document.getElementById('focusable').dataset.mark = 'same'")
    poll_times(opened, 3)

    assert opened.get_attribute("#focusable", "data-mark") == "same"


def test_a_press_by_hand_is_no_poll(opened, state):
    opened.click("#send")
    expect(opened.locator(".toast")).to_be_visible()

    assert state.pressed == 1


@pytest.mark.parametrize("button", ["#send", "#plain"])
def test_a_button_that_works_shows_it_and_is_not_pressed_twice(opened, state, button):
    state.hold.clear()
    assert opened.evaluate(PRESS_TWICE, button) == "true"
    state.hold.set()

    expect(opened.locator(".toast")).to_contain_text("Sent requests to client")
    expect(opened.locator(button)).not_to_have_attribute("aria-busy", "true")
    assert state.pressed == 1


def test_a_button_that_is_shut_can_be_reached_but_does_nothing(opened, state):
    opened.focus("#shut")
    opened.keyboard.press("Enter")
    opened.click("#shut", force=True)
    opened.click("#send")
    expect(opened.locator(".toast")).to_be_visible()

    assert state.pressed == 1


def test_cooldown_counts_down_then_becomes_usable_and_says_so_once(opened, state):
    state.cooldown = 3
    stand_still(opened)
    button = opened.locator("#resend")
    expect(button).to_have_text("Resend email (available in 0:03)")
    opened.clock.run_for(1000)
    expect(button).to_have_text("Resend email (available in 0:02)")
    button.click(force=True)
    assert state.pressed == 0
    assert opened.inner_text("#announcer") == ""

    opened.clock.run_for(2000)
    expect(button).to_have_text("Resend email (2 left)")
    expect(button).not_to_have_attribute("aria-disabled", "true")
    expect(opened.locator("#announcer")).to_have_text("Resend email (2 left)")
    opened.clock.resume()
    button.click()
    expect(opened.locator(".toast")).to_be_visible()


def test_cooldown_goes_by_the_servers_clock(opened, state):
    state.cooldown = 1000
    opened.add_init_script("const now = Date.now; Date.now = () => now() + 3600000;")
    opened.reload()

    expect(opened.locator("#resend")).to_contain_text(re.compile(r"available in 1[3-6]:\d\d"))


def test_an_error_is_said_in_a_toast_that_stays_until_dismissed(opened):
    opened.click("#break")
    expect(opened.locator(".toast")).to_contain_text("Something went wrong on our side")
    opened.get_by_role("button", name="Dismiss").click()

    expect(opened.locator(".toast")).to_have_count(0)


def test_a_server_that_is_gone_is_said_too(opened):
    opened.route("**/panel/slow", lambda route: route.abort())
    opened.click("#send")

    expect(opened.locator(".toast")).to_contain_text("The server can't be reached")
    expect(opened.locator("#send")).not_to_have_attribute("aria-busy", "true")


def test_dialog_takes_the_focus_traps_it_and_gives_it_back(opened):
    opened.click("#opener")
    expect(opened.get_by_role("dialog", name="Add Calendly request to queue")).to_be_visible()
    opened.wait_for_function("() => document.activeElement.id === 'email'")
    for _ in range(9):
        opened.keyboard.press("Tab")
        assert opened.evaluate(INSIDE)
    opened.keyboard.press("Escape")

    expect(opened.locator("#dialog")).to_be_hidden()
    assert focused(opened) == "opener"


def test_dialog_shows_errors_with_the_focus_on_the_first_and_loses_nothing(opened):
    opened.click("#opener")
    opened.fill("#note", "héllo 👍")
    expect(opened.locator("#note-count")).to_have_text("7 of 256")
    opened.get_by_role("button", name="Add to queue").click()

    expect(opened.locator(".invalid-feedback")).to_have_text("Enter an address.")
    opened.wait_for_function("() => document.activeElement.id === 'email'")
    assert opened.input_value("#note") == "héllo 👍"


def test_dialog_closes_and_the_part_behind_it_is_new(opened, state):
    state.step = 0
    opened.click("#opener")
    opened.fill("#email", "frontdesk@harbordental.example")
    opened.get_by_role("button", name="Add to queue").click()

    expect(opened.locator("#dialog")).to_be_hidden()
    expect(opened.locator("#count")).to_have_text("1000")
    expect(opened.locator(".toast")).to_contain_text("Calendly is in the queue")
    assert focused(opened) == "opener"


def hold(page: Page, selector: str) -> None:
    """Press in the middle of an element, as slowly as people do: until the mouse is let go."""
    box = page.evaluate("(one) => document.querySelector(one).getBoundingClientRect().toJSON()", selector)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()


def press_before_the_hint(page: Page, state) -> None:
    state.hold.clear()
    page.click("#opener")
    page.fill("#email", "frontdesk@harbordental.example")
    hold(page, "#dialog [type=submit]")
    with page.expect_event("requestfinished", lambda asked: "/panel/hint" in asked.url):
        state.hold.set()


def test_a_hint_that_arrives_during_a_press_takes_no_click(opened, state):
    press_before_the_hint(opened, state)
    expect(opened.locator("#email-channel")).to_be_empty()
    opened.mouse.up()

    expect(opened.locator("#dialog")).to_be_hidden()
    expect(opened.locator("#count")).to_have_text("1000")


def test_a_hint_that_was_left_during_a_press_is_asked_for_again(opened, state):
    press_before_the_hint(opened, state)
    opened.mouse.move(0, 0)
    opened.mouse.up()

    expect(opened.locator("#email-channel")).to_have_text("frontdesk@harbordental.example gets a sign-in link")
    expect(opened.locator("#dialog")).to_be_visible()


def test_polling_takes_no_click_from_a_press(opened, state):
    opened.evaluate("addEventListener('click', ({target}) => { window.clicked = target.id; })")
    hold(opened, "#focusable")
    polls = len(state.polls)
    wait_until(lambda: len(state.polls) > polls + 2)
    opened.mouse.up()

    assert opened.evaluate("window.clicked") == "focusable"
    expect(opened.locator("#count")).not_to_have_text(str(polls))


def test_combobox_offers_members_and_any_well_formed_address(opened):
    opened.click("#opener")
    box, options = opened.get_by_role("combobox"), opened.locator("[role=option]:visible")
    expect(options).to_have_count(2)
    box.fill("tom")
    expect(options).to_have_text(["Tom Achterbergtom@harbordental.example"])
    box.fill("frontdesk@harbor")
    expect(options).to_have_count(0)
    expect(box).to_have_attribute("aria-expanded", "false")
    box.fill("frontdesk@harbordental.example")

    expect(options).to_have_text(["frontdesk@harbordental.example"])
    expect(opened.locator("#email-channel")).to_have_text("frontdesk@harbordental.example gets a sign-in link")


def test_combobox_works_by_keyboard_and_by_pointer(opened):
    opened.click("#opener")
    box = opened.get_by_role("combobox")
    expect(box).to_have_attribute("aria-expanded", "true")
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("ArrowDown")
    expect(opened.get_by_role("option", name="Tom")).to_have_attribute("aria-selected", "true")
    opened.keyboard.press("Enter")
    expect(box).to_have_value("tom@harbordental.example")
    expect(opened.locator("#email-channel")).to_contain_text("tom@harbordental.example")
    box.fill("")
    opened.get_by_role("option", name="Dana").click()
    expect(box).to_have_value("dana@harbordental.example")
    box.fill("d")
    opened.keyboard.press("Escape")
    expect(box).to_have_attribute("aria-expanded", "false")

    expect(opened.locator("#dialog")).to_be_visible()


def test_theme_is_kept_and_in_force_before_the_page_is_drawn(opened):
    opened.get_by_role("button", name="Dark").click()
    opened.reload()
    expect(opened.locator("html")).to_have_attribute("data-bs-theme", "dark")
    expect(opened.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    opened.get_by_role("button", name="System").click()

    assert opened.locator("html").get_attribute("data-bs-theme") is None


def test_secret_is_shown_and_hidden(opened):
    opened.get_by_role("button", name="Show API token").click()
    expect(opened.locator("#secret")).to_have_attribute("type", "text")
    opened.get_by_role("button", name="Hide API token").click()
    expect(opened.locator("#secret")).to_have_attribute("type", "password")


def test_copy_puts_the_text_on_the_clipboard_and_says_so(opened):
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    stand_still(opened)
    opened.click("#copy")
    expect(opened.locator("#copy")).to_have_text("Copied")
    assert opened.evaluate("navigator.clipboard.readText()") == "copied text"
    opened.clock.run_for(2000)
    expect(opened.locator("#copy")).to_have_text("Copy")


def test_times_are_in_the_viewers_zone(opened):
    time = opened.locator("time").first

    assert "GMT+9" in time.get_attribute("title")
    assert time.inner_text().startswith("2 hours ago")
