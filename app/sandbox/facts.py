"""What an app would say of an account, at the paths that the catalog names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from app.catalog.addresses import placeholders
from app.catalog.protocol import Identity, Keep, Source
from app.catalog.schema import App
from app.sandbox import people
from app.sandbox.people import Person
from app.sandbox.samples import sample

GROUPS = ("account", "business", "company", "hub", "org", "portal", "shop", "site", "team", "tenant", "workspace")
HANDLES = frozenset({"handle", "login", "nickname", "screen_name", "user", "username"})
HOSTS = frozenset({"domain", "host", "hub_domain", "url", "website"})
ADDRESSES = frozenset({"preferred_username", "upn", "userprincipalname"})
UUIDS = frozenset({"oid", "tid", "uuid"})


def kept(app: App, keeps: Iterable[Keep], person: Person, values: Mapping[str, str]) -> dict[str, str]:
    """Return what the app hands out to be kept, by its name with us."""
    return {one.name: _kept(app, one, person, values) for one in keeps}


def _kept(app: App, one: Keep, person: Person, values: Mapping[str, str]) -> str:
    """Return what was typed where that is meant, with what the page shows behind it where the pattern wants that; else an example."""
    typed = values.get(one.same_as, "")
    hosts = (values[field.name] + field.suffix for field in app.fields if field.suffix and field.name in values)
    found = typed or next((host for host in hosts if re.fullmatch(one.pattern, host)), "")
    return found or sample(one.pattern, app.key, person.company, one.name)


def at_paths(keeps: Iterable[Keep], values: Mapping[str, str]) -> dict[str, str]:
    """Return the same by its place in an answer."""
    return {one.path: values[one.name] for one in keeps if one.name in values}


def identity(app: App, way: Identity, person: Person, values: Mapping[str, str]) -> dict[str, Any]:
    """Return what an identity answer holds, by path: id, label, address, what is kept, and the sign of success."""
    facts: dict[str, Any] = {}
    for path in way.id:
        facts[path] = values.get(path) or _stable(app, path, person, text=way.source is not Source.API)
    for path in (*way.label, way.email):
        if path and path not in facts:
            facts[path] = _called(app, path, person, way)
    facts = {path: value for path, value in facts.items() if not placeholders(path)}
    facts |= at_paths(way.keep, values)
    return facts | ({way.ok.path: way.ok.equals} if way.ok else {})


def _stable(app: App, path: str, person: Person, *, text: bool) -> str | int:
    """Return an id that never changes: of the group where the path speaks of one, else of the person."""
    name = path.rpartition(".")[2].lower()
    if "mail" in name or name in ADDRESSES:
        return person.email
    whose = person.company if _is_group(path) else person.email
    if name in UUIDS:
        return people.uuid_of(app.key, path, whose)
    number = people.number(app.key, path, whose)
    return number if name == "id" and not text else str(number)


def _called(app: App, path: str, person: Person, way: Identity) -> str:
    name = path.rpartition(".")[2].lower()
    if path == way.email or "mail" in name or name in ADDRESSES:
        return person.email
    if name in HANDLES:
        return person.handle
    if name in HOSTS:
        return person.domain
    if name.endswith("id"):
        return str(_stable(app, path, person, text=True))
    return person.company if _is_group(path) else person.name


def _is_group(path: str) -> bool:
    """Whether a path speaks of a group of people, as the members of a list at the top do."""
    return path[:1].isdigit() or any(word in path.lower() for word in GROUPS)
