"""The commands of `flask`, one file a group."""

import importlib
import pkgutil

import click
from flask import Flask


def register_cli(app: Flask) -> None:
    """Register every command group of this package: each module gives a click command named `command`."""
    for module in pkgutil.iter_modules(__path__):
        command = getattr(importlib.import_module(f"{__name__}.{module.name}"), "command", None)
        if isinstance(command, click.Command):
            app.cli.add_command(command)
