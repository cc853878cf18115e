"""An installation whose processes are killed and started again, with a real mail server and a real OAuth server around it.

The folder's conftest says `house, houses, house_on_postgres, house_on_sqlite = killing.fixtures`.
"""

import contextlib
import itertools
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from flask import Flask
from sqlalchemy import ColumnElement, select

from app.catalog import load
from app.config import Config
from app.extensions import db
from app.models import Staff, Workspace
from app.services import audit_chain
from app.tenancy import across_tenants, acting_for
from tests import factories
from tests.faults import children
from tests.support import points
from tests.support.catalog_apps import CatalogApps, catalog_apps
from tests.support.nursery import Child, Nursery, nursery
from tests.support.points import Order
from tests.support.postgres import fresh_database
from tests.support.processes import environment, free_port
from tests.support.proof import Proof
from tests.support.provider import Provider
from tests.support.shared_app import running
from tests.support.smtp import Server, smtp_server

Row, Found = TypeVar("Row"), TypeVar("Found")
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """A point as a scene comes to it for the `nth` time after the point `after`."""

    point: str
    nth: int
    after: str = ""

    @property
    def kill(self) -> Order:
        return points.kill(self.point, nth=self.nth, after=self.after if self.after != self.point else "")

    def __str__(self) -> str:
        return f"{self.point} {self.nth}"


def places(trace: Path, after: str = "") -> list[Place]:
    """Where a scene came by, from its first coming to `after` on, and each time."""
    names = trace.read_text().split()
    seen: Counter[str] = Counter()
    found = []
    for name in names[names.index(after) if after else 0 :]:
        seen[name] += 1
        found.append(Place(name, seen[name], after))
    return found


@dataclass(frozen=True)
class House:
    """The installation: `app` is the same inside the test, to make things with and to look at them."""

    app: Flask
    url: str
    smtp: Server
    apps: CatalogApps
    provider: Provider
    nursery: Nursery
    folder: Path
    _known: dict[object, Any] = field(default_factory=dict)

    def once(self, find: Callable[..., Found], *about: object) -> Found:
        """What `find(house, *about)` comes to, found once for all tests of this installation."""
        if (find, *about) not in self._known:
            self._known[(find, *about)] = find(self, *about)
        return self._known[(find, *about)]

    def work(self, *orders: Order, **how: Any) -> None:
        """Have a worker do all that is due, and come to a good end."""
        self.nursery.child("work", *orders, **how).succeeds()

    def work_until_killed(self, *orders: Order, **how: Any) -> None:
        """Have a worker do what is due until it dies as ordered."""
        assert self.nursery.child("work", *orders, **how).ended() == -signal.SIGKILL, self.nursery.output()[-4000:]

    @contextlib.contextmanager
    def served(self, *orders: Order, **how: Any) -> Iterator[Child]:
        """A web process meanwhile."""
        child = self.nursery.child("serve", *orders, **how)
        try:
            yield child
        finally:
            child.kill()

    def breaks(self) -> list[str]:
        """Where an audit trail's chain breaks, once a worker has linked all: those that died had links in hand too."""
        self.work()
        with self.app.app_context(), across_tenants("a test looks"):
            trails = audit_chain.verify()
            db.session.remove()
        return [str(trail) for trail in trails if trail.broken or trail.waiting]

    def trace(self) -> Path:
        """A file for a trace."""
        return self.folder / f"trace-{next(_numbers)}"

    def register(self) -> None:
        """Tell the provider where this installation is; another may have used the same clients meanwhile."""
        self.apps.register(lambda key: f"{self.url}/oauth/callback/shared-{key}")


@dataclass(frozen=True)
class Office:
    """An agency that a scene has for itself: nobody else's rows and mails are among its own."""

    house: House
    agency_id: int
    owner_id: int
    workspace_id: int
    number: int

    @contextlib.contextmanager
    def inside(self) -> Iterator[tuple[Staff, Workspace]]:
        """Within the agency, as its owner."""
        with self.house.app.app_context(), acting_for(self.agency_id):
            try:
                yield db.session.get_one(Staff, self.owner_id), db.session.get_one(Workspace, self.workspace_id)
            finally:
                db.session.remove()

    def address(self, name: str) -> str:
        """Somebody's address that nobody has in another scene."""
        return f"{name}.{self.number}@{self.house.url.rpartition(':')[2]}.client.example"


def office(house: House) -> Office:
    """A new agency with an owner and a workspace."""
    number = next(_numbers)
    with house.app.app_context():
        agency = factories.make_agency(f"Northwind Studio {number}")
        with acting_for(agency.id):
            owner, workspace = factories.make_staff(agency), factories.make_workspace(agency)
        made = Office(house, agency.id, owner.id, workspace.id, number)
        db.session.remove()
    return made


def rows(kind: type[Row], *where: ColumnElement[bool]) -> list[Row]:
    """The rows of the tenant at hand, in the order that they were made."""
    return list(db.session.scalars(select(kind).where(*where).order_by(kind.id)))


def timed(act: Callable[[], object]) -> float:
    """How many seconds it takes: within which to kill by chance."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


def some(proof: Proof, plan: Sequence[Place], *, check: int, always: Sequence[str] = ()) -> list[Place]:
    """All of a plan in `make prove`; in `make check` so many by the seed, those first that are always tried."""
    if proof.full:
        return list(plan)
    first = [next(place for place in plan if place.point == name) for name in always]
    rest = [place for place in plan if place not in first]
    return first + proof.random.sample(rest, max(0, check - len(first)))


@contextlib.contextmanager
def _installed(folder: Path, database_url: str, provider: Provider) -> Iterator[House]:
    (folder / "apps").mkdir(parents=True)
    port = free_port()
    url = f"http://localhost:{port}"
    with smtp_server() as smtp, contextlib.ExitStack() as life:
        apps = catalog_apps(provider, folder / "apps")
        env = environment(
            GATEHOUSE_BASE_URL=url,
            GATEHOUSE_INSTANCE_PATH=str(folder),
            GATEHOUSE_DATABASE_URL=database_url,
            GATEHOUSE_SMTP_URL=smtp.url,
            GATEHOUSE_MAIL_FROM="requests@northwind.example",
            **apps.environ(),
            **{children.PORT: str(port)},
        )
        told = Config.from_environ({name: value for name, value in env.items() if name.startswith("GATEHOUSE_")})
        config = replace(told, argon2_light=True)
        app = life.enter_context(running(config, load(config.apps_dir, loopback_http=True)))
        kids = life.enter_context(nursery("tests.faults.children", env=env))
        yield House(app, url, smtp, apps, provider, kids, folder)


@pytest.fixture(scope="session")
def house_on_sqlite(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, _provider: Provider
) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("killed")
    shutil.copy(sqlite_template, folder / "killed.sqlite3")
    with _installed(folder, f"sqlite:///{folder / 'killed.sqlite3'}", _provider) as house:
        yield house


@pytest.fixture(scope="session")
def house_on_postgres(
    postgres_url: str, postgres_template: str, tmp_path_factory: pytest.TempPathFactory, _provider: Provider
) -> Iterator[House]:
    with (
        fresh_database(postgres_url, postgres_template) as url,
        _installed(tmp_path_factory.mktemp("killed"), url, _provider) as house,
    ):
        yield house


@pytest.fixture
def house(database_kind: str, request: pytest.FixtureRequest, provider: Provider) -> House:
    house: House = request.getfixturevalue(f"house_on_{database_kind}")
    house.register()
    return house


@pytest.fixture
def houses(request: pytest.FixtureRequest, proof: Proof, provider: Provider) -> Iterator[House]:
    """One on each database, one after the other; in `make check` the first alone."""

    def houses() -> Iterator[House]:
        for kind in NAMES if proof.full else ["sqlite"]:
            house: House = request.getfixturevalue(f"house_on_{kind}")
            house.register()
            yield house

    return houses()


fixtures = (house, houses, house_on_postgres, house_on_sqlite)
