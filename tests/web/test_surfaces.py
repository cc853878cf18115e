"""Every blueprint there is answers: none is found by chance, none is forgotten."""

import pkgutil
from importlib import import_module

from flask import Blueprint

from app import web
from tests.support.shared_app import *  # noqa: F403

ONLY_IN_THE_DEMO = {"demo"}


def blueprints():
    for module in pkgutil.walk_packages(web.__path__, f"{web.__name__}."):
        yield from (value for value in vars(import_module(module.name)).values() if isinstance(value, Blueprint))


def test_every_blueprint_is_registered_once(app):
    assert set(web.BLUEPRINTS) == {each for each in blueprints() if each.name not in ONLY_IN_THE_DEMO}
    assert list(app.blueprints.values()) == list(web.BLUEPRINTS)
