"""What a running application holds besides its database: settings, catalog, keys, the way out."""

from dataclasses import dataclass

from flask import current_app

from app.catalog import Catalog
from app.config import Config
from app.egress import Egress
from app.vault import Keyring, Keys


@dataclass(frozen=True)
class Runtime:
    """One per application; services reach it through `current()`."""

    config: Config
    catalog: Catalog
    keys: Keys
    egress: Egress

    @property
    def keyring(self) -> Keyring:
        """The keys that seal and open; raises Sealed while one is missing."""
        return self.keys.keyring

    @property
    def secret_key(self) -> bytes:
        """The key that signs links, cookies and tokens; raises Sealed while it is missing."""
        return self.keys.secret_key


def current() -> Runtime:
    """The runtime of the application at hand."""
    runtime: Runtime = current_app.extensions["gatehouse"]
    return runtime
