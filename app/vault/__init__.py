"""The only way in or out of what is secret: seal, open, rewrap. A secret is shredded with the row that holds it."""

from app.vault.envelope import Place, VaultError, key_id_of, open_, rewrap, seal
from app.vault.keys import Keyring, KeysUnusable, load_keyring, load_secret_key
from app.vault.masked import Masked
from app.vault.store import Keys, Sealed

__all__ = [
    "Keyring",
    "Keys",
    "KeysUnusable",
    "Masked",
    "Place",
    "Sealed",
    "VaultError",
    "key_id_of",
    "load_keyring",
    "load_secret_key",
    "open_",
    "rewrap",
    "seal",
]
