"""Signing in to the portal tells nobody whose address is known: not by words, headers, limits or statements, nor by time."""

import secrets
import statistics
import time

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import OutboxItem, PortalCode
from app.services import letters, portal_codes, portal_failures
from app.tenancy import across_tenants
from tests.support.scenery import MEMBER, RECIPIENT
from tests.support.statements import counted, verb

DOORS = ("/portal/login", "/portal/login/northwind-studio")
NOBODY = "nobody@harbordental.example"
EVERYBODY = (MEMBER, RECIPIENT, NOBODY)
SELDOM = ("Date", "Content-Length", "Set-Cookie")


def post(scenery, browser, path, *, place=None, **fields):
    """Send a form from a network of its own, unless the test says from where."""
    address = place or f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
    data = {"csrf_token": scenery.csrf(browser, path), **fields}
    return browser.post(path, data=data, environ_base={"REMOTE_ADDR": address})


def told(scenery, browser, answer, email, typed="…"):
    """All that an answer tells, but for what is each browser's own."""
    kept = sorted((name, value) for name, value in answer.headers if name not in SELDOM)
    text = answer.text.replace(email, "…").replace(typed, "…").replace(scenery.csrf(browser, "/portal/code"), "…")
    return answer.status_code, kept, text


def asked_of(email):
    latest = select(PortalCode).where(PortalCode.email == email).order_by(PortalCode.id.desc())
    with across_tenants("a test's eye"):
        return db.session.scalars(latest).first()


def code_of(email):
    return portal_codes.code_of(asked_of(email))


def button_of(email):
    return portal_codes.button_of(asked_of(email))


@pytest.mark.parametrize("door", DOORS)
def test_row_39_asking_for_a_code_is_answered_the_same(scenery, clock, door):
    seen = []
    for email in EVERYBODY:
        browser = scenery.nobody()
        steps = [post(scenery, browser, door, email=email), browser.get("/portal/code")]
        seen.append([told(scenery, browser, answer, email) for answer in steps])

    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0][0] == 303
    assert "If … can sign in here, a code is on its way" in seen[0][1][2]


def test_row_39_a_wrong_code_is_answered_the_same_to_the_last_try(scenery, clock):
    seen = []
    for email in EVERYBODY:
        browser = scenery.nobody()
        post(scenery, browser, DOORS[0], email=email)
        with scenery.app.app_context():
            wrong = f"{(int(code_of(email)) + 1) % 10**6:06}"
        answers = [post(scenery, browser, "/portal/code", code=wrong) for _ in range(6)]
        seen.append([told(scenery, browser, answer, email, wrong) for answer in answers])

    assert seen[0] == seen[1] == seen[2]
    assert [status for status, *_ in seen[0]] == [422] * 6


def test_row_39_the_limits_are_the_same(scenery, clock):
    seen = []
    for number, email in enumerate(EVERYBODY):
        browser, place = scenery.nobody(), f"203.0.113.{number}"
        answers = [post(scenery, browser, DOORS[0], email=email, place=place) for _ in range(7)]
        seen.append([told(scenery, browser, answer, email)[:2] for answer in answers])

    assert seen[0] == seen[1] == seen[2]
    assert [status for status, _ in seen[0]] == [303] * 5 + [429] * 2


def test_row_39_an_address_that_has_had_enough_codes_is_answered_as_ever(scenery, clock):
    """From wherever they were asked for, and whoever it is: only the mail stays away."""
    seen = []
    for email in EVERYBODY:
        for _ in range(portal_codes.PER_ADDRESS_DAY + 2):
            browser = scenery.nobody()
            steps = [post(scenery, browser, DOORS[0], email=email), browser.get("/portal/code")]
            seen.append([told(scenery, browser, answer, email) for answer in steps])
        with scenery.app.app_context(), across_tenants("a test's eye"):
            codes = select(PortalCode.public_id).where(PortalCode.email == email)
            put = db.session.scalars(select(OutboxItem.key).where(OutboxItem.key.in_(codes))).all()
            assert len(put) == portal_codes.PER_ADDRESS_DAY
            db.session.remove()

    assert all(each == seen[0] for each in seen)


def test_row_39_a_code_that_was_not_mailed_lets_nobody_in(scenery, clock):
    """However many networks ask, there are no more codes to guess than mails: who happens on the digits is not let in."""
    for _ in range(portal_codes.PER_ADDRESS_DAY):
        post(scenery, scenery.nobody(), DOORS[0], email=MEMBER)
    for typed in (None, "", "-" * 6):
        thief = scenery.nobody()
        post(scenery, thief, DOORS[0], email=MEMBER)
        with scenery.app.app_context():
            right = code_of(MEMBER) if typed is None else typed
        assert post(scenery, thief, "/portal/code", code=right).status_code == 422
        assert thief.get("/portal/connections").status_code == 303


def test_row_39_one_network_has_half_of_an_addresss_codes(scenery, clock):
    """So that a stranger alone keeps nobody from theirs."""
    asked = []
    for _ in range(4):
        asked += [post(scenery, scenery.nobody(), DOORS[0], email=MEMBER, place="198.51.100.7") for _ in range(5)]
        clock.forward(minutes=16)
    assert [each.status_code for each in asked].count(303) == portal_codes.PER_ADDRESS_DAY // 2

    browser = scenery.nobody()
    post(scenery, browser, DOORS[0], email=MEMBER, place="203.0.113.9")
    with scenery.app.app_context():
        code = code_of(MEMBER)
    assert post(scenery, browser, "/portal/code", code=code, place="203.0.113.9").status_code == 303


def test_row_39_every_request_for_a_code_asks_the_database_as_much(scenery, clock):
    asked = {}
    post(scenery, scenery.nobody(), DOORS[0], email="first@x.example")  # which finds out what holds for all
    for email in EVERYBODY:
        browser = scenery.nobody()
        with scenery.app.app_context(), counted() as seen:
            assert post(scenery, browser, DOORS[0], email=email).status_code == 303
        asked[email] = [(verb(each), "outbox" in each, "portal_code" in each) for each in seen]

    assert asked[MEMBER] == asked[RECIPIENT] == asked[NOBODY]
    assert ("INSERT", True, False) in asked[NOBODY], "the worker finds out who may enter"


def test_row_39_every_wrong_code_asks_the_database_as_much(scenery, clock):
    asked = {}
    for email in ("first@x.example", *EVERYBODY):
        browser = scenery.nobody()
        post(scenery, browser, DOORS[0], email=email)
        with scenery.app.app_context():
            wrong = f"{(int(code_of(email)) + 1) % 10**6:06}"
        with scenery.app.app_context(), counted() as seen:
            assert post(scenery, browser, "/portal/code", code=wrong).status_code == 422
        asked[email] = list(map(verb, seen))

    assert asked[MEMBER] == asked[RECIPIENT] == asked[NOBODY]


def test_row_39_the_rows_of_a_request_are_the_same(scenery, clock):
    """What is in the database tells as little, until the worker has looked."""
    rows = []
    for email in EVERYBODY:
        post(scenery, scenery.nobody(), DOORS[1], email=email)
        with scenery.app.app_context(), across_tenants("a test's eye"):
            code = db.session.scalars(select(PortalCode).where(PortalCode.email == email)).one()
            item = db.session.scalars(select(OutboxItem).where(OutboxItem.key == code.public_id)).one()
            rows.append(
                (code.agency_id, code.tries, code.used_at, item.kind, item.agency_id, item.state, sorted(item.payload))
            )
            db.session.remove()

    assert rows[0] == rows[1] == rows[2]
    assert rows[0][3] == letters.CODE


def pressed(scenery, email):
    """What pressing somebody's button elsewhere answers and asks the database; for none, one that never was."""
    address = "nothing"
    if email:
        post(scenery, scenery.nobody(), DOORS[0], email=email)
        with scenery.app.app_context():
            address = button_of(email)
    browser, path = scenery.nobody(), f"/portal/enter/{address}"
    shown = browser.get(path)
    data = {"csrf_token": scenery.csrf(browser, path)}
    with scenery.app.app_context(), counted() as seen:
        answer = browser.post(path, data=data)
    said = [told(scenery, browser, each, "a@b.example", address) for each in (shown, answer)]
    return said, [verb(each) for each in seen]


def test_row_39_a_button_pressed_elsewhere_is_answered_as_one_that_never_was(scenery, clock):
    pressed(scenery, "")  # which finds out what holds for all
    never, *others = (pressed(scenery, email) for email in ("", *EVERYBODY))

    assert never == others[0] == others[1] == others[2]
    assert [status for status, *_ in never[0]] == [200, 422]


BOUND = 0.09  # of the median
SERIES = 8  # noise passes, a real difference shows in every one


def medians(scenery, clock, chance, *, rounds, steps=("ask", "try")):
    """What asking for a code, and typing a wrong one, takes in the middle for each address, in milliseconds of this thread's work."""
    took = {(email, step): [] for email in EVERYBODY for step in steps}
    for _ in range(1 + rounds):
        clock.forward(hours=2)  # an address is mailed so often a day
        for email in chance.sample(EVERYBODY, len(EVERYBODY)):
            browser = scenery.nobody()
            took[email, "ask"].append(timed(scenery, browser, DOORS[0], 303, email=email))
            if "try" not in steps:
                continue
            with scenery.app.app_context():
                wrong = f"{(int(code_of(email)) + 1) % 10**6:06}"
            took[email, "try"].append(timed(scenery, browser, "/portal/code", 422, code=wrong))
    return {kind: statistics.median(values[1:]) * 1000 for kind, values in took.items()}


def timed(scenery, browser, path, status, **fields):
    place = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
    data = {"csrf_token": scenery.csrf(browser, path), **fields}
    begun = time.thread_time()
    answer = browser.post(path, data=data, environ_base={"REMOTE_ADDR": place}, buffered=False)
    took = time.thread_time() - begun
    assert answer.status_code == status
    answer.close()  # what is written now is after the answer
    return took


def apart(found, step):
    """By which part of the slowest the medians of a step differ."""
    values = [value for (_email, each), value in found.items() if each == step]
    return (max(values) - min(values)) / max(values)


@pytest.mark.alone
def test_row_39_the_portal_takes_as_long_whoever_is_known(scenery, clock, proof):
    rounds, seen = proof.size(check=15, prove=150), []
    for _ in range(SERIES):
        seen.append(medians(scenery, clock, proof.random, rounds=rounds))
        if all(apart(seen[-1], step) <= BOUND for step in ("ask", "try")):
            break

    for step in ("ask", "try"):
        assert apart(seen[-1], step) <= BOUND, seen
    proof.title = "Portal: how long it takes to ask for a code, and to be refused one"
    proof.figure("tries timed of each kind", rounds)
    for (email, step), median in seen[-1].items():
        proof.figure(
            f"median, {step}, {('a member', 'an owner', 'nobody')[EVERYBODY.index(email)]}", f"{median:.2f} ms"
        )


@pytest.mark.alone
def test_row_39_turning_unknown_addresses_away_at_the_door_would_take_less(scenery, clock, proof, monkeypatch):
    ask = portal_codes.ask
    monkeypatch.setattr(
        portal_codes,
        "ask",
        lambda email, **how: portal_codes._spend(email, None, how["at"]) if email == NOBODY else ask(email, **how),
    )

    found = medians(scenery, clock, proof.random, rounds=proof.size(check=15, prove=150), steps=("ask",))

    assert apart(found, "ask") > BOUND, found
    assert min(EVERYBODY, key=lambda email: found[email, "ask"]) == NOBODY


def careless(monkeypatch):
    """Have no letter written for an unknown address."""
    ask, put = portal_codes.ask, letters.put

    def asking(email, **how):
        monkeypatch.setattr(letters, "put", (lambda *_given, **_ids: False) if email == NOBODY else put)
        return ask(email, **how)

    monkeypatch.setattr(portal_codes, "ask", asking)


def test_row_39_a_short_cut_for_unknown_addresses_would_be_noticed(scenery, clock, monkeypatch):
    careless(monkeypatch)

    with pytest.raises(AssertionError):
        test_row_39_every_request_for_a_code_asks_the_database_as_much(scenery, clock)


# ── Rows 4 and 39: what is learnt ───────────────────────────────────────────


def failures(scenery):
    return [row for row in scenery.rows(scenery.ours)["audit_event"] if "portal.sign_in_failed" in repr(row)]


@pytest.mark.parametrize("how", ["code", "button"])
def test_row_39_a_failed_sign_in_is_written_after_the_answer(scenery, clock, how):
    browser = scenery.nobody()
    post(scenery, browser, DOORS[0], email=MEMBER)
    with scenery.app.app_context():
        code, button = code_of(MEMBER), button_of(MEMBER)
    wrong = {"code": f"{(int(code) + 1) % 10**6:06}"}
    place, path, fields = (
        (browser, "/portal/code", wrong) if how == "code" else (scenery.nobody(), f"/portal/enter/{button}", {})
    )
    data = {"csrf_token": scenery.csrf(place, path), **fields}

    answer = place.post(path, data=data, buffered=False)
    before = len(failures(scenery))
    answer.close()

    assert (answer.status_code, before, len(failures(scenery))) == (422, 0, 1)


def test_row_39_an_answer_goes_out_though_its_failure_cannot_be_written(scenery, clock, monkeypatch):
    def fails(_public_id):
        raise OSError("the disk is full")

    browser = scenery.nobody()
    post(scenery, browser, DOORS[0], email=MEMBER)
    with scenery.app.app_context():
        wrong = f"{(int(code_of(MEMBER)) + 1) % 10**6:06}"
    monkeypatch.setattr(portal_failures, "note_code", fails)

    assert post(scenery, browser, "/portal/code", code=wrong).status_code == 422
