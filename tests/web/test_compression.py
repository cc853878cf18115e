import gzip

import brotli
import pytest

from tests.web.tiny import browser, tiny_app

BODY = "<p>A page that is long enough to be worth it.</p>" * 60


def add_pages(app):
    for path in ("/connect/long", "/panel/long", "/portal/long"):
        app.add_url_rule(path, path, lambda: BODY)
    app.add_url_rule("/connect/short", "short", lambda: "<p>Short</p>")


@pytest.fixture(scope="module")
def web():
    return tiny_app(extend=add_pages)


@pytest.mark.parametrize("path", ["/connect/long", "/portal/long"])
@pytest.mark.parametrize(
    ("accept", "encoding", "unpack"),
    [
        ("br, gzip", "br", brotli.decompress),
        ("gzip", "gzip", gzip.decompress),
        ("", None, bytes),
        ("zstd", None, bytes),
    ],
)
def test_compress_gives_client_pages_in_what_the_browser_reads(web, path, accept, encoding, unpack):
    answer = browser(web).get(path, headers={"Accept-Encoding": accept})

    assert answer.headers.get("Content-Encoding") == encoding
    assert unpack(answer.data).decode() == BODY
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert set(answer.headers["Vary"].split(", ")) == {"Accept-Encoding", "HX-Request"}


@pytest.mark.parametrize(
    "path", ["/panel/long", "/portal/long?to=what-another-site-wrote", "/connect/short", "/connect/nowhere", "/l/abc"]
)
def test_compress_leaves_everything_else_as_it_is(web, path):
    answer = browser(web).get(path, headers={"Accept-Encoding": "br, gzip"})

    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Vary"] == "HX-Request"
