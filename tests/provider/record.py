"""Remembers the calls that clients make, and misbehaves when told to."""

import base64
import binascii
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote

from django.http import HttpRequest, HttpResponse

# By the end of their path.
ENDPOINTS = {
    "/o/authorize/": "authorize",
    "/o/token/": "token",
    "/o/revoke_token/": "revoke",
    "/o/introspect/": "introspect",
    "/o/userinfo/": "userinfo",
    "/api/me": "api",
    "/start": "start",
}


@dataclass
class Call:
    """One call, without any secret of it."""

    endpoint: str
    method: str
    path: str
    client_id: str
    grant_type: str
    client_auth: str
    parameters: list[str]
    status: int = 0


@dataclass
class Fault:
    """An answer to give instead, `left` times; `after` does the work first and spoils only the answer."""

    endpoint: str
    status: int = 500
    body: str = ""
    content_type: str = "text/plain"
    delay: float = 0
    after: bool = False
    left: int = -1


calls: list[Call] = []
faults: list[Fault] = []
lock = threading.Lock()


def everything() -> list[dict[str, Any]]:
    """Return the calls so far, in the order in which they were answered."""
    with lock:
        return [asdict(call) for call in calls]


def forget() -> None:
    """Forget calls and faults; a call that is still being answered belongs to what is forgotten."""
    global calls  # noqa: PLW0603 - calls under way keep the list that they began in
    with lock:
        calls = []
        faults.clear()


def record_and_misbehave(answer: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Wrap all that the provider answers (a Django middleware)."""

    def handle(incoming: HttpRequest) -> HttpResponse:
        endpoint = next((name for end, name in ENDPOINTS.items() if incoming.path.endswith(end)), None)
        if endpoint is None:
            return answer(incoming)
        call, mine = _call(endpoint, incoming), calls
        response = _spoilt(endpoint, lambda: answer(incoming))
        call.status = response.status_code
        with lock:
            mine.append(call)
        return response

    return handle


def _spoilt(endpoint: str, answer: Callable[[], HttpResponse]) -> HttpResponse:
    fault = _next(endpoint)
    if fault is None:
        return answer()
    if fault.after:
        answer()
    time.sleep(fault.delay)
    if not fault.status:
        return answer()
    return HttpResponse(fault.body, status=fault.status, content_type=fault.content_type)


def _next(endpoint: str) -> Fault | None:
    with lock:
        for fault in faults:
            if fault.endpoint == endpoint and fault.left:
                fault.left -= 1
                return fault
    return None


def _call(endpoint: str, incoming: HttpRequest) -> Call:
    given = incoming.POST if incoming.method == "POST" else incoming.GET
    scheme, _, credential = incoming.headers.get("Authorization", "").partition(" ")
    client_id, client_auth = given.get("client_id", ""), "post" if "client_secret" in given else "none"
    if scheme == "Basic":
        client_id, client_auth = _basic_user(credential), "basic"
    elif scheme:
        client_auth = scheme.lower()
    return Call(
        endpoint=endpoint,
        method=incoming.method or "",
        path=incoming.path,
        client_id=client_id,
        grant_type=given.get("grant_type", ""),
        client_auth=client_auth,
        parameters=sorted(given),
    )


def _basic_user(credential: str) -> str:
    try:
        return unquote(base64.b64decode(credential).decode().partition(":")[0])
    except (binascii.Error, UnicodeDecodeError):
        return ""
