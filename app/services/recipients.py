"""Whom a request can be sent to: the members of a workspace, and anybody else with an address."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from app.errors import Refused
from app.extensions import db
from app.models import Channel, Member, Workspace
from app.services import addresses, bundles

MOST_LISTED = 200


@dataclass(frozen=True)
class Way:
    """How somebody would come to their apps."""

    address: str
    channel: Channel


def members(workspace: Workspace) -> Sequence[Member]:
    """The members to choose from, by name; any other of them is found by typing the address."""
    return db.session.scalars(
        select(Member)
        .where(Member.workspace_id == workspace.id, Member.removed_at.is_(None))
        .order_by(func.lower(Member.name), Member.id)
        .limit(MOST_LISTED)
    ).all()


def way_to(workspace: Workspace, text: str) -> Way | None:
    """The way to what was typed so far; none until it is an address."""
    try:
        address = addresses.normalise(text)
    except Refused:
        return None
    return Way(address, bundles.channel_for(workspace.id, address))
