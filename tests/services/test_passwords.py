from datetime import UTC, datetime, timedelta

import pytest

from app.errors import Refused
from app.services import passwords
from tests.support.shared_app import *  # noqa: F403

pytestmark = pytest.mark.usefixtures("app_context")

AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("", "This has 0 characters; 12 more are needed."),
        ("northwind", "This has 9 characters; 3 more are needed."),
        ("elevenchars", "This has 11 characters; 1 more is needed."),
        ("abababababab", "This repeats too few characters. A few words work well."),
        ("a quiet harbour at dawn" * 10, "At most 200 characters; this has 230."),
    ],
)
def test_check_refuses_what_is_easily_guessed_and_says_why(password, problem):
    with pytest.raises(Refused) as refused:
        passwords.check(password)

    assert str(refused.value) == problem
    assert refused.value.field == "password"


@pytest.mark.parametrize(
    "password", ["twelve chars", "a quiet harbour at dawn", "ein Käse für später", "пароль из слов"]
)
def test_check_takes_any_twelve_characters(password):
    passwords.check(password)


def test_matches_knows_the_password_and_no_other():
    stored = passwords.hashed("a quiet harbour at dawn")

    assert passwords.matches(stored, "a quiet harbour at dawn")
    assert not passwords.matches(stored, "a quiet harbour at dusk")
    assert not passwords.matches(None, "a quiet harbour at dawn")


def test_matches_does_not_mind_how_a_keyboard_composes_letters():
    assert passwords.matches(
        passwords.hashed("ein K\u00e4se f\u00fcr sp\u00e4ter"), "ein Ka\u0308se fu\u0308r spa\u0308ter"
    )


def test_hashed_salts_each_time():
    assert passwords.hashed("a quiet harbour") != passwords.hashed("a quiet harbour")


def test_the_parameters_are_the_second_recommended_ones_of_rfc_9106():
    hasher = passwords._hasher(light=False)

    assert (hasher.time_cost, hasher.memory_cost, hasher.parallelism) == (3, 64 * 1024, 4)
    assert hasher.hash(b"x").startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_nobodys_hash_costs_what_a_real_one_does():
    real, nobodys = passwords.hashed("a quiet harbour"), passwords._nobodys()

    assert nobodys.split("$")[:4] == real.split("$")[:4]
    assert [len(part) for part in nobodys.split("$")] == [len(part) for part in real.split("$")]


def test_is_outdated_once_the_parameters_are_raised():
    light, full = passwords._hasher(light=True), passwords._hasher(light=False)

    assert not passwords.is_outdated(light.hash(b"x"))
    assert passwords.is_outdated(full.hash(b"x"))
    assert not passwords.is_outdated(passwords.new_one_time(AT)[1])


def test_new_one_time_is_random_and_matches_what_is_stored():
    (first, stored), (second, _) = passwords.new_one_time(AT), passwords.new_one_time(AT)

    assert passwords.matches(stored, first.reveal())
    assert not passwords.matches(stored, second.reveal())
    assert len(set(first.reveal())) > 5
    assert first.reveal() not in stored


def test_is_lapsed_after_seven_days():
    _password, stored = passwords.new_one_time(AT)

    assert passwords.is_one_time(stored)
    assert not passwords.is_lapsed(stored, AT + timedelta(days=7, seconds=-1))
    assert passwords.is_lapsed(stored, AT + timedelta(days=7))
    assert not passwords.is_lapsed(passwords.hashed("a quiet harbour"), AT + timedelta(days=9999))
