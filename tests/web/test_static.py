import gzip
import re
import shutil

import brotli
import pytest
from flask import Flask

from app.web import static
from app.web.static import BUNDLES, StaticFilesMissing, digest_of, read_tree, register_static
from app.web.stylesheet import minified, used_only
from tests.web.tiny import tiny_app

FOR_EVER = "max-age=315360000, public, immutable"


@pytest.fixture(scope="module")
def web():
    return tiny_app()


def address(app, name):
    with app.test_request_context():
        return app.jinja_env.globals["static_url"](name)


def fetch(app, path, **headers):
    """The answer, read to its end: what is served is a file that wants closing."""
    with app.test_client().get(path, headers={"Host": "localhost:8000"} | headers) as answer:
        assert answer.data is not None
        return answer


@pytest.fixture
def tree(tmp_path):
    """A folder of static files that can be changed."""
    shutil.copytree(static.ROOT, tmp_path / "static")
    return tmp_path / "static"


@pytest.mark.parametrize("name", [*static.SINGLE, *BUNDLES, "client.css"])
@pytest.mark.parametrize(
    ("accept", "encoding", "unpack"),
    [("gzip, deflate, br", "br", brotli.decompress), ("gzip", "gzip", gzip.decompress), ("identity", None, bytes)],
)
def test_static_files_are_served_compressed_and_for_ever(web, name, accept, encoding, unpack):
    answer = fetch(web, address(web, name), **{"Accept-Encoding": accept})

    assert answer.status_code == 200
    assert answer.headers.get("Content-Encoding") == encoding
    assert unpack(answer.data) == read_tree(static.ROOT)[name]
    assert answer.headers["Cache-Control"] == FOR_EVER
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_static_addresses_carry_a_digest_that_changes_with_any_file(tree):
    before = digest_of(read_tree(tree))
    (tree / "busy.js").write_bytes((tree / "busy.js").read_bytes().replace(b"busy", b"BUSY"))

    assert digest_of(read_tree(tree)) != before


def test_an_edit_is_neither_served_half_nor_under_the_old_address(tree):
    first, second = Flask("first"), Flask("second")
    register_static(first, tree)
    (tree / "theme.css").write_text("body { color: red }")
    register_static(second, tree)
    old, new = address(first, "style.css"), address(second, "style.css")

    assert b"--gh-accent" in fetch(first, old).data
    assert fetch(second, new).data.endswith(b"body { color: red }")
    assert fetch(second, old).status_code == 404


@pytest.mark.parametrize("name", ["vendor/../../README.md", "style.css.br", "style.css.gz", "nothing.css", ""])
def test_nothing_but_the_tree_is_served(web, name):
    answer = fetch(web, address(web, "style.css").replace("style.css", name))

    assert answer.status_code == 404


def test_static_url_refuses_what_is_not_there(web):
    with pytest.raises(KeyError):
        address(web, "nothing.css")


def test_the_start_is_stopped_by_one_sentence_when_the_browser_files_are_missing(tree):
    (tree / "vendor" / "htmx.min.js").unlink()

    with pytest.raises(StaticFilesMissing, match=r"^The browser files are missing from .*\(htmx\.min\.js\): run pip"):
        register_static(Flask("bare"), tree)


def test_bundles_hold_their_parts_and_name_no_source_map():
    tree = read_tree(static.ROOT)

    for name, parts in BUNDLES.items():
        assert b"sourceMappingURL" not in tree[name]
        for part in parts:
            assert (static.ROOT / part).read_bytes()[:200] in tree[name]


def test_what_is_served_is_what_some_page_asks_for():
    templates = (static.ROOT.parent / "templates").rglob("*.html")
    asked = {name for path in templates for name in re.findall(r"static_url\('([^']+)'\)", path.read_text("utf-8"))}

    assert set(read_tree(static.ROOT)) == asked


def test_every_script_of_ours_is_loaded_by_some_page():
    loaded = {part for parts in BUNDLES.values() for part in parts} | set(static.SINGLE)
    ours = {path.name for path in static.ROOT.glob("*.js")}

    assert ours <= loaded


def test_a_client_page_keeps_to_its_budget_on_the_wire():
    tree = read_tree(static.ROOT)
    scripts_and_styles = [tree["client.css"], tree["client.js"]]

    assert sum(len(brotli.compress(each)) for each in scripts_and_styles) < 38_000
    assert sum(len(gzip.compress(each)) for each in scripts_and_styles) < 42_000


def test_used_only_keeps_rules_of_used_classes_and_of_elements():
    css = (
        '@charset "UTF-8";/*! licence */:root{--a:1}body{margin:0}.btn{color:red}.card,.btn-link:hover{x:y}'
        ".input-group:not(.has-validation)>.btn{z:1}.btn:not(.card,.gone) p{q:r}"
        "@media (min-width:1px){.card{a:b}.btn{c:d}}@media print{.card{a:b}}@keyframes turn{to{rotate:1turn}}"
    )

    kept = used_only(css, frozenset({"btn", "btn-link", "input-group"}))

    assert kept == (
        ":root{--a:1}body{margin:0}.btn{color:red}.btn-link:hover{x:y}"
        ".input-group:not(.has-validation)>.btn{z:1}.btn:not(.card,.gone) p{q:r}"
        "@media (min-width:1px){.btn{c:d}}@keyframes turn{to{rotate:1turn}}"
    )


def test_minified_says_the_same_shorter():
    assert minified("a {\n  /* why */\n  color: red;\n}\n") == "a { color: red; } "


def test_client_stylesheet_keeps_every_class_of_bootstrap_that_our_templates_name():
    tree = read_tree(static.ROOT)
    classes = re.compile(r"\.([A-Za-z][\w-]*)")
    known = set(classes.findall((static.ROOT / "vendor/bootstrap.min.css").read_text(encoding="utf-8")))
    kept = set(classes.findall(tree["client.css"].decode()))
    named = set()
    for path in (static.ROOT.parent / "templates").rglob("*.html"):
        for value in re.findall(r'class="([^"]*)"', path.read_text(encoding="utf-8")):
            named |= set(re.findall(r"[\w-]+", value))

    assert known & named <= kept
    assert "carousel-inner" not in kept
