"""What was granted and what is missing."""

from __future__ import annotations

import pytest

from app.catalog.protocol import Reported, ScopeAs
from app.oauth import missing
from app.oauth.scopes import granted
from tests.oauth.factories import an_app

EMAIL = "https://www.googleapis.com/auth/userinfo.email"
MAIL = "https://mail.google.com/"


@pytest.mark.parametrize(
    ("reported", "required", "held", "expected"),
    [
        ({}, ("a", "b"), ("a", "b"), ()),
        ({}, ("a", "b"), ("b",), ("a",)),
        ({}, ("b", "a"), (), ("b", "a")),
        ({}, ("a", "b"), None, ()),
        ({}, (), (), ()),
        ({}, ("a",), ("a", "extra"), ()),
        ({}, ("User.Read",), ("user.read",), ()),
        ({}, (MAIL,), (MAIL.rstrip("/"),), ()),
        ({}, ("read",), ("read:all",), ("read",)),
        ({"aliases": {EMAIL: "email"}}, ("email",), (EMAIL,), ()),
        ({"aliases": {EMAIL: "email"}}, (EMAIL,), ("email",), ()),
        ({"aliases": {EMAIL: "email"}}, (EMAIL,), (EMAIL,), ()),
        ({"implies": {"repo": ("repo:status",)}}, ("repo:status",), ("repo",), ()),
        ({"implies": {"a": ("b",), "b": ("c", "a")}}, ("c",), ("a",), ()),
        ({"implies": {"repo": ("repo:status",)}}, ("repo",), ("repo:status",), ("repo",)),
        ({"unreported": ("offline_access",)}, ("offline_access", "a"), ("a",), ()),
    ],
)
def test_missing_knows_the_same_scope_in_other_words(provider, reported, required, held, expected):
    assert missing(required, held, an_app(provider, reported=Reported(**reported))) == expected


@pytest.mark.parametrize(
    ("reported", "value", "expected"),
    [
        ({}, "b a", ("a", "b")),
        ({}, "  a   b ", ("a", "b")),
        ({}, "a a", ("a",)),
        ({}, None, None),
        ({}, 7, None),
        ({}, True, None),
        ({}, ["a"], ("a",)),
        ({"separator": ","}, "a,b", ("a", "b")),
        ({"scope_as": ScopeAs.LIST}, ["b", "a"], ("a", "b")),
        ({"scope_as": ScopeAs.NONE}, "a", None),
        ({"unreported": ("b",)}, "a", ("a", "b")),
        ({"prefix": "p/"}, "p/a x", ("a",)),
        ({}, "a <script> ../x canary", ("a",)),
        ({}, "A b/", ("A", "b/")),
        ({"aliases": {"alpha": "a"}}, "alpha", ("a",)),
        ({"implies": {"all": ("a", "b")}}, "all x", ("a", "all", "b")),
    ],
)
def test_granted_reads_what_is_reported(provider, reported, value, expected):
    assert granted(an_app(provider, reported=Reported(**reported)), value, ("a", "b")) == expected
