"""The key that signs id_tokens (RS256), and what is signed (OpenID Connect Core 1.0, section 2)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

from app.sandbox.store import Store

ALGORITHM = "RS256"
_making = threading.Lock()


class Signer:
    """Signs with one key, made when it is first needed and kept in the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._key: RSAKey | None = None

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a signed JWT."""
        key = self.key()
        return jwt.encode({"alg": ALGORITHM, "kid": key.kid}, dict(claims), key)

    def jwks(self) -> dict[str, Any]:
        """Return the public keys (RFC 7517)."""
        return {"keys": [self.key().as_dict(private=False)]}

    def key(self) -> RSAKey:
        """Return the key; the first call of all makes it, which takes a moment."""
        with _making:
            if self._key is None:
                known = self.store.memory.signing_key
                parameters: Any = {"use": "sig", "alg": ALGORITHM}
                self._key = RSAKey.import_key(known) if known else RSAKey.generate_key(2048, parameters)
                self._key.ensure_kid()
                with self.store.lock:
                    self.store.memory.signing_key = dict(self._key.as_dict(private=True))
                    self.store.save()
            return self._key
