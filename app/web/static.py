"""Static files under an address that changes with their content, compressed once at the start.

What is served is a copy made of `static/` as it was then: an edit shows after a restart, and never half.
"""

import atexit
import gzip
import hashlib
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from wsgiref.headers import Headers

import brotli  # type: ignore[import-untyped]
from flask import Flask, current_app
from whitenoise import WhiteNoise

from app.web.stylesheet import minified, used_only, words_in

ROOT = Path(__file__).resolve().parent.parent.parent / "static"
VENDOR = ("bootstrap.min.css", "bootstrap.min.js", "htmx.min.js", "popper.min.js")
TYPES = {".css", ".js", ".svg", ".png", ".ico"}

# What a page loads in one request, put together from the files that it is kept in.
STYLES = ("vendor/bootstrap.min.css", "theme.css")
CLIENT = ("vendor/htmx.min.js", "busy.js", "poll.js", "errors.js", "counter.js", "relative-time.js", "toasts.js")
PANEL = (
    *("vendor/popper.min.js", "vendor/bootstrap.min.js", "vendor/htmx.min.js"),
    *("busy.js", "poll.js", "errors.js", "counter.js", "relative-time.js", "toasts.js"),
    *("dialog.js", "focus.js", "combobox.js", "cooldown.js", "secret.js", "copy.js"),
)
BUNDLES = {"style.css": STYLES, "client.js": CLIENT, "panel.js": PANEL}
SOURCES = (("templates", "*.html"), ("app/web", "*.py"))  # where the classes of client pages stand


class StaticFilesMissing(RuntimeError):
    """The browser files were not installed; `str()` says how to get them."""


def read_tree(root: Path) -> dict[str, bytes]:
    """The files to serve, by name; raises StaticFilesMissing."""
    missing = [name for name in VENDOR if not (root / "vendor" / name).is_file()]
    if missing:
        raise StaticFilesMissing(
            f"The browser files are missing from {root / 'vendor'} ({', '.join(missing)}): run pip install -e . again."
        )
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix in TYPES)
    tree = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    bundles = {name: bundled(tree, parts) for name, parts in BUNDLES.items()}
    return tree | bundles | {"client.css": client_stylesheet(tree)}


def bundled(tree: dict[str, bytes], parts: tuple[str, ...]) -> bytes:
    """Files one after the other, without the source maps that they name and we do not serve."""
    separator = b"\n;" if parts[0].endswith(".js") else b"\n"
    lines = separator.join(tree[part] for part in parts).splitlines(keepends=True)
    return b"".join(line for line in lines if b"# sourceMappingURL=" not in line[:40])


@cache
def _words() -> frozenset[str]:
    return words_in(path for folder, pattern in SOURCES for path in (ROOT.parent / folder).rglob(pattern))


def client_stylesheet(tree: dict[str, bytes]) -> bytes:
    """Bootstrap as far as it is used, and our theme: less than half of style.css."""
    bootstrap, theme = (tree[name].decode() for name in STYLES)
    return (used_only(bootstrap, _words()) + minified(theme)).encode()


def digest_of(tree: dict[str, bytes]) -> str:
    """A name for exactly this content."""
    digest = hashlib.sha256()
    for name, content in sorted(tree.items()):
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


@cache
def _unpacked(digest: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"gatehouse-static-{digest}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def write_tree(tree: dict[str, bytes], folder: Path) -> None:
    """Write each file with its compressed forms beside it."""

    def write(item: tuple[str, bytes]) -> None:
        path = folder / item[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item[1])
        Path(f"{path}.gz").write_bytes(gzip.compress(item[1], 9, mtime=0))
        Path(f"{path}.br").write_bytes(brotli.compress(item[1], quality=11))

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, tree.items()))


def _headers(headers: Headers, _path: str, _url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"


def static_url(name: str) -> str:
    """The address of a static file; raises KeyError for one that is not there."""
    prefix, names = current_app.extensions["gatehouse_static"]
    if name not in names:
        raise KeyError(name)
    return f"{prefix}{name}"


def register_static(app: Flask, root: Path = ROOT) -> None:
    """Serve the static files and put `static_url()` into templates; raises StaticFilesMissing."""
    tree = read_tree(root)
    digest = digest_of(tree)
    folder = _unpacked(digest)
    if not any(folder.iterdir()):
        write_tree(tree, folder)
    prefix = f"/static/{digest}/"
    app.wsgi_app = WhiteNoise(  # type: ignore[method-assign]
        app.wsgi_app,
        root=str(folder),
        prefix=prefix,
        allow_all_origins=False,
        immutable_file_test=lambda _path, _url: True,
        add_headers_function=_headers,
    )
    app.extensions["gatehouse_static"] = (prefix, frozenset(tree))
    app.add_template_global(static_url)
