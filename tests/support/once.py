"""What every application makes anew though it is the same in all: made once by a process of tests, which has hundreds of them.

Each is a function of nothing but what it is given, so that no application sees anything of another; together they took a
third of the time of a small test.
"""

import functools
from typing import Any

import httpx2
from werkzeug.routing import Rule

from app.catalog import loader
from app.web import static
from app.web.environment import Environment

KEPT: dict[Any, Any] = {}
parse, compile_template, compile_builder = loader.parse, Environment.compile, Rule._compile_builder


def pytest_configure() -> None:
    """Put those that remember in the place of those that do not."""
    httpx2.create_ssl_context = functools.cache(httpx2.create_ssl_context)  # the system's authorities
    static.used_only = functools.cache(static.used_only)  # the rules of Bootstrap that client pages need
    loader.parse = _parse  # an app of the catalog
    Environment.compile = _compile_template  # code of a template in a language
    Rule._compile_builder = _compile_builder  # code that writes an address


def _parse(text: str, name: str, *, loopback_http: bool = False) -> Any:
    key = (text, name, loopback_http)
    if key not in KEPT:
        KEPT[key] = parse(*key[:2], loopback_http=loopback_http)
    app, faults = KEPT[key]
    return app, list(faults)


def _compile_template(self: Environment, source: Any, name: str | None = None, filename: str | None = None) -> Any:
    key = (self.language, source, name, filename)
    if key not in KEPT:
        KEPT[key] = compile_template(self, source, name, filename)
    return KEPT[key]


def _compile_builder(self: Rule, append_unknown: bool = True) -> Any:
    key = (str(self._trace), str(self.defaults), self.rule, append_unknown)
    if key not in KEPT:
        KEPT[key] = compile_builder(self, append_unknown)
    return KEPT[key]
