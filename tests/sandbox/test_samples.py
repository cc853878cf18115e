from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog import load
from app.sandbox.documents import document
from app.sandbox.samples import sample

PATTERNS = sorted(
    {keep.pattern for app in load() for keep in app.keeps()}
    | {r"\d{3,}", r"[^x]y", r"(ab|cd)+", r"a?b*?c{2}", r"(?=[a-f])[a-c]", r".", r"\w\s\S", r"^x$", r"[-.]z"}
)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(seed=st.text(max_size=20))
def test_sample_matches_its_pattern_and_never_changes(pattern: str, seed: str) -> None:
    text = sample(pattern, seed)

    assert re.fullmatch(pattern, text)
    assert sample(pattern, seed) == text


def test_sample_says_when_there_is_none() -> None:
    with pytest.raises(ValueError, match="No example"):
        sample(r"a(?!a)a")


@pytest.mark.parametrize(
    ("facts", "whole"),
    [
        ({"id": 1}, {"id": 1}),
        ({"user.id": 1, "user.name": "x"}, {"user": {"id": 1, "name": "x"}}),
        ({"0.id": 1, "0.name": "x"}, [{"id": 1, "name": "x"}]),
        ({"users.1.id": 2}, {"users": [{}, {"id": 2}]}),
        ({}, {}),
    ],
)
def test_document_puts_values_at_their_paths(facts: dict[str, object], whole: object) -> None:
    assert document(facts) == whole


def test_document_refuses_paths_that_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="leads through"):
        document({"user": "x", "user.id": 1})
