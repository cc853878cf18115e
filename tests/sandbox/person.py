"""A person with a browser at the sandbox, without a script, and what they press there."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2
from bs4 import BeautifulSoup, Tag

CALLBACK = "/oauth/callback/"
Pairs = list[tuple[str, str]]
PLAIN = ssl.SSLContext(
    ssl.PROTOCOL_TLS_CLIENT
)  # nothing here is encrypted, and the system's trust store is slow to read


@dataclass
class Page:
    """What the browser shows."""

    url: str
    status: int
    soup: BeautifulSoup

    @property
    def heading(self) -> str:
        heading = self.soup.find("h1")
        return heading.get_text(" ", strip=True) if heading else ""

    @property
    def text(self) -> str:
        return " ".join(self.soup.get_text(" ").split())

    @property
    def scopes(self) -> list[str]:
        """The permissions on a consent screen, ticked and to be unticked."""
        return [str(box["value"]) for box in self.soup.select("input[name=scope]:not([disabled])")]


class Person:
    """One browser; it stops where the client's callback would be and gives its parameters."""

    def __init__(self, email: str = "priya.nair@harbordental.example") -> None:
        self.email = email
        self.http = httpx2.Client(trust_env=False, follow_redirects=False, timeout=10, verify=PLAIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.http.close()

    def open(self, url: str) -> Page | Pairs:
        """Follow redirects to a page, or to the callback."""
        return self._follow(self.http.get(url), url)

    def press(self, page: Page, **fields: str | list[str]) -> Page | Pairs:
        """Send a page's form with these values."""
        return self._follow(self.http.post(page.url, data=fields, headers={"Sec-Fetch-Site": "same-origin"}), page.url)

    def see_consent(self, url: str) -> Page:
        """Open an authorization address and sign in if asked to."""
        page = self.open(url)
        assert isinstance(page, Page), page
        if page.url.endswith("/account"):
            page = self.press(page, email=self.email)
        assert isinstance(page, Page)
        return page

    def approve(self, url: str, *, leaving_out: str | None = None) -> Pairs:
        """Approve all that is asked, or all but one; returns the callback's parameters."""
        page = self.see_consent(url)
        callback = self.press(page, scope=[scope for scope in page.scopes if scope != leaving_out], approve="yes")
        assert isinstance(callback, list), callback.text
        return callback

    def deny(self, url: str) -> Pairs:
        """Press Deny; returns the callback's parameters."""
        callback = self.press(self.see_consent(url), deny="yes")
        assert isinstance(callback, list)
        return callback

    def _follow(self, answer: httpx2.Response, url: str) -> Page | Pairs:
        for _ in range(6):
            if answer.status_code not in {302, 303}:
                return Page(url, answer.status_code, BeautifulSoup(answer.text, "html.parser"))
            url = urljoin(url, answer.headers["Location"])
            if urlsplit(url).path.startswith(CALLBACK):
                return parse_qsl(urlsplit(url).query, keep_blank_values=True)
            answer = self.http.get(url)
        raise AssertionError(f"It goes round in circles: {url}")


def texts(tags: list[Tag]) -> list[str]:
    """Return what elements say."""
    return [" ".join(tag.get_text(" ").split()) for tag in tags]
