"""Every screen in its states: nothing for axe to find in either theme and on a phone, no sideways scroll, no error.

Each half of the tour is looked at in all these ways at once, as it takes much longer than a look.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.support.tour import tour
from tests.support.tour_states import states

OF_COLOURS = ["color-contrast", "link-in-text-block"]  # axe takes longer for them than for all others
ONLY_COLOURS = {"runOnly": {"type": "rule", "values": OF_COLOURS}}
NO_COLOURS = {"rules": {rule: {"enabled": False} for rule in OF_COLOURS}}
PHONE = 320
WIDTHS = (PHONE, 1000)  # the second a window in which tables have the least room
THERE = Axe("undefined")  # for a page that has it in it already
FRAMED = {
    "mailbox",
    "branding",
    "branding-error",
    "branding-mail",
    "branding-desktop",
}  # what is in it is looked at by itself
LISTEN = """addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sourceFile, lineNumber }) =>
  console.error(`policy: ${violatedDirective} ${blockedURI} ${sourceFile}:${lineNumber}`));"""
# What Chromium itself writes about answers that the tour comes for: forms with errors, and addresses that lead nowhere;
# and the icon that it looks for itself where an address shows no page.
MEANT = re.compile(
    r"\S+: error: Failed to load resource: the server responded with a status of (422|404) |\S+/favicon.ico: "
)


class Listening:
    """A browser that notes what goes wrong on any page of any of its contexts."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.said: list[str] = []
        self.meant: list[str] = []

    def new_context(self, **options: Any) -> BrowserContext:
        context = self._browser.new_context(**options)
        context.add_init_script(LISTEN)
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.said.append(f"{error.page and error.page.url}: {error.error}"))
        return context

    def _heard(self, message: ConsoleMessage) -> None:
        line = f"{message.location['url']}: {message.type}: {message.text}"
        if message.type in ("error", "warning", "assert"):
            (self.meant if MEANT.match(line) else self.said).append(line)


@dataclass
class Seen:
    """What was found on the tour: by axe, too wide, and in the console of each screen."""

    axe: list[str] = field(default_factory=list)
    wide: list[str] = field(default_factory=list)
    heard: dict[str, list[str]] = field(default_factory=dict)


def found_by_axe(axe: Axe, name: str, page: Page, how: str, **rules: Any) -> list[str]:
    """What axe finds on a page as it stands, by all its rules unless some are named."""
    results = axe.run(page, options={"iframes": name not in FRAMED, "resultTypes": ["violations"], **rules})
    found = results.response["violations"]
    return [f"{name} ({how}): {each['id']}: {each['nodes'][0]['html'][:160]}" for each in found]


def look(axe: Axe, name: str, page: Page, seen: Seen) -> None:
    """Look at a screen by all of axe's rules in light, by those of colours in dark, and by the others on a phone."""
    page.wait_for_load_state()  # its words may be there before its style sheets
    size = page.viewport_size
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    there = page.evaluate("typeof axe !== 'undefined'")
    seen.axe += found_by_axe(THERE if there else axe, name, page, "light")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        seen.wide += [f"{name} at {width}: {over} pixels too wide"] if over > 0 else []
        if width == PHONE:
            seen.axe += found_by_axe(THERE, name, page, f"{width} pixels", **NO_COLOURS)
    page.set_viewport_size(size)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    seen.axe += found_by_axe(THERE, name, page, "dark", **ONLY_COLOURS)
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("half", [tour, states])
def test_every_screen_is_sound(browser, tmp_path, half):
    """Axe finds nothing, nothing is too wide, and nothing breaks that only the browser's console would tell of."""
    seen, axe, listening = Seen(), Axe(), Listening(browser)
    for name, page in half(listening, tmp_path):
        seen.heard[name], listening.said = listening.said, []
        look(axe, name, page, seen)
    seen.heard["the end"] = listening.said

    assert not seen.axe, "\n".join(seen.axe)
    assert not seen.wide, "\n".join(seen.wide)
    assert {name: lines for name, lines in seen.heard.items() if lines} == {}
    assert len(seen.heard) > 60
    assert len(listening.meant) <= 14, listening.meant
