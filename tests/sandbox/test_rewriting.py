"""The catalog at the sandbox's addresses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import pytest

from app.catalog import load
from app.catalog.addresses import placeholders
from app.sandbox import demo_clients, rewrite

BASE = "http://127.0.0.1:8001"
REAL = load()
KEYS = [app.key for app in REAL]
FOR_PEOPLE = {"oauth2.register_url", "api_key.url"}


def addresses_of(part: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every address in an app that somebody calls, by where it stands."""
    if is_dataclass(part):
        for one in fields(part):
            yield from addresses_of(getattr(part, one.name), f"{path}.{one.name}".removeprefix("."))
    elif isinstance(part, str) and part and path not in FOR_PEOPLE and path.endswith(("url", "issuer")):
        yield path, part


@pytest.mark.parametrize("key", KEYS)
def test_rewrite_leaves_no_address_that_a_call_could_reach(key: str) -> None:
    app = rewrite(REAL, BASE).get(key)

    called = [address for _, address in addresses_of(app)]

    assert called
    assert all(address == f"{BASE}/{key}" or address.startswith(f"{BASE}/{key}/") for address in called)


@pytest.mark.parametrize("key", KEYS)
def test_rewrite_keeps_what_stood_in_an_address(key: str) -> None:
    before, after = (dict(addresses_of(catalog.get(key))) for catalog in (REAL, rewrite(REAL, BASE)))

    for path, address in before.items():
        if not path.endswith(("discovery_url", "issuer")):
            assert dict.fromkeys(placeholders(after[path])) == dict.fromkeys(placeholders(address))
            assert after[path].partition("?")[2] == address.partition("?")[2]


@pytest.mark.parametrize("key", KEYS)
def test_rewrite_changes_nothing_else(key: str) -> None:
    before, after = REAL.get(key), rewrite(REAL, BASE).get(key)

    assert _without_addresses(before) == _without_addresses(after)
    assert after.loopback_http
    assert not before.loopback_http


def test_rewrite_twice_is_as_good_as_once() -> None:
    once = rewrite(REAL, BASE)

    assert list(rewrite(once, BASE)) == list(once)


def test_demo_clients_are_there_for_every_oauth_app() -> None:
    clients = demo_clients(REAL)

    assert clients.keys() == {app.key for app in REAL if app.oauth2}
    assert len(set(clients.values())) == len(clients)
    assert all(set(":/+%&=") <= set(secret or "") for _, secret in clients.values())


def _without_addresses(part: object, path: str = "") -> object:
    if is_dataclass(part):
        return {
            one.name: _without_addresses(getattr(part, one.name), f"{path}.{one.name}".removeprefix("."))
            for one in fields(part)
            if one.name != "loopback_http"
        }
    return "address" if list(addresses_of(part, path)) else part
