"""Static files under an address that changes with their content, compressed when the first of them is asked for.

What is served is `static/` as it was at the start: an edit shows after a restart, and never half.
"""

import hashlib
import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from wsgiref.headers import Headers

from flask import Flask, current_app
from whitenoise import WhiteNoise

from app.web.packed import packed
from app.web.stylesheet import minified, used_only, words_in

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROOT = Path(__file__).resolve().parent.parent.parent / "static"
VENDOR = ("bootstrap.min.css", "bootstrap.min.js", "htmx.min.js", "popper.min.js")

# What pages load as it is.
SINGLE = ("theme.js", "preview.js", "icon.svg")
# What a page loads in one request, put together from the files that it is kept in.
STYLES = ("vendor/bootstrap.min.css", "theme.css")
CLIENT = (
    *("vendor/htmx.min.js", "busy.js", "press.js", "poll.js", "errors.js"),
    *("counter.js", "relative-time.js", "toasts.js", "focus.js"),
)
PANEL = (
    *("vendor/popper.min.js", "vendor/bootstrap.min.js", "vendor/htmx.min.js"),
    *("busy.js", "press.js", "poll.js", "errors.js", "counter.js", "relative-time.js", "toasts.js"),
    *("dialog.js", "focus.js", "combobox.js", "cooldown.js", "secret.js", "copy.js"),
)
BUNDLES = {"style.css": STYLES, "client.js": CLIENT, "panel.js": PANEL}
SOURCES = (("templates", "*.html"), ("app/web", "*.py"))  # where the classes of client pages stand


class StaticFilesMissing(RuntimeError):
    """The browser files were not installed; `str()` says how to get them."""


def read_tree(root: Path) -> dict[str, bytes]:
    """What pages load, by name; raises StaticFilesMissing."""
    missing = [name for name in VENDOR if not (root / "vendor" / name).is_file()]
    if missing:
        raise StaticFilesMissing(
            f"The browser files are missing from {root / 'vendor'} ({', '.join(missing)}): run pip install -e . again."
        )
    parts = {*SINGLE, *(part for parts in BUNDLES.values() for part in parts)}
    files = {name: (root / name).read_bytes() for name in sorted(parts)}
    bundles = {name: bundled(files, parts) for name, parts in BUNDLES.items()}
    return {name: files[name] for name in SINGLE} | bundles | {"client.css": client_stylesheet(files)}


def bundled(files: dict[str, bytes], parts: tuple[str, ...]) -> bytes:
    """Files one after the other, without the source maps that they name and we do not serve."""
    separator = b"\n;" if parts[0].endswith(".js") else b"\n"
    lines = separator.join(files[part] for part in parts).splitlines(keepends=True)
    return b"".join(line for line in lines if b"# sourceMappingURL=" not in line[:40])


@cache
def _words() -> frozenset[str]:
    return words_in(path for folder, pattern in SOURCES for path in (ROOT.parent / folder).rglob(pattern))


def client_stylesheet(files: dict[str, bytes]) -> bytes:
    """Bootstrap as far as it is used, and our theme: less than half of style.css."""
    bootstrap, theme = (files[name].decode() for name in STYLES)
    return (used_only(bootstrap, _words()) + minified(theme)).encode()


def digest_of(tree: dict[str, bytes]) -> str:
    """A name for exactly this content."""
    digest = hashlib.sha256()
    for name, content in sorted(tree.items()):
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _headers(headers: Headers, _path: str, _url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"


def static_url(name: str) -> str:
    """The address of a static file; raises KeyError for one that is not there."""
    prefix, names = current_app.extensions["gatehouse_static"]
    if name not in names:
        raise KeyError(name)
    return f"{prefix}{name}"


class StaticFiles:
    """Answers what is below a prefix with files of a tree, which is compressed at the first such request."""

    def __init__(
        self, application: "WSGIApplication", tree: dict[str, bytes], prefix: str, folder: Path | None
    ) -> None:
        self.application = application
        self._tree, self._prefix, self._folder = tree, prefix, folder
        self._files: WhiteNoise | None = None
        self._making = threading.Lock()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        asked = str(environ.get("PATH_INFO", "")).startswith(self._prefix)
        answering = (self._files or self._made()) if asked else self.application
        return answering(environ, start_response)

    def _made(self) -> WhiteNoise:
        with self._making:
            if self._files is None:
                self._files = WhiteNoise(
                    self.application,
                    root=str(packed(self._tree, self._folder)),
                    prefix=self._prefix,
                    allow_all_origins=False,
                    immutable_file_test=lambda _path, _url: True,
                    add_headers_function=_headers,
                )
                self._tree = {}
            return self._files


def register_static(app: Flask, root: Path = ROOT, *, kept: Path | None = None) -> None:
    """Serve the static files and put `static_url()` into templates; raises StaticFilesMissing.

    `kept` is where their compressed forms stay from one start to the next.
    """
    tree = read_tree(root)
    digest = digest_of(tree)
    prefix = f"/static/{digest}/"
    app.wsgi_app = StaticFiles(app.wsgi_app, tree, prefix, kept and kept / digest)  # type: ignore[method-assign]
    app.extensions["gatehouse_static"] = (prefix, frozenset(tree))
    app.add_template_global(static_url)
