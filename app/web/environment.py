"""Jinja's environment: a template is made once for each language, with the texts of that language in its code.

What a template says by `_("Sent to %(name)s", name=name)` stands there like the HTML around it: the text is trusted, what
it takes is escaped. A text that is not known until the page is made is looked up then.
"""

import re
from collections.abc import Mapping
from typing import Any

import jinja2
from flask import has_app_context, templating
from flask.sansio.app import App
from jinja2 import nodes, pass_eval_context
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from app.i18n import select_locale, texts, texts_of

PLACE = re.compile(r"%\((\w+)\)s|%(.?)", re.DOTALL)
READ_TWICE = (nodes.Name, nodes.Getattr, nodes.Const)


class Template(jinja2.Template):
    """A template that others import for its macros alone, so that one module of it does for all."""

    def _get_default_module(self, ctx: Context | None = None) -> Any:  # noqa: ARG002 - Jinja's signature
        return super()._get_default_module()


class Environment(templating.Environment):
    """Flask's own, once for each language; the one that an application holds gives templates of the language at hand."""

    template_class = Template

    def __init__(self, app: App, **options: Any) -> None:
        super().__init__(app, **options)
        self.language: str | None = None
        self._others: dict[str, Environment] = {}
        self.made: dict[str, jinja2.Template] = {}

    def get_template(self, name: Any, parent: str | None = None, globals: Any = None) -> jinja2.Template:  # noqa: A002 - Jinja's signature
        """A template by its name, which includes and imports others in its own language."""
        if self.language is None and has_app_context():
            return self._in(select_locale()).get_template(name, parent, globals)
        made = None if globals else self.made.get(name)
        if made is None or (self.auto_reload and not made.is_up_to_date):
            made = super().get_template(name, parent, globals)
            if not globals:
                self.made[name] = made
        return made

    def _in(self, language: str) -> "Environment":
        found = self._others.get(language)
        if found is None:
            found = self.overlay()
            found.language, found.made = language, {}
            self._others[language] = found
        return found

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed = super()._parse(source, name, filename)
        if self.language is not None:
            Writing(texts_of(self.language)).visit(parsed)
        return parsed


class Writing(NodeTransformer):
    """Puts the texts of a language in the place of the calls that look them up."""

    def __init__(self, translations: Any) -> None:
        self._translations = translations

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802 - Jinja's name
        """Write a text, and what it takes between its parts."""
        node.nodes = [part for each in node.nodes for part in self._parts(each) or [each]]
        return self.generic_visit(node)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 - Jinja's name
        """Write a text that takes nothing, wherever it stands."""
        parts = self._parts(node)
        return parts[0] if parts and not node.kwargs else self.generic_visit(node)

    def _parts(self, node: nodes.Node) -> list[nodes.Expr] | None:
        said = _said(node)
        return said and _divided(self._translations.gettext(said[0]), said[1])


def _said(node: nodes.Node) -> tuple[str, Mapping[str, nodes.Expr]] | None:
    """The text that the template itself says, and what it takes."""
    if not isinstance(node, nodes.Call) or not isinstance(node.node, nodes.Name) or node.node.name != "_":
        return None
    if len(node.args) != 1 or not isinstance(node.args[0], nodes.Const) or node.dyn_args or node.dyn_kwargs:
        return None
    return node.args[0].value, {each.key: each.value for each in node.kwargs}


def _divided(text: str, given: Mapping[str, nodes.Expr]) -> list[nodes.Expr] | None:
    """A text as its parts; None if that must be left to the % of Python."""
    parts: list[nodes.Expr] = []
    at, literal, seen = 0, "", set()
    for place in PLACE.finditer(text):
        literal += text[at : place.start()]
        at = place.end()
        if place[2] == "%":
            literal += "%"
            continue
        value = given.get(place[1])
        if value is None or (place[1] in seen and not isinstance(value, READ_TWICE)):
            return None
        parts += [nodes.TemplateData(literal), value]
        literal = ""
        seen.add(place[1])
    return [*parts, nodes.TemplateData(literal + text[at:])]


@pass_eval_context
def gettext_in(page: EvalContext, text: str, /, **given: object) -> str:
    """Look a text up as the page is made; on a page of HTML what it takes is escaped."""
    said = texts().gettext(text)
    return (Markup(said) if page.autoescape else said) % given  # noqa: S704 - a text is trusted


@pass_eval_context
def ngettext_in(page: EvalContext, one: str, many: str, num: int, /, **given: object) -> str:
    """The same of a text that counts, which takes the number as `num`."""
    said = texts().ngettext(one, many, num)
    return (Markup(said) if page.autoescape else said) % {"num": num, **given}  # noqa: S704 - a text is trusted
