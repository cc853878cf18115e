"""What was done, said once: in the page being made, in a fragment's headers, or on the page after a redirect."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, request
from itsdangerous import BadData, URLSafeTimedSerializer

from app import clock
from app.i18n import language
from app.web.htmx import is_htmx, is_poll, trigger
from app.web.sessions import delete_cookie, derived_key, get_cookie, set_cookie, surface_of

COOKIE = "gh_toast"
SECONDS = 60
LATELY = timedelta(seconds=SECONDS + 120)  # as hosts' clocks differ, either way
LONGEST = 400
MOST = 3
ROOM = 3500  # browsers drop a cookie above 4096 bytes


@dataclass(frozen=True)
class Toast:
    """A message; `kind` is done, error, queued or note, which is neither good nor bad."""

    title: str
    text: str = ""
    kind: str = "done"
    link_url: str = ""
    link_label: str = ""


def toast(title: str, text: str = "", *, kind: str = "done", link: tuple[str, str] | None = None) -> None:
    """Say it with whatever answers this request; `link` is (address, label)."""
    url, label = link or ("", "")
    _fresh().append(Toast(str(title)[:LONGEST], str(text)[:LONGEST], kind, url, str(label)[:LONGEST]))


def take_toasts() -> list[Toast]:
    """What is to be shown in the page being made: said in this request, or carried over a redirect."""
    taken = _carried() + _fresh()
    g.carried_toasts, g.fresh_toasts = [], []
    return taken


def _fresh() -> list[Toast]:
    waiting: list[Toast] = g.setdefault("fresh_toasts", [])
    return waiting


def _carried() -> list[Toast]:
    if "carried_toasts" not in g:
        g.carried_toasts = [] if is_poll() else _read()
    carried: list[Toast] = g.carried_toasts
    return carried


def _serializer(path: str) -> URLSafeTimedSerializer:
    """For what is said at the surface that an address belongs to, and at no other."""
    return URLSafeTimedSerializer(derived_key(current_app, "toast"), salt=surface_of(path).value)


def _read() -> list[Toast]:
    value = get_cookie(COOKIE)
    if not value:
        return []
    try:
        said, at = _serializer(request.path).loads(value, return_timestamp=True)
        return [Toast(*fields) for fields in said] if abs(clock.now() - at) <= LATELY else []
    except (BadData, TypeError):
        return []


def _send(response: Response) -> Response:
    """Deliver what no page has shown; afterwards the cookie is gone unless something waits in it."""
    if request.path.startswith("/l/"):  # answers there are all alike
        return response
    if 300 <= response.status_code < 400 or "HX-Redirect" in response.headers:
        return _carry(response)
    if is_htmx() and (waiting := take_toasts()):
        trigger(response, "toast", {"items": [asdict(each) for each in waiting]})
    if "carried_toasts" in g and not is_poll() and get_cookie(COOKIE):
        delete_cookie(response, COOKIE)
    return response


def _carry(response: Response) -> Response:
    if _fresh():
        value = _sealed(take_toasts()[-MOST:], _leads_to(response))
        set_cookie(response, COOKIE, value, max_age=SECONDS)
    return response


def _leads_to(response: Response) -> str:
    """The path of the page that comes next: a callback's is of another surface than its own."""
    url = urlsplit(response.headers.get("HX-Redirect") or response.location or "")
    return url.path if url.path and url.netloc in ("", request.host) else request.path


def _sealed(waiting: list[Toast], path: str) -> str:
    value = str(_serializer(path).dumps([list(asdict(each).values()) for each in waiting]))
    return value if len(value) <= ROOM else _sealed(waiting[1:], path)


def toast_region() -> str:
    """What a page has toasts shown in, with nothing in it: the same on every page of a language, so made once."""
    made: dict[str, str] = current_app.extensions.setdefault("gatehouse_toast_regions", {})
    if language() not in made:
        made[language()] = current_app.jinja_env.get_template("components/toast.html").module.toasts([])  # type: ignore[attr-defined]
    return made[language()]


def register_toasts(app: Flask) -> None:
    """Have toasts delivered with every answer, `take_toasts()` and `toast_region()` in templates."""
    app.after_request(_send)
    app.add_template_global(toast_region)
    app.add_template_global(take_toasts)
