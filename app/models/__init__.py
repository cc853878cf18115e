"""The tables, one entity a file."""

from app.models.agency import Agency
from app.models.audit_event import AuditEvent
from app.models.bundle import Bundle, Channel, IntakeSession
from app.models.connection import Connection, Health, Revocation, Secret
from app.models.connection_request import ConnectionRequest, Kind, Notice, Status
from app.models.counter import Counter
from app.models.flow import Flow, FlowStatus, FlowSurface
from app.models.oauth_client import OAuthClient
from app.models.outbox import OutboxItem, OutboxState
from app.models.portal import PortalCode, PortalSession
from app.models.recipient import Recipient
from app.models.staff import Role, Staff, StaffSession
from app.models.vault_key import Purpose, VaultKey
from app.models.workflow import Node, Slot, Source, Workflow, WorkflowVersion
from app.models.workspace import Member, Workspace

__all__ = [
    "Agency",
    "AuditEvent",
    "Bundle",
    "Channel",
    "Connection",
    "ConnectionRequest",
    "Counter",
    "Flow",
    "FlowStatus",
    "FlowSurface",
    "Health",
    "IntakeSession",
    "Kind",
    "Member",
    "Node",
    "Notice",
    "OAuthClient",
    "OutboxItem",
    "OutboxState",
    "PortalCode",
    "PortalSession",
    "Purpose",
    "Recipient",
    "Revocation",
    "Role",
    "Secret",
    "Slot",
    "Source",
    "Staff",
    "StaffSession",
    "Status",
    "VaultKey",
    "Workflow",
    "WorkflowVersion",
    "Workspace",
]
