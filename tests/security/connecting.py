"""A client who connects an app, up to the way back from the provider, and what came of it."""

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import func, select

from app.extensions import db
from app.models import Connection
from tests.support.consent import consent


@dataclass
class Away:
    """A client at the provider: what they were sent with, and what they come back with."""

    sent: dict[str, str]
    back: dict[str, str]
    path: str


def leave(visitor, asked, person, **choice) -> Away:
    """Press “Connect” and approve; the way back is not gone yet."""
    page = visitor.open(asked)
    visitor.get(page)
    started = visitor.start(page, asked)
    assert started.status_code == 200, started.text
    url = started.headers["HX-Redirect"]
    back = consent(url, person, **choice)
    path = urlsplit(back.pop("redirect_uri")).path
    return Away({name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}, back, path)


def status(asked):
    db.session.rollback()
    db.session.refresh(asked)
    return asked.status


def connected():
    db.session.rollback()
    return db.session.scalar(select(func.count(Connection.id)))
