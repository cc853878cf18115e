"""Reads the catalog's files, one app each, and says of every broken one its name, its line and what is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from app.catalog import checks
from app.catalog.lines import Path as Place
from app.catalog.lines import line_of, locate
from app.catalog.reader import build
from app.catalog.schema import App
from app.errors import NotFound
from app.i18n import _

BUILT_IN = Path(__file__).with_name("apps")
LARGEST = 64 * 1024


class CatalogError(ValueError):
    """Files of the catalog are broken; `str()` is a line for each fault: file, line, what is wrong."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class Catalog:
    """The apps by key. Iterating goes by name."""

    def __init__(self, apps: Mapping[str, App]) -> None:
        """Take apps under their keys."""
        self._apps = MappingProxyType(dict(sorted(apps.items(), key=lambda one: (one[1].name.casefold(), one[0]))))

    def __iter__(self) -> Iterator[App]:
        return iter(self._apps.values())

    def __len__(self) -> int:
        return len(self._apps)

    def __contains__(self, key: object) -> bool:
        return key in self._apps

    def get(self, key: str) -> App:
        """Find an app by its key; NotFound."""
        app = self._apps.get(key)
        if app is None:
            raise NotFound(_("There is no such app."))
        return app

    def find(self, key: str) -> App | None:
        """Find an app by its key, or return None: it may have left the catalog since it was used."""
        return self._apps.get(key)

    def search(self, text: str) -> tuple[App, ...]:
        """Return the apps whose name or category holds the text, letter case aside."""
        wanted = text.strip().casefold()
        return tuple(app for app in self if wanted in app.name.casefold() or wanted in app.category.casefold())


def load(apps_dir: Path | None = None, *, loopback_http: bool = False) -> Catalog:
    """Read the built-in apps and then a folder's own, which may add or replace; raises CatalogError about all files.

    `loopback_http` allows plain http to this machine, for a provider that stands in for the real ones.
    """
    apps: dict[str, App] = {}
    faults: list[str] = []
    for folder in (BUILT_IN, apps_dir):
        for file in sorted(folder.glob("*.toml")) if folder and folder.is_dir() else ():
            app, found = read(file, loopback_http=loopback_http)
            faults.extend(found)
            if app:
                apps[app.key] = app
    if faults:
        raise CatalogError(faults)
    return Catalog(apps)


def read(file: Path, *, loopback_http: bool = False) -> tuple[App | None, list[str]]:
    """Read one file; return its app, or None with its faults."""
    try:
        raw = file.read_bytes()
        if len(raw) > LARGEST:
            return None, [f"{file.name}: is larger than {LARGEST // 1024} KiB"]
        text = raw.decode("utf-8")
    except OSError as error:
        return None, [f"{file.name}: can't be read: {error.strerror}"]
    except UnicodeDecodeError:
        return None, [f"{file.name}: is not UTF-8 text"]
    return parse(text, file.name, loopback_http=loopback_http)


def parse(text: str, name: str, *, loopback_http: bool = False) -> tuple[App | None, list[str]]:
    """Check the text of an app's file called `name`; return the app, or None with its faults in the order of lines."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return None, [_syntax(error, text, name)]
    lines = locate(text)
    faults: list[tuple[int, str]] = []

    def report(path: Place, message: str) -> None:
        faults.append((line_of(lines, path), message))

    app: App | None = build(App, table, (), report)
    if app:
        app = replace(app, loopback_http=loopback_http)
        for path, message in checks.problems(app):
            report(path, message)
        if f"{app.key}.toml" != name:
            report(("key",), f"key is “{app.key}”, so the file must be called {app.key}.toml")
    if faults:
        return None, [f"{name}:{line}: {message}" for line, message in dict.fromkeys(sorted(faults))]
    return app, []


def _syntax(error: tomllib.TOMLDecodeError, text: str, name: str) -> str:
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error))
    if not found:
        return f"{name}:1: {error}"
    line = int(found[2]) if found[2] else text.count("\n", 0, len(text.rstrip())) + 1
    return f"{name}:{line}: {found[1][:1].lower()}{found[1][1:]}"
