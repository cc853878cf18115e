"""Rows 41 to 44: blobs open at their place alone, unaltered; keys that are lost, turn over, or are made by many at once."""

import multiprocessing
import shutil

import pytest
from flask_migrate import upgrade
from sqlalchemy import create_engine, func, select

from app import create_app
from app.extensions import db
from app.models import Agency, Connection, VaultKey
from app.services import rotation, secrets
from app.services.sealed import COLUMNS
from app.tenancy import across_tenants, acting_for
from app.vault import KeysUnusable, Place, Sealed, VaultError, envelope, load_keyring, open_
from app.vault.envelope import HEAD
from tests import factories
from tests.support import sealed_goods
from tests.support.shared_app import running

OPENS_NOT = (VaultError, KeysUnusable)


@pytest.fixture
def installation(tmp_path, sqlite_template):
    """An installation of its own, with something sealed in every column."""
    shutil.copy(sqlite_template, tmp_path / "own.sqlite3")
    config = factories.config(tmp_path, f"sqlite:///{tmp_path / 'own.sqlite3'}")
    sealed_goods.installed(config, each=10)
    return config


@pytest.fixture
def blobs(installation):
    """Every blob with its place, and the key that opens them there."""
    engine = create_engine(installation.database_url)
    with engine.connect() as connection:
        found = [(row.blob, column.place(row)) for column in COLUMNS for row in connection.execute(column.rows())]
    engine.dispose()
    assert len({place for _, place in found}) == len(found) == 10 * len(COLUMNS)
    return load_keyring(installation.keys_path), found


def opened(keyring, tried):
    """How many of these open."""
    count = 0
    for blob, place in tried:
        try:
            open_(keyring, blob, place)
        except OPENS_NOT:
            continue
        count += 1
    return count


def swapped(blobs, proof, times):
    """Pairs of a blob and the place of another: of another column, row, agency, workspace or version."""
    for _ in range(times):
        (blob, own), (_, other) = proof.random.sample(blobs, 2)
        parts = {"agency": own.agency + 1, "workspace": None, "owner": other.owner, "version": own.version + 1}
        name = proof.random.choice([*parts, "all"])
        place = other if name == "all" else Place(**{**vars(own), name: parts[name]})
        yield blob, place if place != own else other


def flipped(blobs, proof, times):
    """Blobs with one bit turned over, every part of them alike often."""
    for number in range(times):
        blob, place = blobs[number % len(blobs)]
        parts = ((0, 1), (1, 9), (9, 21), (21, HEAD - 12), (HEAD - 12, HEAD), (HEAD, len(blob) - 16), (-16, 0))
        start, end = parts[number % len(parts)]
        at = proof.random.randrange(start % len(blob), end or len(blob))
        yield blob[:at] + bytes([blob[at] ^ 1 << proof.random.randrange(8)]) + blob[at + 1 :], place


# ── Row 41 ──────────────────────────────────────────────────────────────────


def test_row_41_of_blobs_put_elsewhere_or_altered_none_opens(blobs, proof):
    """Blobs of every sealed column are opened at another's place, or with one bit turned over, in every part of them. None
    opens.
    """
    keyring, found = blobs
    elsewhere, altered = proof.size(check=1000, prove=10_000), proof.size(check=3000, prove=100_000)

    assert opened(keyring, found) == len(found), "at their own places they all do"
    moved = opened(keyring, swapped(found, proof, elsewhere))
    changed = opened(keyring, flipped(found, proof, altered))
    assert (moved, changed) == (0, 0)
    proof.title = "Secrets: swapped and altered blobs"
    for name, value in (("swapped", elsewhere), ("bits turned over", altered), ("opened", moved + changed)):
        proof.figure(name, value)


def test_row_41_the_measuring_notices_blobs_that_are_not_bound(blobs, proof, monkeypatch):
    """Without a place every blob opens anywhere; without authentication an altered one opens too."""
    keyring, found = blobs
    monkeypatch.setattr(Place, "associated_data", lambda _: b"")
    anywhere = [(envelope.seal(keyring, b"a secret of some length", place), place) for _, place in found]
    assert opened(keyring, swapped(anywhere, proof, 100)) == 100

    monkeypatch.undo()
    monkeypatch.setattr(envelope, "AESGCM", WithoutTag)
    weak = [(envelope.seal(keyring, b"a secret of some length", place), place) for _, place in found]
    assert opened(keyring, flipped(weak, proof, 70)) > 30


class WithoutTag:
    """A cipher of one stream and no tag: what was altered comes out altered."""

    generate_key = staticmethod(envelope.AESGCM.generate_key)

    def __init__(self, key):
        self._stream = key * 20

    def encrypt(self, _nonce, data, _bound):
        return bytes(one ^ other for one, other in zip(data + bytes(16), self._stream, strict=False))

    def decrypt(self, nonce, data, bound):
        return self.encrypt(nonce, data, bound)[: len(data) - 16]


# ── Row 42 ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("content", [None, "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\n", "no key"])
def test_row_42_without_its_key_a_server_is_sealed_until_the_key_is_back(installation, content, monkeypatch):
    """Lost, another's or spoilt: lists are there, what needs a secret is refused, no key is made. `tests/faults` kills more."""
    path = installation.keys_path / "vault-0001.key"
    kept = path.read_text()
    path.unlink() if content is None else path.write_text(content)
    monkeypatch.setattr("app.vault.store.LOOKS", 0)
    with running(installation) as app, app.app_context(), across_tenants("a test looks"):
        agency = db.session.scalars(select(Agency)).one()
        with acting_for(agency.id):
            connection = db.session.scalars(select(Connection)).first()
            with pytest.raises(Sealed):
                secrets.reveal(connection)
            assert "This server is sealed" in factories.signed_in(app, agency_owner(agency)).get("/panel/").text
            assert (path.read_text() if path.exists() else None) == content
            path.write_text(kept)
            assert secrets.reveal(connection)["access_token"].reveal().startswith("credential")


def agency_owner(agency):
    return factories.make_staff(agency, "Ines Duarte")


# ── Row 43 ──────────────────────────────────────────────────────────────────


def test_row_43_a_running_server_opens_what_a_new_key_wraps(installation, monkeypatch):
    """The key turns over under a process that began with the old one; `tests/faults` does it under traffic and with kills."""
    monkeypatch.setattr("app.vault.store.LOOKS", 10**6)
    with running(installation) as app, app.app_context(), across_tenants("a test looks"):
        keys, before = app.extensions["gatehouse"].keys, load_keyring(installation.keys_path).active
        other = create_app(installation).extensions["gatehouse"].keys
        rotation.activate(db.engine, other, rotation.files.prepare(installation.keys_path))
        assert rotation.rewrap_all(db.engine, other.keyring).rewrapped == 10 * len(COLUMNS)
        agency = db.session.scalars(select(Agency)).one()
        with acting_for(agency.id):
            assert keys.keyring.active == before, "it has not looked since"
            found = [secrets.reveal(each)["access_token"].reveal() for each in db.session.scalars(select(Connection))]
    assert sorted(found) == [f"credential {number}" for number in range(10)]


# ── Row 44 ──────────────────────────────────────────────────────────────────


def start_up(folders, template, start, results):
    """What each start does on an empty installation, again and again."""
    for folder in folders:
        config = factories.config(folder, f"sqlite:///{folder / 'x.sqlite3'}")
        start.wait(120)
        with running(config) as app:
            keys = app.extensions["gatehouse"].keys
            results.put((folder.name, keys.keyring.active, keys.secret_key.hex()))


def test_row_44_eight_starts_at_once_make_and_write_down_one_key(tmp_path, sqlite_template, proof):
    """Eight processes start at the same moment on an installation that has a database and nothing else: they come to one
    key, and write down one.
    """
    proof.title = "Secrets: eight processes started at once"
    folders = [tmp_path / f"start{number}" for number in range(proof.size(check=1, prove=12))]
    for folder in folders:
        folder.mkdir()
        shutil.copy(sqlite_template, folder / "x.sqlite3")
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["app", "tests.factories"])
    start, results = server.Barrier(8), server.Queue()
    given = (folders, sqlite_template, start, results)
    members = [server.Process(target=start_up, args=given, daemon=True) for _ in range(8)]
    for member in members:
        member.start()
    found = [results.get(timeout=120) for _ in range(8 * len(folders))]
    for member in members:
        member.join(30)

    assert len(set(found)) == len(folders)
    for folder in folders:
        config = factories.config(folder, f"sqlite:///{folder / 'x.sqlite3'}")
        assert sorted(path.name for path in config.keys_path.iterdir()) == ["secret.key", "vault-0001.key"]
        assert _written_down(config) == 2
    proof.figure("starts of eight processes", len(folders))
    proof.figure("keys an installation has", len(set(found)) // len(folders))


def _written_down(config):
    engine = create_engine(config.database_url)
    with engine.connect() as connection:
        count = connection.scalar(select(func.count()).select_from(VaultKey))
    engine.dispose()
    return count


def test_row_44_the_measuring_notices_keys_that_each_makes_for_itself(tmp_path, monkeypatch):
    """With a name of its own for each file that is made, two starts come to two keys."""
    names = iter(["vault-0001.key", "vault-0002.key"])
    monkeypatch.setattr("app.vault.keys.active_files", lambda _: [])
    real = rotation.files._create
    monkeypatch.setattr("app.vault.keys._create", lambda folder, _: real(folder, next(names)))

    assert len({load_keyring(tmp_path).active for _ in range(2)}) == 2


def test_row_44_what_is_not_migrated_yet_has_its_first_key_all_the_same(tmp_path):
    config = factories.config(tmp_path, f"sqlite:///{tmp_path / 'x.sqlite3'}")
    with running(config) as app, app.app_context():
        active = app.extensions["gatehouse"].keyring.active
        upgrade()
        assert app.extensions["gatehouse"].keyring.active == active
    assert _written_down(config) == 2
