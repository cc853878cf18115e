"""Goes through the provider's pages as a person would, but without a browser: sign in, tick, allow or deny."""

from collections.abc import Collection
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
from bs4 import BeautifulSoup, Tag

from tests.support.provider import Person

Page = tuple[str, BeautifulSoup | None]  # the callback's address comes without a page


class ConsentFailed(AssertionError):
    """The provider showed an error page instead of asking."""


def consent(
    authorize_url: str, person: Person, *, grant: Collection[str] | None = None, deny: bool = False
) -> dict[str, str]:
    """Answer an authorization request as `person`, granting all of it or only `grant`.

    Returns the parameters that the callback gets, with the address it is at as `redirect_uri`.
    """
    with httpx2.Client(trust_env=False, timeout=10) as web:
        address, page = _get(web, authorize_url)
        if page and page.find("button", attrs={"name": "email"}):
            address, page = _post(web, address, page, {"email": person.email})
        if page is None:
            return _callback(address)
        ticks = [str(box["value"]) for box in page.find_all("input", type="checkbox")]
        chosen = {"grant": [tick for tick in ticks if grant is None or tick in grant]}
        callback, _ = _post(web, address, page, chosen if deny else {**chosen, "allow": "yes"})
    return _callback(callback)


def _callback(address: str) -> dict[str, str]:
    parts = urlsplit(address)
    return {"redirect_uri": parts._replace(query="").geturl()} | {k: v for k, (v,) in parse_qs(parts.query).items()}


def _get(web: httpx2.Client, address: str) -> Page:
    return _follow(web, web.get(address))


def _post(web: httpx2.Client, address: str, page: BeautifulSoup | None, values: dict) -> Page:
    form = page and page.find("form")
    if not isinstance(form, Tag):
        raise ConsentFailed(page.get_text(" ", strip=True) if page else f"An answer too early: {address}")
    hidden = {str(field["name"]): str(field.get("value", "")) for field in form.find_all("input", type="hidden")}
    return _follow(web, web.post(address, data=hidden | values))


def _follow(web: httpx2.Client, answer: httpx2.Response) -> Page:
    """Follow redirects within the provider; one that carries an answer is the callback and is not visited."""
    while answer.is_redirect:
        address = urljoin(str(answer.url), answer.headers["Location"])
        if {"code", "error"} & parse_qs(urlsplit(address).query).keys():
            return address, None
        answer = web.get(address)
    return str(answer.url), BeautifulSoup(answer.text, "html.parser")
