from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.schema import ForeignKey

from app.database import Model, enum_column, new_public_id
from app.models.connection import Connection
from app.models.workspace import Workspace
from app.tenancy import InWorkspace


class Source(StrEnum):
    """Who provides the connection of a slot."""

    AGENCY = "agency"
    CLIENT = "client"


class Workflow(InWorkspace, Model):
    """An automation of a workspace: an ordered list of nodes. `version` is its latest published one, 0 for a draft."""

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    name: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime]
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"))
    version: Mapped[int] = mapped_column(default=0)
    published_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]

    workspace: Mapped[Workspace] = relationship()
    nodes: Mapped[list["Node"]] = relationship(back_populates="workflow", order_by="Node.position, Node.id")
    slots: Mapped[list["Slot"]] = relationship(back_populates="workflow", order_by="Slot.id")


class WorkflowVersion(InWorkspace, Model):
    """What a workflow was when it was published, kept for good."""

    __table_args__ = (UniqueConstraint("workflow_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    workflow_id: Mapped[int] = mapped_column(ForeignKey("workflow.id"))
    number: Mapped[int]
    snapshot: Mapped[dict[str, Any]]
    published_at: Mapped[datetime]
    published_by_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"))


class Slot(InWorkspace, Model):
    """One account that a workflow needs. Nodes of the same app share slot number 0; a separate account has its own."""

    __table_args__ = (UniqueConstraint("workflow_id", "app_key", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    workflow_id: Mapped[int] = mapped_column(ForeignKey("workflow.id"))
    app_key: Mapped[str] = mapped_column(String(60))
    number: Mapped[int] = mapped_column(default=0)
    source: Mapped[Source | None] = mapped_column(enum_column(Source))
    connection_id: Mapped[int | None] = mapped_column(ForeignKey("connection.id"), index=True)
    lost_at: Mapped[
        datetime | None
    ]  # when its connection was deleted from a published workflow; none once it has another

    workflow: Mapped[Workflow] = relationship(back_populates="slots")
    nodes: Mapped[list["Node"]] = relationship(back_populates="slot", order_by="Node.position, Node.id")
    connection: Mapped[Connection | None] = relationship()


class Node(InWorkspace, Model):
    """One step of a workflow: an app and an action, on one slot."""

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True, default=new_public_id)
    workflow_id: Mapped[int] = mapped_column(ForeignKey("workflow.id"), index=True)
    slot_id: Mapped[int] = mapped_column(ForeignKey("slot.id"), index=True)
    app_key: Mapped[str] = mapped_column(String(60))
    action_key: Mapped[str] = mapped_column(String(60))
    label: Mapped[str] = mapped_column(String(80), default="")
    position: Mapped[int]

    workflow: Mapped[Workflow] = relationship(back_populates="nodes")
    slot: Mapped[Slot] = relationship(back_populates="nodes")


Index("ix_workflow_created", Workflow.workspace_id, Workflow.created_at)
Index("ix_slot_standing", Slot.workspace_id, Slot.workflow_id, Slot.connection_id, Slot.lost_at)
