"""Where the sandbox can be had, and what guards its pages."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.catalog import Catalog
from app.sandbox import SandboxRefused, create_sandbox, provider_of
from tests.sandbox.flow import PANEL

BASE = "http://127.0.0.1:8001"
APP = Path(__file__).resolve().parents[2] / "app"


@pytest.fixture
def client(sandbox: Flask) -> FlaskClient:
    return sandbox.test_client()


@pytest.mark.parametrize("demo", [False, None, 1, "yes"])
def test_create_sandbox_wants_to_be_told_that_this_is_a_demo(catalog: Catalog, demo: bool) -> None:
    with pytest.raises(SandboxRefused):
        create_sandbox(catalog, base_url=BASE, panel_url=PANEL, demo=demo)


def test_create_sandbox_is_off_when_nothing_is_said(catalog: Catalog) -> None:
    with pytest.raises(SandboxRefused):
        create_sandbox(catalog, base_url=BASE, panel_url=PANEL)


@pytest.mark.parametrize(
    "url",
    [
        "https://access.example",
        "http://192.168.1.5:8001",
        "http://0.0.0.0:8001",
        "http://127.0.0.1.evil.example",
        "http://localhost.example",
        "http://user@evil.example",
        "ftp://127.0.0.1",
        "127.0.0.1:8001",
        "",
    ],
)
def test_create_sandbox_stays_on_this_machine(catalog: Catalog, url: str) -> None:
    with pytest.raises(SandboxRefused):
        create_sandbox(catalog, base_url=url, panel_url=PANEL, demo=True)
    with pytest.raises(SandboxRefused):
        create_sandbox(catalog, base_url=BASE, panel_url=url, demo=True)


@pytest.mark.parametrize("url", ["http://localhost:8001", "http://[::1]:8001", "https://127.0.0.1:8443/"])
def test_create_sandbox_takes_any_loopback(catalog: Catalog, url: str) -> None:
    made = create_sandbox(catalog, base_url=url, panel_url=PANEL, demo=True)

    assert provider_of(made).base_url == url.rstrip("/")


def test_nothing_of_the_product_but_the_command_line_imports_the_sandbox() -> None:
    importing = {
        path.relative_to(APP).parts[0]
        for path in APP.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("app.sandbox"))
        or (isinstance(node, ast.Import) and any(name.name.startswith("app.sandbox") for name in node.names))
    }

    assert importing <= {"sandbox", "cli"}


def test_another_host_is_refused(client: FlaskClient) -> None:
    assert client.get("/", base_url="http://evil.example").status_code == 400


def test_every_page_has_the_headers_and_nothing_inline(client: FlaskClient, sandbox: Flask) -> None:
    base = provider_of(sandbox).base_url
    for path in ("/", "/slack/authorize", "/nothing", "/slack/ask/none/consent", "/_/none"):
        answer = client.get(path, base_url=base)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        for inline in ("style=", "<style", "onclick", "hx-on", "<script>"):
            assert inline not in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/stripe/authorize"),
        ("GET", "/nothing/authorize"),
        ("POST", "/stripe/token"),
        ("POST", "/slack/refresh"),
        ("GET", "/slack/exchange"),
        ("GET", "/slack/identity"),
        ("GET", "/slack/jwks"),
        ("POST", "/clickup/revoke"),
        ("GET", "/slack/.well-known/openid-configuration"),
        ("GET", "/slack/key"),
    ],
)
def test_there_is_nothing_where_the_app_has_nothing(
    client: FlaskClient, sandbox: Flask, method: str, path: str
) -> None:
    assert client.open(path, method=method, base_url=provider_of(sandbox).base_url).status_code == 404


def test_style_sheet_is_served(client: FlaskClient, sandbox: Flask) -> None:
    base = provider_of(sandbox).base_url
    page = client.get("/", base_url=base).text
    href = page.split('rel="stylesheet" href="')[1].split('"')[0]

    with client.get(href, base_url=base) as answer:
        assert answer.status_code == 200
        assert ".gh-done" in answer.text
