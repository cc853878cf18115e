"""`flask vault`: the keys, their rotation, and whether all that is sealed opens; without starting the application."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.config import Config, ConfigError
from app.database import prepare_sqlite
from app.models import Purpose
from app.services import health, key_inventory, lost_keys, rotation, vault_keys
from app.services.key_inventory import FROM_SETTING
from app.vault import Keys, KeysUnusable
from app.vault import keys as files
from app.vault.store import LOOKS

HOW_BY_SETTING = (
    f"To rotate: put a new key (openssl rand -base64 32) behind the others in {FROM_SETTING} on every machine and restart; "
    "then put it first, restart, and run this again."
)

as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


class Fault(Exception):
    """Why a command could not do its work, in one line."""


@click.group("vault")
def command() -> None:
    """Look after the keys that seal what is stored."""


@command.command("status")
@as_json
def status(*, as_json: bool) -> None:
    """Say whether it is sealed, which keys there are, and how many blobs each wraps; fails while it is sealed."""
    with _said(as_json=as_json), _opened() as (config, engine, keys):
        rows, problems = key_inventory.listed(engine, keys), keys.problems
        left = sum(row["blobs"] for row in rows if row["state"] != "in use")
        if as_json:
            click.echo(json.dumps({"sealed": bool(problems), "problems": problems, "keys": rows, "left": left}))
        else:
            click.echo("Sealed." if problems else "Open.")
            click.echo(f"Keys: {FROM_SETTING if config.vault_keys else keys.folder}")
            for row in rows:
                click.echo(f"{row['key']}  {row['file']:<16}  {row['state']:<8}  {row['blobs']:>9,} blobs")
            if left and not problems:
                click.echo(f"{left:,} blobs are wrapped by other keys than the one in use: flask vault rotate goes on.")
        for problem in [] if as_json else problems:
            click.echo(problem, err=True)
        if problems:
            raise SystemExit(1)


@command.command("rotate")
@as_json
@click.option("--again", is_flag=True, help="Rotate although the key in use is less than an hour old.")
@click.option("--one-machine", is_flag=True, help="Do not wait for the new key to be brought to other machines.")
@click.option("--retire", is_flag=True, help="Put away the keys that wrap nothing any more; nothing else is done.")
def rotate(*, as_json: bool, again: bool, one_machine: bool, retire: bool) -> None:
    """Have a new key take over, or go on with that: run it again after whatever stopped it. Nothing has to stand still."""
    with _said(as_json=as_json), _opened(write=True) as (config, engine, keys), _alone(config):
        catches_up = keys.behind and not retire and bool(files.waiting_files(keys.folder))
        if (problems := keys.problems) and not catches_up:
            raise Fault(problems[0])
        if retire:
            _check_newest(engine, keys)
            _retire(engine, keys, as_json=as_json, by_setting=bool(config.vault_keys))
            return
        made = None if config.vault_keys else _next(engine, keys, again=again)
        if made and engine.dialect.name != "sqlite" and not one_machine and not made.seen_before:
            where = f"{made.path.parent}/{made.path.name}"
            _tell(
                {"state": "prepared", "file": made.path.name},
                f"Made {where}. Copy it into the same folder on every other machine, then run this again there and here; "
                "on one machine just run it again.",
                as_json=as_json,
            )
            return
        if made:
            rotation.activate(engine, keys, made.path)
        _check_newest(engine, keys)
        _rewrap(engine, keys, began=made is not None, as_json=as_json, by_setting=bool(config.vault_keys))


@command.command("give-up")
@as_json
@click.option("--yes", is_flag=True, help="Say that the keys are lost for good.")
def give_up(*, as_json: bool, yes: bool) -> None:
    """Go on without keys that are lost for good: what they sealed is destroyed, and clients have to connect anew."""
    with _said(as_json=as_json), _opened() as (config, engine, keys), _alone(config):
        problems = keys.problems
        if problems:
            _check_lost(config, engine, keys)
        if problems and not yes:
            count = sum(row["blobs"] for row in key_inventory.listed(engine, keys) if row["state"] == "missing")
            raise Fault(
                f"{problems[0]} If that can't be done, --yes destroys what can't be read any more: {count:,} blobs."
            )
        found: Mapping[str, int] = {}
        if problems:
            lost_keys.sign_anew(engine, keys, by_setting=bool(config.secret_key))
            found = lost_keys.give_up(engine, keys, by_setting=bool(config.vault_keys))
        if left := keys.problems:
            raise Fault(left[0])
        text = ", ".join(f"{count:,} of {name}" for name, count in found.items()) or "nothing"
        _tell({"state": "open", "destroyed": found}, f"Destroyed: {text}. All keys are here.", as_json=as_json)


@command.command("doctor")
@as_json
def doctor(*, as_json: bool) -> None:
    """Open every blob at its place, and say what is wrong with the keys; fails if anything is. Works when nothing else does."""
    checked, problems = 0, []
    with _said(as_json=as_json), _opened() as (_, engine, keys):
        problems = [*keys.problems, *key_inventory.astray(engine, keys)]
        if keys.ring:
            checked, broken = rotation.examine(engine, keys.ring)
            lost = {row["key"] for row in key_inventory.listed(engine, keys) if row["state"] == "missing"}
            problems += [f"{name} of row {row} does not open." for name, row, key in broken if key not in lost]
            counted = Counter(key for *_, key in broken if key in lost)
            problems += [
                f"{count:,} blobs are wrapped by the key {key}, which is not here." for key, count in counted.items()
            ]
    if as_json:
        click.echo(json.dumps({"ok": not problems, "checked": checked, "problems": problems}))
    else:
        click.echo(f"{checked:,} blobs looked at." if problems else f"{checked:,} blobs, and all of them open.")
        for problem in problems:
            click.echo(problem, err=True)
    if problems:
        raise SystemExit(1)


def _check_lost(config: Config, engine: Engine, keys: Keys) -> None:
    """Refuse to take for lost what was only put away, or written wrongly: what it sealed could not be had back."""
    if away := key_inventory.astray(engine, keys):
        raise Fault(away[0])
    if keys.ring is None and config.vault_keys:
        raise Fault(f"{keys.problems[0]} Set it right first.")
    if keys.ring is None and files.active_files(keys.folder):
        raise Fault(f"{keys.problems[0]} Move that file away first.")


# ── Rotating ─────────────────────────────────────────────────────────────────


class Next:
    """The key that takes over; `seen_before` if an earlier run has made it."""

    def __init__(self, path: Path, *, seen_before: bool) -> None:
        self.path, self.seen_before = path, seen_before


def _next(engine: Engine, keys: Keys, *, again: bool) -> Next | None:
    """The key that is to take over; none while an earlier one still does, or has just done so."""
    if waiting := files.waiting_files(keys.folder):
        return Next(waiting[0], seen_before=True)
    with engine.connect() as connection:
        count = rotation.wrapped_by(connection)
    left = any(key_id != keys.keyring.active for key_id in count)
    if not again and (left or rotation.is_recent(engine, at=clock.now())):
        return None
    made = files.prepare(keys.folder)
    # point: vault.prepared
    return Next(made, seen_before=False)


def _check_newest(engine: Engine, keys: Keys) -> None:
    """Refuse to go back to an older key: other machines seal with the newest, and would find it put away."""
    with engine.connect() as connection:
        (newest,) = vault_keys.needed(vault_keys.known_to(connection), Purpose.VAULT)[-1:]
    if newest != keys.keyring.active:
        raise Fault(f"The vault key {newest} is in use elsewhere: have it come first here too.")


def _rewrap(engine: Engine, keys: Keys, *, began: bool, as_json: bool, by_setting: bool) -> None:
    keyring = keys.keyring
    outcome = rotation.rewrap_all(engine, keyring)
    if began:
        time.sleep(2 * LOOKS)  # by then every process here seals with the new key
        outcome.rewrapped += rotation.rewrap_all(engine, keyring).rewrapped
    with engine.connect() as connection:
        count = rotation.wrapped_by(connection)
    left = sum(number for key_id, number in count.items() if key_id != keyring.active)
    found: dict[str, Any] = {"state": "done" if not left else "left", "key": keyring.active}
    found |= {"rewrapped": outcome.rewrapped, "left": left, "broken": len(outcome.broken)}
    text = f"{outcome.rewrapped:,} blobs wrapped anew. " if outcome.rewrapped else ""
    text += f"Everything is wrapped by the key {keyring.active}." if not left else ""
    if by_setting and not outcome.rewrapped and not left:
        text += f" {HOW_BY_SETTING}"
    elif not left:
        text += " flask vault rotate --retire puts older keys away."
    _tell(found, text.strip(), as_json=as_json)
    if left:
        raise Fault(f"{left:,} blobs are not wrapped by the key {keyring.active}: flask vault doctor says which.")


def _retire(engine: Engine, keys: Keys, *, as_json: bool, by_setting: bool) -> None:
    done = rotation.retire(engine, keys)
    if done.wait_until:
        raise Fault(
            f"Somebody may still be storing with the key before: try again after {done.wait_until:%H:%M:%S} UTC."
        )
    if done.needed:
        counts = ", ".join(f"{key_id} wraps {count:,} blobs" for key_id, count in done.needed.items())
        raise Fault(f"{counts}: flask vault rotate first.")
    hint = (
        f"take them out of {FROM_SETTING}"
        if by_setting
        else "their files lie in retired/ and belong with older backups"
    )
    text = f"Put away: {', '.join(done.away)}; {hint}." if done.away else "There was no key to put away."
    _tell({"state": "retired", "keys": list(done.away)}, text, as_json=as_json)


# ── Around each command ──────────────────────────────────────────────────────


@contextmanager
def _opened(*, write: bool = False) -> Iterator[tuple[Config, Engine, Keys]]:
    """The installation as the environment names it: its database at the right schema, and its keys as far as they are here."""
    config = Config.from_environ()
    url = make_url(config.database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise Fault(f"There is no database yet at {url.database}: run flask db upgrade.")
    engine = create_engine(url, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        prepare_sqlite(engine)
    try:
        found = health.schema_of(engine)
        if found != health.newest_schema():
            raise Fault(health.stale_schema(found))
        keys = Keys(config.keys_path, config.vault_keys, config.secret_key)
        keys.ask = partial(vault_keys.learn if write else _look, engine, keys)
        keys.learn()
        yield config, engine, keys
    finally:
        engine.dispose()


def _alone(config: Config) -> AbstractContextManager[None]:
    """Nobody else changes the key files meanwhile, if there are any to change."""
    return nullcontext() if config.vault_keys else files.alone(config.keys_path)


def _look(engine: Engine, keys: Keys) -> bool:
    """Read what there is; no key is made and nothing written down."""
    with engine.connect() as connection:
        known = vault_keys.known_to(connection)
    keys.load()
    vault_keys.tell(keys, known)
    return True


@contextmanager
def _said(*, as_json: bool) -> Iterator[None]:
    """Say in one line why a command failed."""
    try:
        yield
    except (Fault, ConfigError, KeysUnusable) as error:
        _fail(str(error), as_json=as_json)
    except SQLAlchemyError as error:
        _fail(f"The database can't be reached: {str(error.__cause__ or error).splitlines()[0]}", as_json=as_json)
    except OSError as error:
        _fail(f"{error.filename or 'A key file'}: {error.strerror}.", as_json=as_json)


def _tell(found: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found))
    elif text:
        click.echo(text)


def _fail(problem: str, *, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"ok": False, "problems": [problem]}))
    click.echo(problem, err=True)
    raise SystemExit(1)
