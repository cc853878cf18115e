"""Nodes as the workflow page shows them: what each needs, and how the account that it uses stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from app.catalog.schema import Action, App
from app.extensions import db
from app.models import Agency, Connection, ConnectionRequest, Health, Kind, Node, Slot, Source, Status, Workflow
from app.services import badges, connections, mending_requests, oauth_clients, scopes, slots
from app.services.badges import Badge
from app.services.oauth_clients import AppState, Readiness
from app.services.scopes import Permission

STANDING = (Status.QUEUED, Status.PENDING, Status.DECLINED)


class Stage(StrEnum):
    """What there is to say or to do about a slot."""

    UNDECIDED = "undecided"
    UNASKED = "unasked"
    ASKED = "asked"
    UNCHOSEN = "unchosen"
    CONNECTED = "connected"
    NARROW = "narrow"
    BROKEN = "broken"


class Unfit(StrEnum):
    """Why a client can't be asked for an app."""

    API_KEY = "api_key"
    NO_CLIENT = "no_client"


@dataclass(frozen=True)
class SlotView:
    """A slot with what stands in it, what is asked for it, and what could fill it at once."""

    slot: Slot
    app: App
    stage: Stage
    badge: Badge
    asked: ConnectionRequest | None = None
    unfit: Unfit | None = None
    missing: Sequence[Permission] = ()
    offers: Sequence[Connection] = ()
    mending: ConnectionRequest | None = None
    mending_badge: Badge | None = None

    @property
    def is_live(self) -> bool:
        """Whether something is asked that a change would cancel."""
        return self.asked is not None and self.asked.status.live

    @property
    def is_clients_to_mend(self) -> bool:
        """Whether its connection broke and the client who owns it can mend it."""
        held = self.slot.connection
        return self.stage is Stage.BROKEN and held is not None and held.health is Health.ERROR and held.is_clients

    @property
    def cause(self) -> str:
        """Why its connection does not work, in plain words."""
        held = self.slot.connection
        return connections.why_broken(held) if held is not None and held.health is Health.ERROR else ""

    @property
    def may_mend(self) -> bool:
        """Whether its owner can be asked to, and is not asked yet."""
        return self.is_clients_to_mend and not self.unfit and not (self.mending and self.mending.status.live)


@dataclass(frozen=True)
class NodeView:
    """A node in its place; `shared_with` is the number of the node whose account it uses too."""

    node: Node
    number: int
    app: App
    action: Action
    permissions: Sequence[Permission]
    slot: SlotView
    shared_with: int | None = None
    could_share_with: int | None = None
    is_first: bool = field(default=False, kw_only=True)
    is_last: bool = field(default=False, kw_only=True)


def view(workflow: Workflow, agency: Agency, *, at: datetime) -> list[NodeView]:
    """The workflow's nodes in order; the same few queries however many."""
    views = _slots(workflow, agency, at=at)
    numbers = {node.id: number for number, node in enumerate(workflow.nodes, 1)}
    firsts = {slot.id: numbers[slot.nodes[0].id] for slot in workflow.slots if slot.nodes}
    return [_node(node, numbers[node.id], views, firsts, total=len(numbers)) for node in workflow.nodes]


def _node(node: Node, number: int, views: Mapping[int, SlotView], firsts: Mapping[int, int], *, total: int) -> NodeView:
    slot = views[node.slot_id]
    action = slot.app.known_action(node.action_key)
    needed = slot.app.scopes_for([action.key])
    others = [
        firsts[each.slot.id] for each in views.values() if each.app.key == slot.app.key and each.slot.id in firsts
    ]
    first = firsts[node.slot_id]
    return NodeView(
        node,
        number,
        slot.app,
        action,
        [Permission(scope, slot.app.scope_label(scope)) for scope in needed],
        slot,
        shared_with=first if first != number else None,
        could_share_with=others[0] if others and others[0] != first and len(slot.slot.nodes) == 1 else None,
        is_first=number == 1,
        is_last=number == total,
    )


def _slots(workflow: Workflow, agency: Agency, *, at: datetime) -> dict[int, SlotView]:
    standing, states = _standing(workflow), oauth_clients.states(agency)
    candidates = slots.candidates(workflow.slots)
    mendings = mending_requests.standing({slot.connection_id for slot in workflow.slots if slot.connection_id})
    found = {}
    for slot in workflow.slots:
        app, asked = scopes.app_of(slot), standing.get(slot.id)
        missing = scopes.missing(app, scopes.of_slot(slot), slot.connection) if slot.connection else ()
        stage = _stage(slot, asked, lacks=bool(missing))
        mending = mendings.get(slot.connection_id or 0)
        found[slot.id] = SlotView(
            slot,
            app,
            stage,
            badges.of_slot(slot, asked, lacks=bool(missing), at=at),
            asked,
            _unfit(states.get(app.key)),
            [Permission(scope, app.scope_label(scope), is_missing=True) for scope in missing],
            []
            if stage is Stage.CONNECTED
            else [each for each in slots.covering(slot, candidates) if each is not slot.connection],
            mending,
            badges.of_request(mending, at=at) if mending else None,
        )
    return found


def _standing(workflow: Workflow) -> dict[int, ConnectionRequest]:
    """What is asked for each slot: its live request, else the latest that was declined."""
    rows = db.session.scalars(
        select(ConnectionRequest)
        .where(
            ConnectionRequest.workflow_id == workflow.id,
            ConnectionRequest.kind == Kind.CONNECT,
            ConnectionRequest.status.in_(STANDING),
        )
        .options(joinedload(ConnectionRequest.bundle))
    )
    found: dict[int, ConnectionRequest] = {}
    for asked in sorted(rows, key=lambda row: row.id):  # not by the database, which would then read all by their ids
        known = found.get(asked.slot_id or 0)
        if asked.slot_id and not (known and known.status.live):
            found[asked.slot_id] = asked
    return found


def _stage(slot: Slot, asked: ConnectionRequest | None, *, lacks: bool) -> Stage:
    if asked and asked.status.live:
        return Stage.ASKED
    if slot.connection:
        if not slot.connection.works:
            return Stage.BROKEN
        return Stage.NARROW if lacks else Stage.CONNECTED
    if asked:
        return Stage.ASKED
    stages = {None: Stage.UNDECIDED, Source.CLIENT: Stage.UNASKED, Source.AGENCY: Stage.UNCHOSEN}
    return stages[slot.source]


def _unfit(state: AppState | None) -> Unfit | None:
    """Why; an app without a state has left the catalog."""
    reasons = {Readiness.API_KEY: Unfit.API_KEY, Readiness.NEEDS_CLIENT: Unfit.NO_CLIENT}
    return reasons.get(state.readiness) if state else Unfit.API_KEY


def wanted(slot: Slot) -> list[Permission]:
    """What a request for the slot would ask for: what its nodes need, and what its connection holds; the new marked."""
    app, held = scopes.app_of(slot), slot.connection
    kept = held.scopes if held and held.oauth_client else []
    new = scopes.missing(app, scopes.of_slot(slot), held) if held else ()
    every = app.ordered((*scopes.of_slot(slot), *kept))
    return [Permission(scope, app.scope_label(scope), is_new=scope in new) for scope in every]
