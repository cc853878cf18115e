"""The sandbox's pages in a browser: both themes, desktop and phone, with nothing for axe to find."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, Page

from app.catalog import load
from app.sandbox import Mode, create_sandbox, provider_of
from tests.sandbox import flow
from tests.sandbox.flow import Connector
from tests.support.browser import PHONE, WITHOUT_JAVASCRIPT, visitor
from tests.support.servers import serve_in_thread

LOOKS: dict[str, dict[str, Any]] = {
    "desktop, light": {"color_scheme": "light"},
    "phone, dark": {"color_scheme": "dark", **PHONE},
}


def landed(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"landed at {environ['PATH_INFO']}".encode()]


@pytest.fixture(scope="module")
def beside() -> Iterator[Flask]:
    """A sandbox beside something that stands at the client's address, another site than it."""
    with serve_in_thread(landed, name="localhost") as panel, serve_in_thread(name="127.0.0.1") as served:
        app = create_sandbox(load(), base_url=served.url, panel_url=panel.url, demo=True)
        served.app = app
        yield app


@pytest.fixture
def connect(beside: Flask, monkeypatch: pytest.MonkeyPatch) -> Connector:
    provider = provider_of(beside)
    provider.switches.reset()
    monkeypatch.setattr(flow, "REDIRECT", f"{provider.callbacks}tEst-1")
    return Connector(provider)


def _is_fit(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("look", LOOKS)
def test_pages_are_fit_to_use(browser: Browser, connect: Connector, look: str) -> None:
    with visitor(browser, **LOOKS[look]) as person:
        page = person.new_page()
        page.goto(connect("gmail").begin().url)
        _is_fit(page)
        page.get_by_label("E-mail address").fill("nobody")
        page.get_by_role("button", name="Continue").click()
        _is_fit(page)
        page.get_by_role("button", name="Choose priya.nair@harbordental.example").click()
        _is_fit(page)
        for box in page.get_by_role("checkbox").all():
            box.uncheck()
        page.get_by_role("button", name="Approve").click()
        _is_fit(page)
        page.get_by_role("checkbox").first.check()
        page.get_by_role("button", name="Approve").click()
        assert "landed at /oauth/callback/" in page.content()
        connect.provider.switches.set("slack", Mode.SLOW)
        page.goto(connect.provider.base_url)
        _is_fit(page)
        connect.provider.switches.set("slack", Mode.ERROR_PAGE)
        page.goto(connect("slack").begin().url)
        _is_fit(page)


def test_consent_needs_no_script(browser: Browser, connect: Connector) -> None:
    with visitor(browser, **WITHOUT_JAVASCRIPT) as person:
        page = person.new_page()
        page.goto(connect("slack").begin().url)
        page.get_by_role("button", name="Choose ops@bluefin-logistics.example").click()
        page.get_by_role("button", name="Deny").click()

        assert "error=access_denied" in page.url
        assert "landed at /oauth/callback/" in page.content()


def test_switch_is_set_by_hand(browser: Browser, connect: Connector) -> None:
    with visitor(browser, **WITHOUT_JAVASCRIPT) as person:
        page = person.new_page()
        page.goto(connect.provider.base_url)
        row = page.locator("#app-slack")
        row.locator("summary").click()
        row.get_by_label("How Slack behaves").select_option("Garbage in place of answers")
        row.get_by_role("button", name="Set Slack").click()

        assert page.get_by_role("heading", level=1).inner_text() == "1 app misbehaves"
        assert connect.provider.switches.get("slack").mode is Mode.GARBAGE
