"""What tests of the keys' commands look at: files, answers and blobs."""

import base64
import json

from sqlalchemy import update

from app.models import OAuthClient
from app.services.sealed import COLUMNS

EACH = 3  # blobs of each column
OWN = OAuthClient.__table__


def names(config):
    return sorted(path.name for path in config.keys_path.iterdir())


def fail(result):
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    return line


def keys_of(run):
    return {row["file"]: (row["state"], row["blobs"]) for row in json.loads(run("status", "--json").stdout)["keys"]}


def put(engine, public_id, blob):
    with engine.begin() as connection:
        connection.execute(update(OWN).where(OWN.c.public_id == public_id).values(client_secret=blob))


def blobs_of(engine):
    with engine.connect() as connection:
        yield from connection.execute(COLUMNS[1].rows()).all()


def text(key):
    return base64.b64encode(key).decode()
