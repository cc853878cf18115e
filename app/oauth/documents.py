"""Documents that a provider publishes (metadata, keys), fetched through egress and remembered for an hour."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any
from weakref import WeakKeyDictionary

from app import clock, egress
from app.egress import Egress, EgressError
from app.oauth.faults import Fault, OAuthError, of_egress, of_status, wait

MAX_AGE = 3600.0
MIN_AGE = 60.0  # a stranger's unknown key id makes us ask again at most this often
ROOM = 256

_shelves: WeakKeyDictionary[Egress, OrderedDict[str, tuple[float, dict[str, Any]]]] = WeakKeyDictionary()
_lock = threading.Lock()


def fetch(url: str, *, fresh: bool = False) -> dict[str, Any]:
    """Return a JSON object from memory or from its address; `fresh` wants one less than a minute old. Raises OAuthError."""
    now, client = time.monotonic(), egress.current()
    with _lock:
        known = _shelves.setdefault(client, OrderedDict()).get(url)
    if known and now - known[0] < (MIN_AGE if fresh else MAX_AGE):
        return known[1]
    document = _get(client, url)
    with _lock:
        shelf = _shelves[client]
        shelf[url] = (now, document)
        shelf.move_to_end(url)
        while len(shelf) > ROOM:
            shelf.popitem(last=False)
    return document


def _get(client: Egress, url: str) -> dict[str, Any]:
    try:
        answer = client.request("GET", url)
        document = answer.json() if answer.ok else None
    except EgressError as error:
        raise OAuthError(of_egress(error)) from None
    if not answer.ok:
        later = wait(answer.headers.get("Retry-After"), clock.now())
        raise OAuthError(of_status(answer.status), retry_after=later)
    if not isinstance(document, dict):
        raise OAuthError(Fault.GARBAGE)
    return document
