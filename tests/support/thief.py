"""What a thief of disks has: every byte that the database keeps, and the eye for secrets in whatever form they lie there."""

import base64
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, inspect

from app.config import Config
from app.extensions import db

HEAD = 10  # bytes by which a needle is looked for; shorter ones are none
SOFT_BREAK = re.compile(rb"=\r?\n")  # of quoted-printable, in the middle of whatever is there
PRINTABLE = re.compile(rb"[\x20-\x7e]{8,}")


def stored(config: Config) -> bytes:
    """The database as it lies on disks: files and write-ahead logs, and all rows of all tables where these may be packed."""
    db.session.rollback()
    connection = db.session.connection()
    rows = _rows(connection)
    if config.database_url.startswith("sqlite"):
        db.session.rollback()
        database = Path(config.database_url.removeprefix("sqlite:///"))
        files = [path for path in database.parent.iterdir() if path.name.startswith(database.name)]
        assert files
        return rows + b"".join(path.read_bytes() for path in files)
    folder = Path(connection.exec_driver_sql("SHOW data_directory").scalar_one())
    own = connection.exec_driver_sql("SELECT oid FROM pg_database WHERE datname = current_database()").scalar_one()
    db.session.rollback()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as alone:
        alone.exec_driver_sql("CHECKPOINT")
    return rows + b"\n".join(on_disk(folder, own))


def _rows(connection: Connection) -> bytes:
    """Every value of every row, one a line."""
    found = []
    for name in inspect(connection).get_table_names():
        for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"'):
            found += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    return b"\n".join(found)


def on_disk(folder: Path, own: int) -> Iterable[bytes]:
    """The files of one database of a cluster, and the cluster's log; nothing where the server is another machine's."""
    try:
        files = [*(folder / "base" / str(own)).iterdir(), *(folder / "pg_wal").glob("0*")]
    except OSError:
        return
    for path in files:
        yield b"\n".join(PRINTABLE.findall(path.read_bytes()))


def forms(value: str) -> set[bytes]:
    """How a secret may lie somewhere: as it is, in hexadecimal, percent-encoded, or within something in base64."""
    plain = value.encode()
    found = {plain, plain.hex().encode(), plain.hex().upper().encode(), quote(value, safe="").encode()}
    for shift in range(3):
        inner = base64.b64encode(b"\0" * shift + plain).rstrip(b"=")
        found |= {inner[4 if shift else 0 : -1], inner[4 if shift else 0 : -1].translate(bytes.maketrans(b"+/", b"-_"))}
    return found


class Eye:
    """Looks for many needles at once."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._heads: dict[bytes, list[tuple[bytes, str]]] = {}
        for value in secrets:
            for form in forms(value):
                assert len(form) >= HEAD, value
                self._heads.setdefault(form[:HEAD], []).append((form, value))

    def sees(self, content: bytes) -> set[str]:
        """The secrets that are in there."""
        found, heads = set(), self._heads
        content += b"\n" + SOFT_BREAK.sub(b"", content) if SOFT_BREAK.search(content) else b""
        for at in range(len(content) - HEAD + 1):
            for form, value in heads.get(content[at : at + HEAD], ()):
                if content.startswith(form, at):
                    found.add(value)
        return found
