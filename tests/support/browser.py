"""Chromium for the tests: Playwright's own, or the system's, installed if need be (`python -m tests.support.browser`)."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, expect, sync_playwright

# The first is Chromium without the parts that only a screen needs: it walks the same pages in half the time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = NAMES[:2]  # the second where a distribution does not part them
DOWNLOAD_SECONDS = 240
PACKAGE_SECONDS = 900
# Chromium's own errands would go to hosts outside; nothing but loopback resolves.
ARGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]
MISSING = "The tests need Chromium: install the package chromium, or run `playwright install --with-deps chromium`."
expect.set_options(timeout=20_000)  # milliseconds until a page shows what it will: a busy machine takes its time


def chromium(playwright: Playwright) -> str | None:
    """Return the path of a Chromium that starts: Playwright's own, else the system's, else nothing."""
    found = [playwright.chromium.executable_path, *map(shutil.which, NAMES)]
    return next((path for path in found if path and _starts(path)), None)


def provide() -> str:
    """Return the path of a Chromium, installing one if there is none; raises SystemExit with what to do."""
    for install in (lambda: None, _download, _from_packages):
        install()
        with sync_playwright() as playwright:
            path = chromium(playwright)
        if path:
            return path
    raise SystemExit(MISSING)


def _starts(path: str) -> bool:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run([path, "--version"], capture_output=True, timeout=30, check=False).returncode == 0
    return False


def _download() -> None:
    _try([sys.executable, "-m", "playwright", "install", "chromium"], dict(os.environ), DOWNLOAD_SECONDS)


def _from_packages() -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        _try(["apt-get", "update", "-qq"], quiet, PACKAGE_SECONDS)
        for package in PACKAGES:
            if _try(["apt-get", "install", "-qq", "-y", "--no-install-recommends", package], quiet, PACKAGE_SECONDS):
                return


def _try(command: list[str], env: dict[str, str], seconds: int) -> bool:
    sys.stderr.write(f"No Chromium yet, trying: {' '.join(command)}\n")
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            command, env=env, timeout=seconds, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            said = done.stdout.decode(errors="replace").strip().splitlines()
            why = next((line for line in said if line.startswith(("Error", "E:"))), "without a word")
            sys.stderr.write(f"That failed: {why}\n")
        return done.returncode == 0
    return False


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-playwright's own `base_url` be: pytest 9 warns of how it is defined."""
    config.addinivalue_line("filterwarnings", "ignore:Session-scoped fixtures defined as instance methods")


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any], playwright: Playwright) -> dict[str, Any]:
    """Start the Chromium that is there, without errands of its own."""
    path = chromium(playwright)
    if path is None:
        pytest.fail(MISSING)
    return {**browser_type_launch_args, "executable_path": path, "args": ARGS}


@contextlib.contextmanager
def visitor(browser: Browser, **options: Any) -> Iterator[BrowserContext]:
    """Open a browser of somebody else, with cookies of their own; `options` are Playwright's `new_context` ones."""
    context = browser.new_context(**options)
    try:
        yield context
    finally:
        context.close()


# Options of a visitor.
WITHOUT_JAVASCRIPT = {"java_script_enabled": False}
TRUSTING = {"ignore_https_errors": True}  # a certificate authority of the tests is nobody's
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


if __name__ == "__main__":
    sys.stdout.write(f"Chromium: {provide()}\n")
