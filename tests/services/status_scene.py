"""What the table of statuses is tried on: an agency as it begins, and a model beside it of what should be."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from hypothesis.stateful import RuleBasedStateMachine
from sqlalchemy import select

from app.errors import DomainError
from app.extensions import db
from app.models import Bundle, ConnectionRequest
from app.services import connection_requests, link_tokens
from app.tenancy import enter_tenant
from tests import factories
from tests.services.status_model import OPEN, Flow, Model, Request
from tests.support.browsing import Browser, StubbedProvider
from tests.support.clock import Clock
from tests.support.rows import rows_of

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
PEOPLE = ("priya@harbordental.example", "dana@harbordental.example", "it@cobalt-it.example")
SLACK, HUBSPOT = ("slack", "send_channel_message"), ("hubspot", "create_contact")
numbers = itertools.count(1)


class Scene(RuleBasedStateMachine):
    """One agency with two workspaces, three workflows with four slots, and three people who are asked."""

    def __init__(self, app: Flask, clock: Clock, provider: StubbedProvider) -> None:
        super().__init__()
        self.clock, self.provider, self.model = clock, provider, Model()
        self.flows: list[Flow] = []
        self.tokens: dict[str, str] = {}  # by bundle and epoch
        clock.to(START)
        self.context = app.app_context()
        self.context.push()
        self.agency = factories.make_agency(f"Machine {next(numbers)}")
        enter_tenant(self.agency.id)
        self.by = factories.make_staff(self.agency)
        self.workspaces = [factories.make_workspace(self.agency, name) for name in ("Harbor Dental", "Cobalt")]
        first, second = self.workspaces
        self.workflows = [
            factories.make_workflow(first, self.by, SLACK, HUBSPOT),
            factories.make_workflow(first, self.by, SLACK, name="Recall reminders"),
            factories.make_workflow(second, self.by, SLACK),
        ]
        self.slots = [slot for workflow in self.workflows for slot in workflow.slots]
        self.workspace_numbers = {each.id: number for number, each in enumerate(self.workspaces)}
        self.workflow_numbers = {each.id: number for number, each in enumerate(self.workflows)}
        self.browser = Browser()

    @property
    def now(self) -> datetime:
        return self.clock.now

    def attempt(self, act: Callable[[], Any], *, legal: bool) -> Any:
        """Do it if it is legal; else see it refused, with nothing changed."""
        if legal:
            return act()
        before = rows_of(self.agency)
        with pytest.raises(DomainError, match=r"\w+"):
            act()
        assert rows_of(self.agency) == before
        return None

    def row(self, it: Request) -> ConnectionRequest:
        return connection_requests.get(self.agency, it.id)

    def pick_named(self, number: int) -> Request:
        """A request for which somebody else is named, if there is any."""
        named = [each for each in self.model.requests if each.named]
        return named[number % len(named)] if named else self.model.pick(number, *OPEN)

    def note(self, made: ConnectionRequest) -> None:
        slot = next(number for number, each in enumerate(self.slots) if each.id == made.slot_id)
        places = self.workflow_numbers[made.workflow_id], self.workspace_numbers[made.workspace_id]
        self.model.add(Request(made.public_id, slot, *places, made.recipient))

    def note_links(self) -> None:
        for bundle in db.session.scalars(select(Bundle)):
            self.tokens.setdefault(f"{bundle.public_id}:{bundle.epoch}", link_tokens.of(bundle))
