"""The table of statuses under every order of events: what may happen happens, what may not changes nothing."""

from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from app.extensions import db
from tests.services.status_clients import ClientActs
from tests.services.status_scene import PEOPLE
from tests.services.status_staff import StaffActs
from tests.services.status_truths import Truths
from tests.support import browsing, shared_app

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub

LATER = (
    60,
    301,
    301,
    301,
    301,
    901,
    4 * 3600 + 1,
    7 * 86400 + 1,
)  # past the wait, a flow, the portal's time and the link's
a_number, somebody = st.integers(0, 999), st.sampled_from(PEOPLE)
Act = Callable[["Requests", int, str], None]


class Requests(StaffActs, ClientActs, Truths):
    """Whatever may be done, in any order."""

    def teardown(self) -> None:
        try:
            self.of_every_link_ever_minted_one_works()
        finally:
            db.session.remove()
            self.context.pop()

    def time_passes(self, number: int, _person: str) -> None:
        self.clock.forward(seconds=LATER[number % len(LATER)])

    @rule(
        act=st.sampled_from(
            [
                *(
                    StaffActs.queue,
                    StaffActs.send,
                    StaffActs.publish,
                    StaffActs.resend,
                    StaffActs.resend,
                    StaffActs.cancel,
                    StaffActs.move,
                    StaffActs.request_again,
                    StaffActs.revoke,
                    StaffActs.change_membership,
                ),
                *(
                    ClientActs.name_colleague,
                    ClientActs.name_colleague,
                    ClientActs.name_colleague,
                    ClientActs.take_back,
                    StaffActs.approve_hand_over,
                    StaffActs.refuse_hand_over,
                ),
                *(
                    ClientActs.connect,
                    ClientActs.connect,
                    ClientActs.connect,
                    ClientActs.come_back,
                    ClientActs.come_back,
                    ClientActs.come_back,
                    ClientActs.decline,
                    ClientActs.use_offer,
                    time_passes,
                    time_passes,
                ),
            ]
        ),
        number=a_number,
        person=somebody,
    )
    def happens(self, act: Act, number: int, person: str) -> None:
        act(self, number, person)


SETTINGS = settings(
    max_examples=10,
    stateful_step_count=30,
    phases=(Phase.generate,),  # shrinking would outlast the time that a test has
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_every_order_of_events_keeps_to_the_table(app, clock, stub):
    run_state_machine_as_test(lambda: Requests(app, clock, stub), settings=SETTINGS)
