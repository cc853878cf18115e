"""What data cannot say about an app: one small named function each, referred to by name from its file.

A callback check takes the callback's query (each parameter once) and the client's secret, and says whether the
provider made it. An identity takes the whole token answer and returns the stable id and the label of the account.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

CallbackCheck = Callable[[Mapping[str, str], str], bool]
IdentityReader = Callable[[Mapping[str, Any]], tuple[str, str]]


def shopify_hmac(query: Mapping[str, str], client_secret: str) -> bool:
    """Whether Shopify signed the callback: HMAC-SHA256 over the other parameters, sorted."""
    message = urlencode(sorted((name, value) for name, value in query.items() if name != "hmac"))
    expected = hmac.new(client_secret.encode(), message.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), query.get("hmac", "").encode())


def etsy_user(answer: Mapping[str, Any]) -> tuple[str, str]:
    """Read the user's number, which Etsy puts before the dot of its tokens; empty if it is not there."""
    number, dot, _ = str(answer.get("access_token", "")).partition(".")
    return (number, f"Etsy user {number}") if dot and number.isascii() and number.isdigit() else ("", "")


CALLBACK_CHECKS: Mapping[str, CallbackCheck] = {"shopify_hmac": shopify_hmac}
IDENTITIES: Mapping[str, IdentityReader] = {"etsy_user": etsy_user}
