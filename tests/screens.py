"""`make screenshots`: every screen in its states, light and dark, on desktop and phone, into a folder."""

import shutil
import sys
import tempfile
from itertools import chain
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support.browser import ARGS, chromium
from tests.support.tour import tour
from tests.support.tour_states import states

SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
SCHEMES = ("light", "dark")


def shoot(folder: Path) -> int:
    """Take every screenshot; returns how many."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    count = 0
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as work:
        browser = playwright.chromium.launch(executable_path=chromium(playwright), args=ARGS)
        for name, page in chain(tour(browser, Path(work)), states(browser, Path(work))):
            page.wait_for_load_state()
            for size, viewport in SIZES.items():
                page.set_viewport_size(viewport)
                for scheme in SCHEMES:
                    page.emulate_media(color_scheme=scheme)
                    page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True, animations="disabled")
                    count += 1
            page.set_viewport_size(SIZES["desktop"])
        browser.close()
    return count


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")
    sys.stdout.write(f"{shoot(target)} pictures are in {target}/\n")
