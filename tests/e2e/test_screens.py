"""Every screen in its states: nothing for axe to find in either theme, and no sideways scroll at 320 pixels."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.support.tour import tour

SCHEMES = ("light", "dark")
FRAMED = {"mailbox"}  # the mail in it is looked at by itself


@pytest.mark.timeout(300)
def test_axe_finds_nothing_on_any_screen_in_either_theme(browser, tmp_path):
    found, axe = [], Axe()
    for name, page in tour(browser, tmp_path):
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            results = axe.run(page, options={"iframes": name not in FRAMED})
            found += [
                f"{name} ({scheme}): {each['id']}: {each['nodes'][0]['html'][:160]}"
                for each in results.response["violations"]
            ]
        page.emulate_media(color_scheme="light")
    assert not found, "\n".join(found)


@pytest.mark.timeout(300)
def test_no_screen_scrolls_sideways_at_320_pixels(browser, tmp_path):
    wide = []
    for name, page in tour(browser, tmp_path):
        size = page.viewport_size
        page.set_viewport_size({"width": 320, "height": 800})
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if over > 0:
            wide.append(f"{name}: {over} pixels too wide")
        page.set_viewport_size(size)
    assert not wide, "\n".join(wide)
