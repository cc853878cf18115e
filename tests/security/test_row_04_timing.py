"""Links that do not open take as long as each other: measured in this process, interleaved, after the answer is on its way."""

import gc
import secrets
import statistics
import time
from collections.abc import Callable, Mapping
from itertools import pairwise

import pytest
from sqlalchemy import select

from app.database import transaction
from app.extensions import db
from app.models import Bundle
from app.services import bundles, intake, link_tokens, workspaces
from app.services.intake import Opening
from app.tenancy import across_tenants
from tests.support.altered_links import environ
from tests.support.statements import counted, verb

BOUND = 0.2  # ms
WARM_UP = 5
SERIES = 4
Kinds = Mapping[str, Callable[[], str]]


def dead_links(scenery, at) -> Kinds:
    """Seven ways for a link not to open."""
    with scenery.acting(scenery.ours) as (agency, owner):
        workspace = workspaces.get(agency, scenery.ours.names["workspace_id"])

        def minted(whom: str, **changes) -> Bundle:
            bundle = bundles.mint(workspace, f"{whom}-{secrets.token_hex(4)}@harbordental.example", by=owner, at=at)
            with transaction():
                for name, value in changes.items():
                    setattr(bundle, name, value)
            return bundle

        resent = minted("resent")
        old = link_tokens.of(resent)
        bundles.mint(workspace, resent.recipient, by=owner, at=at)
        settled = link_tokens.of(minted("settled", closed_at=at))
        expired = link_tokens.of(minted("expired", expires_at=at))
        both = link_tokens.of(minted("both", closed_at=at, expires_at=at))
    said, _, signed = scenery.ours.names["token"].rpartition(".")
    return {
        "never made": lambda: secrets.token_urlsafe(80),
        "of another signature": lambda: f"{said}.{secrets.token_urlsafe(32)}",
        "resent since": lambda: old,
        "settled or cancelled": lambda: settled,
        "expired": lambda: expired,
        "closed and past its time": lambda: both,
        "not of a link's form": lambda: f"%41{signed}=",
    }


def medians(app, kinds: Kinds, chance, *, rounds: int, timer: Callable[[], float]) -> dict[str, float]:
    """What each kind takes in the middle, in milliseconds, until its answer is on its way."""
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    gc.collect()
    gc.disable()
    try:
        for _ in range(WARM_UP + rounds):
            for kind in chance.sample(sorted(kinds), len(kinds)):  # what one leaves behind burdens not always the same
                took[kind].append(_milliseconds(app, kinds[kind](), timer))
    finally:
        gc.enable()
    return {kind: statistics.median(values[WARM_UP:]) for kind, values in took.items()}


def _milliseconds(app, link: str, timer: Callable[[], float]) -> float:
    asked = environ(link)
    begun = timer()
    answer = app.wsgi_app(asked, lambda *_: None)
    b"".join(answer)
    took = timer() - begun
    answer.close()
    return took * 1000


def spread(found: Mapping[str, float]) -> float:
    return max(found.values()) - min(found.values())


@pytest.mark.alone
@pytest.mark.both_databases
def test_row_04_all_failures_take_the_same_time(standing, clock, proof, database_kind):
    """Whoever times the answers to links that do not open learns nothing of the cause: one hash, one look-up, one signature and one count are done for each, so the medians of seven causes lie together.

    In the short run it is the time of this thread that counts, since other work on the machine adds noise, never
    sameness: a real difference would show in every series.
    """
    kinds = dead_links(standing, clock.now)
    timer = time.perf_counter if proof.full else time.thread_time
    rounds = proof.size(check=60, prove=2000)
    spreads: list[float] = []
    for _ in range(SERIES):
        found = medians(standing.app, kinds, proof.random, rounds=rounds, timer=timer)
        spreads.append(spread(found))
        if spreads[-1] <= BOUND:
            break

    assert min(spreads) <= BOUND, f"The medians lie apart by {spreads} ms, at last {found}"
    proof.title = f"Links: how long a refusal takes, on {database_kind}"
    proof.figure("openings timed of each kind", rounds)
    for kind, median in found.items():
        proof.figure(f"median, {kind}", f"{median:.3f} ms")
    proof.figure("between the fastest and the slowest median", f"{spreads[-1]:.3f} ms, of {BOUND} at most")


@pytest.mark.both_databases
def test_row_04_every_cause_asks_the_database_the_same(standing, clock):
    """One count and one look-up, until the answer is on its way."""
    kinds = dead_links(standing, clock.now)
    asked = {}
    with standing.app.app_context():
        for kind, link in kinds.items():
            with counted() as seen:
                answer = standing.app.wsgi_app(environ(link()), lambda *_: None)
                b"".join(answer)
                asked[kind] = list(seen)
            answer.close()

    assert len({tuple(each) for each in asked.values()}) == 1, asked
    assert [verb(statement) for statement in asked["never made"]] == ["INSERT", "SELECT"]


@pytest.mark.parametrize("short_cut", ["before the count", "before the signature, in another form"])
def test_row_04_a_short_cut_for_unknown_links_would_be_noticed(scenery, clock, proof, monkeypatch, short_cut):
    """Whoever looks a link up and is done when there is none is faster for it."""
    careful = intake.open_link

    def hasty(token: str, **whose):
        if short_cut == "before the count":
            with across_tenants("a test's short cut"):
                known = db.session.scalar(select(Bundle.id).where(Bundle.token_hash == link_tokens.digest(token)))
            return careful(token, **whose) if known else Opening()
        return careful(token, **whose) if link_tokens.FORM.fullmatch(token) else Opening()

    monkeypatch.setattr(intake, "open_link", hasty)
    kinds = dead_links(scenery, clock.now)

    found = [medians(scenery.app, kinds, proof.random, rounds=20, timer=time.thread_time) for _ in range(2)]

    assert min(map(spread, found)) > BOUND, found
    assert all(_slowest(one) & _slowest(other) for one, other in pairwise(found))


def _slowest(found: Mapping[str, float]) -> set[str]:
    """The kinds that stand out."""
    return {kind for kind, median in found.items() if median - min(found.values()) > BOUND}
