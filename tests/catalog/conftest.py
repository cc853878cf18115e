"""A sound app's file to break, and the catalog as it ships."""

import pytest

from app.catalog import App, Catalog, load
from app.catalog.loader import parse

SOUND = """\
key = "deskly"
name = "Deskly"
category = "Support"
website = "https://deskly.example"
revoke_help = "https://deskly.example/help"

[[fields]]
name = "subdomain"
label = "Deskly subdomain"
example = "acme"
pattern = "[a-z0-9-]+"
suffix = ".deskly.example"

[oauth2]
authorize_url = "https://{subdomain}.deskly.example/authorize"
token_url = "https://{subdomain}.deskly.example/token"
default_scopes = ["read"]
steps = [
    "Open = the console [of Deskly].",
    "Copy the id.",
]

[oauth2.identity]
url = "https://{subdomain}.deskly.example/me"
id = "user.id"
label = ["user.email", "user.name"]

[api]
base_url = "https://{subdomain}.deskly.example"

[scopes]
"read" = "See your tickets"
"tickets:write" = "Create and change tickets"

[[actions]]
key = "find_ticket"
name = "Find ticket"
scopes = ["read"]

[[actions]]
key = "create_ticket"
name = "Create ticket"
scopes = ["tickets:write", "read"]
"""


@pytest.fixture(scope="session")
def shipped() -> Catalog:
    return load()


@pytest.fixture
def deskly() -> App:
    app, faults = parse(SOUND, "deskly.toml")
    assert not faults
    assert app
    return app
