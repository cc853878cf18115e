"""Invented apps that the independent provider stands behind, as a folder for `GATEHOUSE_APPS_DIR`.

Northdesk is plain; Postwave asks for three scopes; Ledgerly is found by OpenID discovery and read from its id_token;
Shoply wants a subdomain first; Farport redirects across two origins; Keyhole has API keys alone.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.provider import Provider

TEMPLATES = Path(__file__).with_name("apps")


@dataclass(frozen=True)
class AppClient:
    """An invented app and its client at the provider; `scopes` maps each scope to its words."""

    key: str
    name: str
    client_id: str
    client_secret: str
    scopes: Mapping[str, str]


@dataclass(frozen=True)
class CatalogApps:
    """The folder, and the OAuth clients of the apps in it."""

    folder: Path
    clients: Mapping[str, AppClient]
    _provider: Provider

    @property
    def oauth_clients(self) -> dict[str, tuple[str, str | None]]:
        """The shared clients as `Config.oauth_clients` wants them."""
        return {key: (client.client_id, client.client_secret) for key, client in self.clients.items()}

    def environ(self) -> dict[str, str]:
        """Return the settings of an installation that uses these apps and may call the provider."""
        settings = {"GATEHOUSE_APPS_DIR": str(self.folder), "GATEHOUSE_EGRESS_ALLOW": "127.0.0.0/8"}
        for key, client in self.clients.items():
            prefix = f"GATEHOUSE_OAUTH_{key.upper().replace('-', '_')}_CLIENT"
            settings |= {f"{prefix}_ID": client.client_id, f"{prefix}_SECRET": client.client_secret}
        return settings

    def register(self, redirect_uri: Callable[[str], str]) -> None:
        """Tell the provider each client's redirect address, which the installation makes: `redirect_uri(app_key)`."""
        for key, client in self.clients.items():
            self._provider.register(
                client.client_id, client.client_secret, [redirect_uri(key)], scopes=client.scopes, name=client.name
            )


def catalog_apps(provider: Provider, folder: Path) -> CatalogApps:
    """Write the invented apps into `folder`, with the provider's true addresses."""
    clients = {}
    for template in sorted(TEMPLATES.glob("*.toml")):
        text = template.read_text()
        for stand_in, origin in (
            ("http://provider.test", provider.base_url),
            ("http://other.test", provider.other_url),
        ):
            text = text.replace(stand_in, origin)
        (folder / template.name).write_text(text)
        app = tomllib.loads(text)
        if "oauth2" in app:
            # The secret has characters that Basic authentication and forms must encode.
            secret = f"{app['key']}/s3cret:+&=%"
            clients[app["key"]] = AppClient(app["key"], app["name"], f"{app['key']}-client", secret, app["scopes"])
    return CatalogApps(folder, clients, provider)


@pytest.fixture
def apps(provider: Provider, tmp_path: Path) -> CatalogApps:
    """A folder of invented apps behind the provider; their redirect addresses are still to be registered."""
    folder = tmp_path / "apps"
    folder.mkdir()
    return catalog_apps(provider, folder)
