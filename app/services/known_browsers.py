"""Browsers in which somebody signed in to the portal before: each keeps a mark that nobody else can make.

A mark carries no access. It gives its browser an allowance of codes of its own for that one address, so that the client is let in
when strangers have used up what may be mailed to her. A mark, and not the network that she came from: a network is shared, and
who shares it would learn by the limit who signs in there. It names nobody, and a stolen one is worth a few mails a day.
"""

import hmac
import secrets
from datetime import timedelta

from app import runtime

KEPT = timedelta(days=180)
NONCE_BYTES = 16


def mark_of(email: str) -> str:
    """A mark for the browser in which somebody signed in as an address, unlike any other browser's."""
    nonce = secrets.token_urlsafe(NONCE_BYTES)
    return f"{nonce}.{_proof(nonce, email)}"


def name_of(mark: str | None, email: str) -> str | None:
    """What tells a browser from all others that has a mark for this address; none if it has not."""
    nonce, _dot, proof = (mark or "").partition(".")
    is_true = hmac.compare_digest(_proof(nonce, email).encode(), proof.encode("utf-8", "surrogatepass"))
    return nonce if is_true else None


def _proof(nonce: str, email: str) -> str:
    told = f"portal browser {nonce} {email}".encode("utf-8", "surrogatepass")
    return hmac.new(runtime.current().secret_key, told, "sha256").hexdigest()
