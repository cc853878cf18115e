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


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        (None, None, True),
        ("a proxy's nonsense", "a proxy's nonsense", True),
    ],
)
def test_visitor_is_an_address_or_an_ipv6_site(one, other, same):
    def visitor_at(address):
        db.session().info["address"] = address
        return limits.visitor()

    assert (visitor_at(one) == visitor_at(other)) is same
