"""What a running application holds besides its database: settings, catalog, keys, the way out."""

from dataclasses import dataclass, field

from flask import current_app

from app.catalog import Catalog
from app.config import Config
from app.egress import Egress
from app.vault import Keyring


@dataclass(frozen=True)
class Runtime:
    """One per application; services reach it through `current()`."""

    config: Config
    catalog: Catalog
    keyring: Keyring
    egress: Egress
    secret_key: bytes = field(repr=False)


def current() -> Runtime:
    """The runtime of the application at hand."""
    runtime: Runtime = current_app.extensions["gatehouse"]
    return runtime
