"""What a form that a browser sends must carry."""

from collections.abc import Mapping

from flask import Flask
from flask.testing import FlaskClient
from flask_wtf.csrf import generate_csrf

from tests import factories


def csrf_token(app: Flask, path: str, cookies: Mapping[str, str], *, url: str = factories.BASE_URL) -> str:
    """The CSRF token of a form at this address, for a browser with these cookies."""
    header = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    with app.app_context(), app.test_request_context(path, base_url=url, headers=header):
        return generate_csrf()


def cookies_of(browser: FlaskClient) -> dict[str, str]:
    """The cookies that a test client holds."""
    return {cookie.key: cookie.value for cookie in browser._cookies.values()}
