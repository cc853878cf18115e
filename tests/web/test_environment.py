"""Texts in templates: each language its own, trusted themselves, and escaping whatever they take."""

from pathlib import Path

import pytest
from babel.messages import Catalog
from babel.messages.mofile import write_mo
from flask import Flask, g, render_template
from jinja2 import DictLoader, UndefinedError

from app.extensions import babel
from app.web.environment import Environment
from app.web.templating import register_templating

BAD = "<b>&'\""
ESCAPED = "&lt;b&gt;&amp;&#39;&#34;"
GERMAN = {
    "Hello %(name)s": "Guten Tag, %(name)s",
    "Close": "Schließen",
    "In <em>short</em>": "<em>Kurz</em>",
    "%(one)s before %(other)s": "%(other)s nach %(one)s",
    ("%(num)s app", "%(num)s apps"): ("%(num)s App", "%(num)s Apps"),
}
TEMPLATES = {
    "hello.html": "<p>{{ _('Hello %(name)s', name=name) }}</p>",
    "hello.txt": "{{ _('Hello %(name)s', name=name) }} {{ _('In <em>short</em>') }}",
    "twice.html": "{{ _('%(name)s and %(name)s', name=name) }}",
    "counted.html": "{{ _('%(name)s and %(name)s', name=next()) }}",
    "percent.html": "{{ _('100%% of %(name)s', name=name) }} {{ _('50%%') }}",
    "padded.html": "{{ _('%(name)5s|%(number)03d', name=name, number=7) }}",
    "moved.html": "{{ _('%(one)s before %(other)s', one=1, other=name) }}",
    "argument.html": "{% macro said(text) %}<i>{{ text }}</i>{% endmacro %}{{ said(_('Close')) }}{{ said(_('In <em>short</em>')) }}",
    "chosen.html": "{{ name or _('Close') }}{{ _('Hello %(name)s', name=name) if name else _('In <em>short</em>') }}",
    "held.html": "{% set text = _('Hello %(name)s', name=name) %}<p title=\"{{ text }}\">{{ text }}</p>",
    "later.html": "{{ _(text, name=name) }}",
    "apps.html": "{{ ngettext('%(num)s app', '%(num)s apps', count) }}",
    "lacking.html": "{{ _('Hello %(name)s') }}",
    "whole.html": "{% extends 'outer.html' %}{% from 'macros.html' import closing %}{% block body %}{{ closing() }}{% include 'hello.html' %}{% endblock %}",
    "outer.html": "{{ _('Close') }} {% block body %}{% endblock %}",
    "macros.html": "{% macro closing() %}[{{ _('Close') }}]{% endmacro %}",
}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("translations")
    german = Catalog(locale="de")
    for text, said in GERMAN.items():
        german.add(text, said)
    (folder / "de/LC_MESSAGES").mkdir(parents=True)
    with (folder / "de/LC_MESSAGES/messages.mo").open("wb") as file:
        write_mo(file, german)
    app = Flask("texts")
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(folder)
    app.jinja_environment = Environment
    babel.init_app(app)
    register_templating(app)
    app.jinja_loader = DictLoader(TEMPLATES)
    return app


def drawn(app, template, /, *, language="en", **context):
    with app.test_request_context("/"):
        g.locale = language
        return render_template(template, **context)


@pytest.mark.parametrize(
    ("template", "html"),
    [
        ("hello.html", f"<p>Hello {ESCAPED}</p>"),
        ("hello.txt", f"Hello {BAD} In <em>short</em>"),
        ("twice.html", f"{ESCAPED} and {ESCAPED}"),
        ("percent.html", f"100% of {ESCAPED} 50%"),
        ("padded.html", f"{ESCAPED}|007"),
        ("moved.html", f"1 before {ESCAPED}"),
        ("argument.html", "<i>Close</i><i>In <em>short</em></i>"),
        ("chosen.html", f"{ESCAPED}Hello {ESCAPED}"),
        ("held.html", f'<p title="Hello {ESCAPED}">Hello {ESCAPED}</p>'),
    ],
)
def test_a_text_is_trusted_and_what_it_takes_is_escaped(app, template, html):
    assert drawn(app, template, name=BAD) == html


@pytest.mark.parametrize(
    ("template", "german"),
    [
        ("hello.html", "<p>Guten Tag, Dana</p>"),
        ("moved.html", "Dana nach 1"),
        ("argument.html", "<i>Schließen</i><i><em>Kurz</em></i>"),
        ("whole.html", "Schließen [Schließen]<p>Guten Tag, Dana</p>"),
        ("twice.html", "Dana and Dana"),
    ],
)
def test_each_language_has_its_own(app, template, german):
    english = drawn(app, template, name="Dana")

    assert drawn(app, template, name="Dana", language="de") == german
    assert drawn(app, template, name="Dana") == english
    assert (english == german) == (template == "twice.html")


def test_a_language_is_found_after_another_one_was_used_in_the_same_request(app):
    with app.test_request_context("/"):
        assert render_template("argument.html") == "<i>Close</i><i>In <em>short</em></i>"
        g.locale = "de"
        assert render_template("argument.html") == "<i>Schließen</i><i><em>Kurz</em></i>"


def test_a_text_that_is_not_known_before_is_looked_up_then(app):
    assert drawn(app, "later.html", text="Hello %(name)s", name=BAD, language="de") == f"Guten Tag, {ESCAPED}"
    assert drawn(app, "later.html", text="Hello %(name)s", name=BAD) == f"Hello {ESCAPED}"


def test_texts_count(app):
    assert drawn(app, "apps.html", count=1) == "1 app"
    assert drawn(app, "apps.html", count=2) == "2 apps"
    assert drawn(app, "apps.html", count=2, language="de") == "2 Apps"


def test_what_a_text_takes_is_worked_out_once(app):
    calls = iter(["first", "second"])

    assert drawn(app, "counted.html", next=lambda: next(calls)) == "first and first"


def test_a_text_that_lacks_what_it_takes_is_a_mistake(app):
    with pytest.raises(KeyError):
        drawn(app, "lacking.html", name="Dana")


def test_what_is_not_there_is_nothing(app):
    assert drawn(app, "hello.html") == "<p>Hello </p>"
    with pytest.raises(UndefinedError):
        drawn(app, "counted.html")


def test_a_template_that_changes_is_made_anew_where_that_is_asked_for(app):
    app.jinja_loader.mapping["changing.html"] = "{{ _('Close') }}"
    assert drawn(app, "changing.html") == "Close"
    app.jinja_loader.mapping["changing.html"] = "{{ _('Close') }}!"
    assert drawn(app, "changing.html") == "Close"

    app.jinja_env.auto_reload = True
    try:
        assert drawn(app, "changing.html", language="fr") == "Close!"
        app.jinja_loader.mapping["changing.html"] = "{{ _('Close') }}?"
        assert drawn(app, "changing.html", language="fr") == "Close?"
    finally:
        app.jinja_env.auto_reload = False
