"""Runs the provider: `python -m tests.provider --folder … --port … --other-port …`."""

import argparse
import os
from pathlib import Path

import django
import waitress
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

from tests.provider.settings import settings

HOST = "127.0.0.1"


def main() -> None:
    """Make the database, then serve both origins until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--other-port", type=int, required=True)
    parser.add_argument("--access-seconds", type=int, default=3600)
    asked = parser.parse_args()
    base = f"http://{HOST}:{asked.port}"
    django_settings.configure(
        **settings(folder=asked.folder, issuer=f"{base}/o", access_seconds=asked.access_seconds),
        AUTHORIZE_URL=f"{base}/o/authorize/",
        CONTROL_TOKEN=os.environ["PROVIDER_CONTROL_TOKEN"],
    )
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    waitress.serve(get_wsgi_application(), listen=f"{HOST}:{asked.port} {HOST}:{asked.other_port}", threads=16)


if __name__ == "__main__":
    main()
