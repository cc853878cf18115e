"""On no screen does anything break that only the browser's console would tell of."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage

from tests.support.tour import tour

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


@pytest.mark.timeout(300)
def test_no_screen_has_an_error_or_breaks_the_policy(browser, tmp_path):
    listening = Listening(browser)
    heard: dict[str, list[str]] = {}
    for name, _page in tour(listening, tmp_path):
        heard[name] = listening.said
        listening.said = []
    heard["the end"] = listening.said
    assert {name: lines for name, lines in heard.items() if lines} == {}
    assert len(heard) > 30
    assert len(listening.meant) <= 8, listening.meant
