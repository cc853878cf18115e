"""JSON from strangers."""

import pytest

from app.egress import EgressFailed, parse_json


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{",
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "a": 1}}',
        b"\xff\xfe{}",
        b'{"a": "\xe9"}',
        b"[" * 100_000,
        b"{'a': 1}",
        b'{"a": 1} trailing',
    ],
)
def test_parse_json_fails_in_one_way(body):
    with pytest.raises(EgressFailed, match="not_json"):
        parse_json(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a": "\xc3\xa9"}', {"a": "é"}),
        (b'{"a": NaN, "b": -Infinity}', {"a": None, "b": None}),
        (b'{"a": ' + b"9" * 5000 + b"}", {"a": None}),
        (b'{"a": 12345678901234567890}', {"a": 12345678901234567890}),
    ],
)
def test_parse_json_reads_what_is_meant(body, value):
    assert parse_json(body) == value
