"""Build hook: copies the third-party files that browsers get out of installed wheels into static/vendor/.

The wheels are build requirements, pinned in pyproject.toml; they are looked up but never imported,
and each file must have the SHA-256 named here.
"""

import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VENDOR = Path("static/vendor")
# The served name: (package, file inside it, SHA-256).
FILES = {
    "htmx.min.js": (  # htmx 2.0.10
        "django_htmx",
        "static/django_htmx/htmx-2.min.js",
        "71ea67185bfa8c98c39d31717c6fce5d852370fcdfd129db4543774d3145c0de",
    ),
    "bootstrap.min.css": (  # Bootstrap 5.3.8
        "flask_bootstrap",
        "static/bootstrap5/css/bootstrap.min.css",
        "d85327d99c7a3ee1f9b5d0500d1370acea3ad2db39c163c2f51f232baedbdede",
    ),
    "bootstrap.min.js": (
        "flask_bootstrap",
        "static/bootstrap5/js/bootstrap.min.js",
        "7b0f14895d69247fd88e93840489cfd47c55bd3fd27eb0a6c12a14cc5f492207",
    ),
    "popper.min.js": (  # Popper 2.11.8, which Bootstrap's menus and tooltips stand on
        "flask_bootstrap",
        "static/bootstrap5/umd/popper.min.js",
        "ef9d782294421522458e434c973a266b8be6544e0919a51810933db18aba3987",
    ),
}
# The wheels' own licences; htmx, Bootstrap and Popper name theirs in their files or are free of any condition.
LICENCES = {"django-htmx.LICENSE.txt": "django-htmx", "bootstrap-flask.LICENSE.txt": "Bootstrap-Flask"}


class VendorHook(BuildHookInterface[Any]):
    """Fills static/vendor/ at every build, editable or not, touching only what changed."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        vendor = Path(self.root) / VENDOR
        vendor.mkdir(parents=True, exist_ok=True)
        wanted = {name: checked(*source) for name, source in FILES.items()}
        wanted |= {name: text for name, package in LICENCES.items() if (text := licence_of(package))}
        for stale in set(vendor.iterdir()) - {vendor / name for name in wanted}:
            stale.unlink()
        for name, content in wanted.items():
            put(vendor / name, content)


def checked(package: str, inside: str, sha256: str) -> bytes:
    """Return the content of a package's file; stop the build if it is missing or not the one expected."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"The build requirement {package} is not installed; install with build isolation on.")
    path = Path(spec.origin).parent / inside
    if not path.is_file():
        raise SystemExit(f"{package} no longer contains {inside}; pin the version that hatch_build.py was written for.")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SystemExit(f"{inside} of {package} is not the file expected (SHA-256 differs); the build stops.")
    return content


def licence_of(distribution: str) -> bytes | None:
    """Return the licence that a wheel carries, if it does."""
    for file in importlib.metadata.files(distribution) or []:
        if file.parent.name == "licenses":
            return Path(str(file.locate())).read_bytes()
    return None


def put(path: Path, content: bytes) -> None:
    """Write a file unless it is already so, whole at once: a running server may be reading it."""
    if path.is_file() and path.read_bytes() == content:
        return
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    fresh.replace(path)
