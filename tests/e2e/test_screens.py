"""Every screen in its states: nothing for axe to find in either theme, no sideways scroll from 320 pixels on, no error.

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

OF_COLOURS = ["color-contrast", "link-in-text-block"]
WIDTHS = (320, 1000)  # a phone, and a window in which tables have the least room
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


def found_by_axe(axe: Axe, name: str, page: Page) -> list[str]:
    """What axe finds: by all its rules in light, and in dark, where the page is the same but for its colours, by those of colours."""
    found = []
    once_more = Axe("undefined")  # it is in the page by then
    colours = {"runOnly": {"type": "rule", "values": OF_COLOURS}}
    for scheme, run, rules in (("light", axe.run, {}), ("dark", once_more.run, colours)):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        results = run(page, options={"iframes": name not in FRAMED, "resultTypes": ["violations"], **rules})
        found += [
            f"{name} ({scheme}): {each['id']}: {each['nodes'][0]['html'][:160]}"
            for each in results.response["violations"]
        ]
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    return found


def too_wide(name: str, page: Page) -> list[str]:
    size = page.viewport_size
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found += [f"{name} at {width}: {over} pixels too wide"] if over > 0 else []
    page.set_viewport_size(size)
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("half", [tour, states])
def test_every_screen_is_sound(browser, tmp_path, half):
    """Axe finds nothing, nothing is too wide, and nothing breaks that only the browser's console would tell of."""
    seen, axe, listening = Seen(), Axe(), Listening(browser)
    for name, page in half(listening, tmp_path):
        seen.heard[name], listening.said = listening.said, []
        seen.axe += found_by_axe(axe, name, page)
        seen.wide += too_wide(name, page)
    seen.heard["the end"] = listening.said

    assert not seen.axe, "\n".join(seen.axe)
    assert not seen.wide, "\n".join(seen.wide)
    assert {name: lines for name, lines in seen.heard.items() if lines} == {}
    assert len(seen.heard) > 60
    assert len(listening.meant) <= 14, listening.meant
