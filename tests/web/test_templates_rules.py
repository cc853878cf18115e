"""Reads every template for what the content security policy, htmx and translators can't bear. Mails have rules of their own."""

import re

import pytest

from app.config import ROOT

TEMPLATES = ROOT / "templates"
FILES = sorted(path for path in TEMPLATES.rglob("*.html") if "mail" not in path.relative_to(TEMPLATES).parts[:1])

FORBIDDEN = {
    "an htmx script attribute": re.compile(r"\bhx-on\b|\bhx-vars\b"),
    "a script as a value": re.compile(r"\b(?:js|javascript):", re.IGNORECASE),
    "a trigger filter": re.compile(r"hx-trigger\s*=\s*(\"[^\"]*\[|'[^']*\[)|[\"']hx-trigger[\"']\s*:\s*[\"'][^\"']*\["),
    "text taken for HTML": re.compile(r"\|\s*safe\b|\bMarkup\b|autoescape\s+false"),
    "an inline style": re.compile(r"\sstyle\s*=|<style\b|[\"']style[\"']\s*:", re.IGNORECASE),
    "an inline script": re.compile(r"<script\b(?![^>]*\ssrc=)|<script\b[^>]*>\s*[^<\s]", re.IGNORECASE),
    "an event handler": re.compile(r"\son[a-z]+\s*=\s*[\"'{]", re.IGNORECASE),
    "something from another site": re.compile(r"(?:src|href|action)\s*=\s*[\"']?(?:https?:)?//", re.IGNORECASE),
}
ATTRIBUTES = re.compile(r"\{% block (?:surface|html_attributes|icon|csrf) %\}.*?\{% endblock %\}", re.DOTALL)
JINJA = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
TAG = re.compile(r"<!?/?[a-zA-Z](?:[^>\"']|\"[^\"]*\"|'[^']*')*>", re.DOTALL)
SPOKEN = re.compile(r"\s(?:alt|aria-label|aria-description|placeholder|title)=\"([^\"]*)\"")
WORD = re.compile(r"[^\W\d_]{2,}")
UNTRANSLATED = {"Gatehouse", "Zendesk"}  # names are the same in every language
FORM = re.compile(r"<form\b[^>]*method=\"post\".*?</form>", re.DOTALL | re.IGNORECASE)
TOKEN = re.compile(r"csrf_field\(\)|hidden_tag\(|csrf_token")
IMPORT = re.compile(r"\{%-? from \"[^\"]+\" import ([^%]+?) -?%\}")
MACRO = re.compile(r"\{%-? macro (\w+)\(")


def faults(text: str) -> list[str]:
    """What a template's text breaks."""
    text = re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)
    found = [f"{name}: {match[0].strip()}" for name, rule in FORBIDDEN.items() for match in rule.finditer(text)]
    found += [f"words past gettext: {word}" for word in plain_words(text)]
    found += ["a form without a CSRF token" for form in FORM.findall(text) if not TOKEN.search(form)]
    return found


def plain_words(text: str) -> list[str]:
    bare = JINJA.sub("", ATTRIBUTES.sub("", text))
    spoken = " ".join(SPOKEN.findall(bare))
    return [word for word in WORD.findall(f"{TAG.sub(' ', bare)} {spoken}") if word not in UNTRANSLATED]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TEMPLATES).as_posix())
def test_no_template_breaks_a_rule(path):
    found = faults(path.read_text(encoding="utf-8"))
    if path.is_relative_to(
        TEMPLATES / "sandbox"
    ):  # a stand-in for other companies' servers, which know no session of ours
        found = [fault for fault in found if fault != "a form without a CSRF token"]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        '<a hx-on:click="x()">',
        "<a hx-vals='js:{a: 1}'>",
        '<a href="javascript:x()">',
        '<p hx-trigger="every 2s [visible]">',
        "<p hx-trigger='click[ctrlKey]'>",
        '{{ field(**{"hx-trigger": "input[x]"}) }}',
        "{{ note|safe }}",
        "{{ note | safe }}",
        "{% autoescape false %}",
        '<p style="color: red">',
        "<p style={{ x }}>",
        "<style>p { color: red }</style>",
        "<script>x()</script>",
        '<script src="/a.js">x()</script>',
        '<button onclick="x()">',
        '<img src="https://cdn.example/x.png">',
        "<script src='//cdn.example/x.js'></script>",
        "<p>Hello</p>",
        "<p>{{ name }} is here</p>",
        '<button aria-label="Close">',
        '<form method="post" action="/x"><button></button></form>',
    ],
)
def test_faults_sees_what_is_forbidden(text):
    assert faults(text)


@pytest.mark.parametrize(
    "text",
    [
        '<p hx-trigger="every 3s" class="gh-note">{{ _("Hello [you]") }}</p>',
        "{# a comment about |safe and style= #}",
        "<script src=\"{{ static_url('x.js') }}\" defer></script>",
        '<form method="post" action="{{ url }}">{{ form.hidden_tag() }}</form>',
        '<a href="mailto:{{ address }}" title="{{ _(\'Write\') }}">{{ address }}</a>',
        '<p data-on="x" hx-get="{{ url }}">{% if a > b %}{{ c }}{% endif %}</p>',
    ],
)
def test_faults_lets_the_rest_be(text):
    assert faults(text) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TEMPLATES).as_posix())
def test_every_macro_that_is_imported_is_called(path):
    text = path.read_text(encoding="utf-8")
    names = [name.split()[-1] for each in IMPORT.findall(text) for name in each.split(",")]

    assert [name for name in names if not re.search(rf"\b{name}\(", text)] == []


def test_every_macro_has_a_caller():
    texts = [path.read_text(encoding="utf-8") for path in TEMPLATES.rglob("*.html")]
    macros = {name for text in texts for name in MACRO.findall(text)}
    rest = MACRO.sub("", "".join(texts))

    assert macros
    assert {name for name in macros if not re.search(rf"\b{name}\(", rest)} == set()


def test_every_template_is_escaped():
    """Jinja escapes by the name's ending: HTML stands in files of that name, all else is text."""
    for path in TEMPLATES.rglob("*"):
        if path.is_file() and path.suffix not in (".html", ".xml"):
            assert "<html" not in path.read_text(encoding="utf-8").lower()


def test_scripts_of_ours_ask_for_nothing_the_policy_forbids():
    for path in (ROOT / "static").glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\beval\(|new Function|innerHTML|outerHTML|insertAdjacentHTML|document\.write", text), (
            path.name
        )
        assert 'setAttribute("style"' not in text, path.name
