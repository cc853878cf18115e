"""Signing in tells nobody who has an account: not by words, not by headers, not by limits, not by time."""

import secrets
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

import pytest
from sqlalchemy import select

from app import clock as app_clock
from app.catalog import load
from app.database import transaction
from app.models import Staff
from app.services import passwords, staff_sessions
from tests import factories
from tests.support.scenery import Scenery
from tests.support.shared_app import running
from tests.support.statements import counted, verb

PATH = "/panel/sign-in"
WORDS = "This e-mail address and password do not match."
KNOWN, UNKNOWN = "maya@northwind-studio.example", "nobody@northwind-studio.example"
DISABLED, ONCE = "ines@northwind-studio.example", "tom@northwind-studio.example"
BOUND = 0.1  # of the median


@pytest.fixture(scope="module")
def real(sqlite_template, tmp_path_factory) -> Iterator[Scenery]:
    """The installation with passwords that cost what they cost; one person is disabled, another's first password lapsed."""
    folder = tmp_path_factory.mktemp("sign-in")
    shutil.copy(sqlite_template, folder / "real.sqlite3")
    with running(factories.config(folder, f"sqlite:///{folder / 'real.sqlite3'}"), load(None)) as app:
        scenery = Scenery(app, None)
        runtime = app.extensions["gatehouse"]
        app.extensions["gatehouse"] = replace(runtime, config=replace(runtime.config, argon2_light=False))
        with scenery.acting(scenery.ours), transaction() as session:
            stored = passwords.hashed(factories.PASSWORD)
            people = {person.email: person for person in session.scalars(select(Staff))}
            people[KNOWN].password_hash = people[DISABLED].password_hash = stored
            people[DISABLED].disabled_at = app_clock.now()
            people[ONCE].password_hash = f"once:1:{stored}"
        yield scenery


def sign_in(scenery: Scenery, email: str, *, password: str = "", address: str | None = None):
    """Try from a network of its own, so that no limit is in the way; the answer, and how to read it without its own marks."""
    browser = scenery.nobody()
    token = scenery.csrf(browser, PATH)
    place = address or f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
    data = {"csrf_token": token, "email": email, "password": password or secrets.token_hex(8)}
    ask = {"data": data, "environ_base": {"REMOTE_ADDR": place}}
    return browser, ask


def told(scenery: Scenery, email: str, **how: str) -> tuple[int, list[tuple[str, str]], str]:
    """All that the answer tells."""
    browser, ask = sign_in(scenery, email, **how)
    answer = browser.post(PATH, **ask)
    kept = sorted((name, value) for name, value in answer.headers if name not in ("Date", "Content-Length"))
    return answer.status_code, kept, answer.text.replace(email, "…").replace(ask["data"]["csrf_token"], "…")


# ── Row 39 ──────────────────────────────────────────────────────────────────


def test_row_39_sign_in_says_the_same_whatever_is_wrong(scenery, clock):
    answers = [told(scenery, email) for email in (KNOWN, UNKNOWN, "zoe@elsewhere.example")]

    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 422
    assert WORDS in answers[0][2]


def test_row_39_a_right_password_that_may_not_enter_says_the_same(real, clock):
    """Of a disabled person, or given out once and lapsed."""
    assert told(real, DISABLED, password=factories.PASSWORD) == told(real, UNKNOWN, password=factories.PASSWORD)
    assert told(real, ONCE, password=factories.PASSWORD) == told(real, UNKNOWN, password=factories.PASSWORD)


def test_row_39_the_limits_are_the_same(scenery, clock):
    """Nobody learns from when it is enough whether there is an account."""
    clock.to(clock.now.replace(minute=0, second=0))
    seen = {
        email: [told(scenery, email, address=f"203.0.113.{place}")[:2] for _ in range(12)]
        for place, email in enumerate((KNOWN, UNKNOWN))
    }

    assert seen[KNOWN] == seen[UNKNOWN]
    assert [status for status, _ in seen[KNOWN]] == [422] * 10 + [429] * 2


def medians(scenery, clock, chance, *, rounds: int, timer: Callable[[], float]) -> dict[str, float]:
    """What each kind of failure takes in the middle, in milliseconds."""
    kinds = {"known": (KNOWN, ""), "unknown": (UNKNOWN, ""), "disabled": (DISABLED, factories.PASSWORD)}
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(1 + rounds):
        clock.forward(minutes=1)
        for kind in chance.sample(sorted(kinds), len(kinds)):
            email, password = kinds[kind]
            browser, ask = sign_in(scenery, email, password=password)
            begun = timer()
            assert browser.post(PATH, **ask).status_code == 422
            took[kind].append((timer() - begun) * 1000)
    return {kind: statistics.median(values[1:]) for kind, values in took.items()}


def apart(found: Mapping[str, float]) -> float:
    """By which part of the slowest the medians differ."""
    return (max(found.values()) - min(found.values())) / max(found.values())


@pytest.mark.alone
def test_row_39_sign_in_takes_as_long_whatever_is_wrong(real, clock, proof):
    """A wrong password takes as long for an address that has an account as for one that has none, and a right one as long for somebody who may not enter: argon2id is computed, and a row written, for each."""
    timer = time.perf_counter if proof.full else time.process_time  # beside other work, the work of this process
    rounds = proof.size(check=4, prove=60)
    for _ in range(3):
        found = medians(real, clock, proof.random, rounds=rounds, timer=timer)
        if apart(found) <= BOUND:
            break

    assert apart(found) <= BOUND, found
    proof.title = "Sign-in: how long a refusal takes"
    proof.figure("tries timed of each kind", rounds)
    for kind, median in found.items():
        proof.figure(f"median, {kind}", f"{median:.2f} ms")
    proof.figure("between the fastest and the slowest median", f"{apart(found):.2%}, of {BOUND:.0%} at most")


def test_row_39_a_short_cut_for_unknown_addresses_would_be_noticed(real, clock, proof, monkeypatch):
    careful = passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda stored, given: stored is not None and careful(stored, given))

    found = medians(real, clock, proof.random, rounds=1, timer=time.process_time)

    assert apart(found) > BOUND
    assert min(found, key=found.__getitem__) == "unknown"


def test_row_39_every_refusal_asks_the_database_as_much(disabled, clock):
    """As many statements of each kind, as many rows written: what a disk or a network adds is the same too."""
    asked = {}
    told(disabled, "first@x.example")  # which finds out what holds for all
    for email, password in ((KNOWN, ""), (UNKNOWN, ""), (DISABLED, factories.PASSWORD)):
        browser, ask = sign_in(disabled, email, password=password)
        with disabled.app.app_context(), counted() as seen:
            assert browser.post(PATH, **ask).status_code == 422
        asked[email] = list(map(verb, seen))

    assert asked[KNOWN] == asked[UNKNOWN] == asked[DISABLED]
    assert "INSERT" in asked[KNOWN]


LIGHT_BOUND = 0.09  # of the median, where a row that is not written saves twice as much; a busy machine slows all alike
SERIES = 8  # noise passes, a real difference shows in every one


def without_hashing(scenery, clock, proof) -> Iterator[dict[str, float]]:
    """Series of medians where a password costs next to nothing, so that the rest of the work can be seen."""
    for _ in range(SERIES):
        yield medians(scenery, clock, proof.random, rounds=proof.size(check=30, prove=300), timer=time.thread_time)


@pytest.mark.alone
def test_row_39_what_is_done_beside_the_hashing_is_the_same(disabled, clock, proof):
    """With a password hash that costs next to nothing, the rest of a refusal is seen: one look-up, one row written, one commit, whatever is wrong."""
    seen = []
    for found in without_hashing(disabled, clock, proof):
        seen.append(found)
        if apart(found) <= LIGHT_BOUND:
            break

    assert apart(found) <= LIGHT_BOUND, seen
    proof.title = "Sign-in: how long a refusal takes beside the hashing"
    for kind, median in found.items():
        proof.figure(f"median, {kind}", f"{median:.2f} ms")
    proof.figure("between the fastest and the slowest median", f"{apart(found):.2%}, of {LIGHT_BOUND:.0%} at most")


def test_row_39_a_row_that_is_not_written_for_unknown_addresses_would_be_noticed(disabled, clock, proof, monkeypatch):
    careful = staff_sessions._note_failure
    known = (KNOWN, DISABLED)
    monkeypatch.setattr(staff_sessions, "_note_failure", lambda who, at: careful(who, at) if who in known else None)

    found = list(islice(without_hashing(disabled, clock, proof), 3))

    assert statistics.median(map(apart, found)) > LIGHT_BOUND, found
    assert {min(each, key=each.__getitem__) for each in found} == {"unknown"}


@pytest.fixture
def disabled(scenery) -> Scenery:
    """The installation with light passwords, and one person who may not enter."""
    with scenery.acting(scenery.ours), transaction() as session:
        session.scalars(select(Staff).where(Staff.email == DISABLED)).one().disabled_at = app_clock.now()
    return scenery
