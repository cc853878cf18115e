"""The application for a WSGI server, and where `flask` finds it."""

import gc
import os

gc.disable()  # what is imported stays: to look through it again and again takes a quarter of the start

from app import create_app  # noqa: E402
from app.config import ConfigError  # noqa: E402

app = create_app()
gc.freeze()
gc.enable()

_by_gunicorn = os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn")
if _by_gunicorn and "GATEHOUSE_GUNICORN_HOOKS" not in os.environ and app.config["GATEHOUSE"].worker == "embedded":
    raise ConfigError(
        "gunicorn has not read gunicorn.conf.py, which runs the embedded worker: "
        "leave out -c, or set GATEHOUSE_WORKER=external and run flask worker."
    )
