"""The application for a WSGI server, and where `flask` finds it."""

import os

from app import create_app
from app.worker import start_embedded

app = create_app()

if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn") and app.config["GATEHOUSE"].worker == "embedded":
    start_embedded(app)
