"""A page that is compressed repeats nothing of its address: else its length would tell the form's token to who guesses at it."""

import gzip

import pytest

from tests.support.scenery import unknown

GUESS = "qzxjguessed7token"
CLIENT = ("client", "portal", "oauth")


def pages(scenery):
    for rule in scenery.app.url_map.iter_rules():
        if rule.endpoint.partition(".")[0] in CLIENT and "GET" in rule.methods:
            ours = {**{name: unknown(name) for name in rule.arguments}, **scenery.ours.names}
            named = {name: ours[name] for name in rule.arguments if name in ours}
            for guessed in (None, *rule.arguments):
                yield rule.build({**named, **({guessed: GUESS} if guessed else {})})[1]


@pytest.mark.parametrize("who", ["visitor", "nobody"])
def test_row_35_no_page_that_is_compressed_repeats_its_address(scenery, clock, who):
    compressed = set()
    for path in set(pages(scenery)):
        browser = scenery.visitor_of(scenery.ours) if who == "visitor" else scenery.nobody()
        if who == "visitor":
            browser.set_cookie("gh_intake", scenery.ours.session_id)
        for query in (
            "",
            "".join(
                f"{'&' if number else '?'}{name}={GUESS}"
                for number, name in enumerate(("to", "after", "before", "error", "state", "q"))
            ),
        ):
            answer = browser.get(path + query, headers={"Accept-Encoding": "gzip"})
            if answer.headers.get("Content-Encoding") == "gzip":
                compressed.add(path.partition("/")[2].partition("/")[0])
                assert GUESS not in gzip.decompress(answer.data).decode(), path + query

    assert compressed >= ({"portal", "connect"} if who == "visitor" else {"portal"})
