"""What a mail costs besides the wire: how often the database is asked, and how often a mail is drawn."""

import threading
from collections import Counter

import pytest

from app.config import SmtpServer
from app.extensions import db
from app.mailer import bundle_sent
from app.models import Status, Workflow
from app.services import outgoing, sending
from app.services.bundle_mail import KIND
from app.tenancy import across_tenants
from app.worker.handlers import HANDLERS
from app.worker.turns import Turns
from bench.filling import Filling
from tests import factories
from tests.support.statements import counted

MAILS = 6
MOST = 6  # statements for each, and those of a turn
OF_A_TURN = 6

pytestmark = pytest.mark.both_databases


@pytest.fixture
def config(tmp_path, database_url, smtp):
    server = SmtpServer("localhost", smtp.port, "none")
    return factories.config(tmp_path, database_url, smtp=server, mail_from="requests@gate.example")


@pytest.fixture
def mailed(app, workspace, owner, smtp):
    """Send to so many, and have a worker mail them; returns the statements that this took."""

    def mailed():
        with across_tenants("a test's setting"):
            filling = Filling(workspace)
            public_id = filling.workflow(MAILS, now=(Status.QUEUED,) * MAILS, each=1)
            filling.write()
        sending.send(db.session.scalar(db.select(Workflow).filter_by(public_id=public_id)), by=owner)
        (handler,) = (each for each in HANDLERS if each.kind == KIND)
        turns = Turns(app, threading.Event())
        with counted() as statements:
            while turns.take(handler):
                pass
        assert turns.tally == Counter(done=MAILS)
        return len(statements)

    return mailed


def test_a_mail_asks_the_database_no_more_than_it_must(mailed, monkeypatch):
    with monkeypatch.context() as patch:
        read = outgoing.read
        patch.setattr(outgoing, "read", lambda bundle_id: read(bundle_id) and read(bundle_id))
        assert mailed() > MAILS * MOST + OF_A_TURN, "or a mail that asks more would not be noticed"

    assert mailed() <= MAILS * MOST + OF_A_TURN


def test_mails_that_are_alike_are_drawn_once(mailed, monkeypatch):
    drawn, draw = [], bundle_sent._rendered
    monkeypatch.setattr(bundle_sent, "_rendered", lambda content: drawn.append(content) or draw(content))
    bundle_sent._drawn.cache_clear()

    mailed()

    apps = {tuple(asked.app.key for asked in content.apps) for content in drawn}
    assert len(drawn) <= 2 * len(apps), "twice where a minute passed meanwhile"
