"""Thousands of mails, four workers, and one of them killed again and again: one effect for each cause (R15)."""

import contextlib
import shutil
import signal
import time
from collections import Counter

import pytest
from sqlalchemy import func, insert, select

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import Bundle, Channel, ConnectionRequest, OutboxItem, OutboxState, Status
from app.services import bundle_mail, link_tokens, outbox
from app.tenancy import across_tenants, acting_for
from tests import factories
from tests.support.databases import migrate
from tests.support.installed import Installation
from tests.support.people import STEP
from tests.support.postgres import fresh_database
from tests.support.servers import wait_until
from tests.support.variant import Change

EVERY = 0.25  # seconds between two kills
SLOWLY = 0.1  # seconds that a mail server may take
# A dead worker is known after seconds instead of a minute and a half; nothing else differs.
QUICK = (
    Change("app.services.claims", "LEASE = timedelta(seconds=90)", "LEASE = timedelta(seconds=4)"),
    Change("app.worker.loop", "HEARTBEAT = 20.0", "HEARTBEAT = 0.5"),
)
# What one worker has in hand is taken by others too, and none notices.
CARELESS = (
    Change("app.services.claims", "OutboxItem.state.in_(WAITING)", "OutboxItem.state.in_((*WAITING, *IN_HAND))"),
    Change("app.services.claims", 'OutboxItem.fence == bindparam("held")', 'OutboxItem.fence >= bindparam("held")'),
)


def pytest_generate_tests(metafunc):
    """Killing at each point is tried on both databases all the time; the long soak is proved on both."""
    both = ["sqlite", "postgres"] if metafunc.config.getoption("--prove") else ["sqlite"]
    metafunc.parametrize("kind", both)


@pytest.fixture
def installation(kind, request, tmp_path, smtp):
    with contextlib.ExitStack() as stack:
        if kind == "sqlite":
            shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "soak.sqlite3")
            url = f"sqlite:///{tmp_path / 'soak.sqlite3'}"
        else:
            url = stack.enter_context(fresh_database(request.getfixturevalue("postgres_url")))
            migrate(factories.driver(url), tmp_path)
        yield Installation(tmp_path, url, smtp.url)


def post(app, count):
    """So many mails in the outbox, each to somebody else, as sending writes them."""
    at = clock.now()
    with app.app_context():
        agency = factories.make_agency(f"Agency {time.monotonic_ns()}")
        with acting_for(agency.id):
            owner = factories.make_staff(agency)
            workspace = factories.make_workspace(agency)
            workflow = factories.make_workflow(workspace, owner, STEP)
            whose = {"agency_id": agency.id, "workspace_id": workspace.id}
            with transaction() as session:
                agency.mails_per_hour = 10**6
                with across_tenants("ids are everybody's"):
                    first = (session.scalar(select(func.max(Bundle.id))) or 0) + 1
            bundles = []
            for number in range(first, first + count):
                to = f"n{number}@client.example"
                nonce, token = link_tokens.draw(epoch=1, recipient=to, **whose)
                link = {"nonce": nonce, "token_hash": link_tokens.digest(token), "channel": Channel.LINK, "epoch": 1}
                times = {"sent_at": at, "created_at": at, "expires_at": at + Channel.LINK.lifetime}
                bundles.append({"id": number, "recipient": to, "sent_by": "Maya", **link, **times, **whose})
            with transaction() as session:
                session.execute(insert(Bundle), bundles)
                asked = {"workflow_id": workflow.id, "app_key": "slack", "status": Status.PENDING, "created_at": at}
                session.execute(
                    insert(ConnectionRequest),
                    [
                        {
                            **asked,
                            **whose,
                            "bundle_id": each["id"],
                            "recipient": each["recipient"],
                            "created_by_id": owner.id,
                            "sent_at": at,
                            "sent_scopes": ["chat:write"],
                        }
                        for each in bundles
                    ],
                )
                public = session.execute(select(Bundle.id, Bundle.public_id).where(Bundle.id >= first)).all()
                for bundle_id, public_id in public:
                    outbox.put(
                        bundle_mail.KIND, f"{public_id}:1", agency_id=agency.id, at=at, bundle=bundle_id, epoch=1
                    )
        db.session.remove()
    return {each["recipient"] for each in bundles}


def left(app):
    """How many mails are not done yet."""
    with app.app_context(), across_tenants("a test looks"):
        undone = select(func.count()).select_from(OutboxItem).where(OutboxItem.state != OutboxState.DONE)
        found = db.session.scalar(undone)
        db.session.remove()
    return found


class Gang:
    """Workers, of which one at a time is killed and replaced."""

    def __init__(self, installation, size, changes):
        self._start = lambda: stack.enter_context(
            installation.program("flask", "--app", "wsgi", "worker", changes=changes)
        )
        self._stack = stack = contextlib.ExitStack()
        self._size, self.at_work = size, []

    def __enter__(self):
        self.at_work = [self._start() for _ in range(self._size)]
        return self

    def __exit__(self, *how):
        for worker in self.at_work:
            worker.process.send_signal(signal.SIGTERM)
        self._stack.__exit__(*how)

    def kill_one(self, chance):
        victim = chance.choice(self.at_work)
        victim.kill()
        self.at_work[self.at_work.index(victim)] = self._start()


def soak(installation, app, smtp, *, mails, workers=2, kills=0, chance=None, changes=QUICK):
    """Mail all while workers are killed; returns who was to get one, and what came."""
    before, people = len(smtp.inbox), post(app, mails)
    with Gang(installation, workers, changes) as gang:
        wait_until(lambda: len(smtp.inbox) > before, timeout=60)
        for _ in range(kills):
            gang.kill_one(chance)
            time.sleep(EVERY)
        wait_until(lambda: left(app) == 0, timeout=600, every=0.1)
    return people, smtp.inbox.all()[before:]


def faults(people, came):
    """Who got nothing, and who got a second mail that is another than the first."""
    copies = Counter(mail.rcpt_tos[0] for mail in came)
    kinds = Counter(to for to, _raw in {(mail.rcpt_tos[0], mail.raw) for mail in came})
    return [to for to in people if not copies[to]] + [to for to in people if kinds[to] > 1]


def test_four_workers_of_whom_one_is_killed_all_the_time_send_each_mail_once(proof, installation, smtp):
    """Four workers mail what is due, and four times a second one of them is killed and another started: nobody is left
    out, and whoever gets a second mail, because a worker died between the server's yes and its own note of it, gets the
    same one to the byte.
    """
    mails, kills = proof.size(check=60, prove=3000), proof.size(check=1, prove=40)
    workers = proof.size(check=2, prove=4)
    with installation.app() as app:
        smtp.fault("BODY", SLOWLY)  # so that who comes later catches up
        people, came = soak(installation, app, smtp, mails=60, changes=[*QUICK, *CARELESS])
        assert faults(people, came), "mails that two workers sent would not be noticed"
        smtp.behave()
        began = time.monotonic()
        people, came = soak(installation, app, smtp, mails=mails, workers=workers, kills=kills, chance=proof.random)
        took = time.monotonic() - began
    found = faults(people, came)
    assert found == []
    proof.title = (
        f"Workers: four, killed all the time, {'SQLite' if 'sqlite' in installation.database_url else 'PostgreSQL'}"
    )
    proof.figure("mails to be sent", len(people))
    proof.figure("workers killed meanwhile", kills)
    proof.figure("lost, or another at the second time", len(found))
    proof.figure("came twice, the same to the byte", len(came) - len(people))
    proof.figure("seconds until all were sent and noted", round(took))
    proof.figure("mails a second meanwhile", round(mails / took))
