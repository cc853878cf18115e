"""What the sandbox remembers: codes good once, rotation, siblings, and what outlives a restart."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from app import clock
from app.catalog import load
from app.sandbox.grants import Ask, Grant, Refusal, Status
from app.sandbox.policy import Policy
from app.sandbox.signing import Signer
from app.sandbox.store import ROOM, Store
from tests.support.clock import Clock

ANA = "ana@one.example"


def policy(key: str) -> Policy:
    app = load().get(key)
    assert app.oauth2
    return Policy(app, app.oauth2)


ZOOM, XERO, GMAIL, ASANA = policy("zoom"), policy("xero"), policy("gmail"), policy("asana")


def an_ask(rules: Policy = ZOOM, number: int = 0) -> Ask:
    return Ask(
        id=f"ask-{number}",
        app=rules.app.key,
        client_id="shared",
        redirect_uri="http://localhost:8000/oauth/callback/x",
        state="state",
        scopes=("a", "b"),
        challenge="",
        nonce="",
        hint="",
        choose=False,
        fields={},
        at=clock.now(),
    )


def a_code(store: Store, rules: Policy = ZOOM, email: str = ANA) -> str:
    ask = an_ask(rules)
    store.put(ask)
    return store.approve(ask, email, ask.scopes, kept={}, adds_up=False, at=clock.now())


def a_grant(store: Store, rules: Policy = ZOOM, email: str = ANA) -> Grant:
    return store.redeem(a_code(store, rules, email), at=clock.now())[0]


def test_code_used_twice_ends_what_it_gave() -> None:
    store = Store()
    code = a_code(store)
    grant, _ = store.redeem(code, at=clock.now())
    issued = store.issue(grant, ZOOM, at=clock.now())

    with pytest.raises(Refusal):
        store.redeem(code, at=clock.now())

    assert grant.status is Status.REPLAYED
    with pytest.raises(Refusal):
        store.bearer(ZOOM.app, issued.access_token, at=clock.now())


def test_code_is_good_for_a_minute(clock: Clock) -> None:
    store = Store()
    code = a_code(store)

    with pytest.raises(Refusal, match="invalid_grant"):
        store.redeem(code, at=clock.forward(seconds=60))


def test_request_waits_for_half_an_hour(clock: Clock) -> None:
    store = Store()
    store.put(an_ask())

    assert store.ask("ask-0", clock.forward(minutes=29))
    assert store.ask("ask-0", clock.forward(minutes=1)) is None


def _winners(call: Callable[[], object]) -> int:
    def won(_: int) -> bool:
        try:
            call()
        except Refusal:
            return False
        return True

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(20) as pool:
            return sum(pool.map(won, range(20)))
    finally:
        sys.setswitchinterval(usual)


def test_twenty_at_once_redeem_one_code() -> None:
    for _ in range(20):
        store = Store()
        code = a_code(store)

        assert _winners(functools.partial(store.redeem, code, at=clock.now())) == 1


def test_twenty_at_once_rotate_one_refresh_token() -> None:
    for _ in range(20):
        store = Store()
        token = store.issue(a_grant(store), ZOOM, at=clock.now()).refresh_token

        assert _winners(functools.partial(store.refreshing, token, ZOOM, client_id="shared", at=clock.now())) == 1


def test_refresh_token_is_good_again_where_nothing_rotates() -> None:
    store = Store()
    token = store.issue(a_grant(store, ASANA), ASANA, at=clock.now()).refresh_token

    for _ in range(2):
        grant = store.refreshing(token, ASANA, client_id="shared", at=clock.now())
        assert store.issue(grant, ASANA, at=clock.now(), again=True).refresh_token == ""


def test_refresh_token_of_another_client_or_app_is_unknown() -> None:
    store = Store()
    token = store.issue(a_grant(store), ZOOM, at=clock.now()).refresh_token

    for rules, client_id in ((ZOOM, "other"), (XERO, "shared")):
        with pytest.raises(Refusal):
            store.refreshing(token, rules, client_id=client_id, at=clock.now())


def test_access_token_ends_after_an_hour(clock: Clock) -> None:
    store = Store()
    token = store.issue(a_grant(store), ZOOM, at=clock.now).access_token

    assert store.bearer(ZOOM.app, token, at=clock.forward(minutes=59))
    with pytest.raises(Refusal, match="invalid_token"):
        store.bearer(ZOOM.app, token, at=clock.forward(minutes=1))


def test_grant_lapses_when_it_is_not_used_for_as_long_as_the_app_says(clock: Clock) -> None:
    store = Store()
    token = store.issue(a_grant(store), ZOOM, at=clock.now).refresh_token
    days = ZOOM.ways.unused_lifetime_days
    assert days

    with pytest.raises(Refusal, match="invalid_grant"):
        store.refreshing(token, ZOOM, client_id="shared", at=clock.forward(days=days))


def test_siblings_end_with_the_grant_where_the_app_says_so() -> None:
    store = Store()
    first, second, other = a_grant(store), a_grant(store), a_grant(store, email="bo@two.example")

    store.end(first, siblings=False)
    assert [grant.status for grant in (first, second, other)] == [Status.REVOKED, Status.LIVE, Status.LIVE]
    store.end(second, siblings=True)
    third = a_grant(store)
    store.end(third, siblings=True)

    assert [grant.status for grant in (second, third, other)] == [Status.REVOKED, Status.REVOKED, Status.LIVE]


def test_withdrawn_grant_gives_nothing_any_more() -> None:
    store = Store()
    grant = a_grant(store)
    issued = store.issue(grant, ZOOM, at=clock.now())

    store.withdraw(grant.id)

    with pytest.raises(Refusal):
        store.bearer(ZOOM.app, issued.access_token, at=clock.now())
    with pytest.raises(Refusal):
        store.refreshing(issued.refresh_token, ZOOM, client_id="shared", at=clock.now())


def test_memory_is_bounded() -> None:
    store = Store()

    for number in range(ROOM + 20):
        store.put(an_ask(number=number))
        store.sign_in(f"browser-{number}", ANA)

    assert len(store.asks) == len(store.memory.browsers) == ROOM
    assert store.ask(f"ask-{ROOM + 19}", clock.now())


def test_accounts_of_a_browser_are_few_and_newest_first() -> None:
    store = Store()

    for number in (*range(12), 10):
        store.sign_in("browser", f"{number}@one.example")

    assert store.accounts("browser")[:3] == ("10@one.example", "11@one.example", "9@one.example")
    assert len(store.accounts("browser")) == 8
    store.sign_out("browser")
    assert store.accounts("browser") == ()


def test_restart_keeps_accounts_tokens_and_signing_key(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "sandbox.json"
    store = Store(path)
    store.sign_in("browser", ANA)
    issued = store.issue(a_grant(store), ZOOM, at=clock.now())
    jwks = Signer(store).jwks()

    again = Store(path)

    assert again.accounts("browser") == (ANA,)
    assert again.bearer(ZOOM.app, issued.access_token, at=clock.now()).scopes == ("a", "b")
    assert again.refreshing(issued.refresh_token, ZOOM, client_id="shared", at=clock.now())
    assert Signer(again).jwks() == jwks


def test_file_holds_no_token_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.json"
    store = Store(path)
    issued = store.issue(a_grant(store), ZOOM, at=clock.now())

    assert issued.access_token not in path.read_text()
    assert issued.refresh_token not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 99}', '{"version": 1}', '{"version": 1, "browsers": 3}']
)
def test_broken_file_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "sandbox.json"
    path.write_text(content)

    store = Store(path)
    store.sign_in("browser", ANA)

    assert Store(path).accounts("browser") == (ANA,)


@pytest.mark.parametrize(
    ("rules", "renews"), [(ZOOM, True), (GMAIL, True), (policy("facebook-pages"), False), (policy("monday"), False)]
)
def test_refresh_tokens_are_for_apps_that_have_them(rules: Policy, *, renews: bool) -> None:
    assert rules.renews is renews


def test_exchanged_token_lives_long() -> None:
    assert policy("facebook-pages").lifetime(exchanged=True) == timedelta(days=60)
