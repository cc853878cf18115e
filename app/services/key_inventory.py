"""The vault's keys as they stand: which are here, which are missing though data needs them, and which were put away."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from app.models import Purpose
from app.services import rotation, vault_keys
from app.vault import Keys, KeysUnusable
from app.vault import keys as files

FROM_SETTING = "GATEHOUSE_VAULT_KEYS"  # in place of a file's name


def listed(engine: Engine, keys: Keys) -> list[dict[str, Any]]:
    """The vault's keys that are here or needed, with their files and how many blobs each wraps."""
    with engine.connect() as connection:
        count, known = rotation.wrapped_by(connection), vault_keys.known_to(connection)
    needed, named = vault_keys.needed(known, Purpose.VAULT), _files(keys)
    held = keys.ring.keys if keys.ring else {}
    rows = []
    for key_id in dict.fromkeys([*held, *needed, *count]):
        file = named.get(key_id, FROM_SETTING if key_id in held else "")
        rows.append({"key": key_id, "file": file, "state": _state(keys, key_id, file), "blobs": count.get(key_id, 0)})
    return rows


def _state(keys: Keys, key_id: str, file: str) -> str:
    if keys.ring is None or key_id not in keys.ring.keys:
        return "missing"
    if key_id == keys.ring.active:
        return "in use"
    return "waits" if file.endswith(".next") else "older"


def _files(keys: Keys, folder: Path | None = None) -> dict[str, str]:
    """The names of key files by the keys that they hold; those that can't be read are left out."""
    found = {}
    for path in sorted((folder or keys.folder).glob("vault-*.*")):
        try:
            found[files.key_id(files.read(path))] = path.name
        except KeysUnusable:
            continue
    return found


def astray(engine: Engine, keys: Keys) -> list[str]:
    """Of each key that data needs and that was put away, where it lies, in a sentence."""
    with engine.connect() as connection:
        needed = {*vault_keys.needed(vault_keys.known_to(connection), Purpose.VAULT), *rotation.wrapped_by(connection)}
    away = _files(keys, keys.folder / files.RETIRED)
    held = keys.ring.keys if keys.ring else {}
    return [
        f"The vault key {key_id} lies in {files.RETIRED}/{away[key_id]}: move it back into {keys.folder}."
        for key_id in sorted(needed & away.keys() - held.keys())
    ]
