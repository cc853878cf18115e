from datetime import UTC, datetime, timedelta

import pytest

from app.errors import RateLimited
from app.extensions import db
from app.services import limits
from tests.support.shared_app import *  # noqa: F403

pytestmark = pytest.mark.usefixtures("agency")

AT = datetime(2026, 11, 20, 9, 35, tzinfo=UTC)
WINDOW = timedelta(minutes=15)


def test_spend_counts_to_the_limit_and_says_how_long_to_wait():
    for _ in range(3):
        limits.spend("a door", at=AT, window=WINDOW, limit=3)

    with pytest.raises(RateLimited) as limited:
        limits.spend("a door", at=AT, window=WINDOW, limit=3)

    assert limited.value.retry_after == 600
    limits.spend("another door", at=AT, window=WINDOW, limit=3)
    limits.spend("a door", at=AT + timedelta(minutes=10), window=WINDOW, limit=3)


def visitor_at(address):
    db.session().info["address"] = address
    return limits.visitor()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "::FFFF:c000:201", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1:5555", "192.0.2.1:5556", True),
        ("192.0.2.1:5555", "192.0.2.1", True),
        ("192.0.2.1:5555", "192.0.2.2:5555", False),
        ("[2001:db8::1]:443", "2001:db8::2", True),
        ("[2001:db8::1]", "2001:db8::1", True),
        ("[2001:db8:0:1::1]:443", "[2001:db8:0:2::1]:443", False),
        ("[::ffff:192.0.2.1]:443", "192.0.2.1", True),
        (None, None, True),
    ],
)
def test_visitor_is_an_address_or_an_ipv6_site(one, other, same):
    assert (visitor_at(one) == visitor_at(other)) is same


@pytest.mark.parametrize(
    "nonsense",
    [None, "", "a proxy's nonsense", "unknown", "_hidden", "999.0.2.1:80", "[192.0.2.1", "192.0.2.1:x", "[]"],
)
def test_visitor_is_one_and_the_same_for_whatever_is_no_address(nonsense):
    assert visitor_at(nonsense) == "unknown"


def test_visitor_from_everywhere_in_ipv4_is_not_one_behind_a_socket_for_both_families():
    met = {visitor_at(f"::ffff:198.51.100.{number}") for number in range(100)}

    assert len(met) == 100
