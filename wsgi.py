"""The application for a WSGI server, and where `flask` finds it."""

from app import create_app

app = create_app()
