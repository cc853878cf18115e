"""The application for a WSGI server, and where `flask` finds it."""

import os

from app import create_app
from app.config import ConfigError

app = create_app()

_by_gunicorn = os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn")
if _by_gunicorn and "GATEHOUSE_GUNICORN_HOOKS" not in os.environ and app.config["GATEHOUSE"].worker == "embedded":
    raise ConfigError(
        "gunicorn has not read gunicorn.conf.py, which runs the embedded worker: "
        "leave out -c, or set GATEHOUSE_WORKER=external and run flask worker."
    )
