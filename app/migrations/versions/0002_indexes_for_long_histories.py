"""indexes for long histories

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

NEW = (
    ('connection_request', 'ix_connection_request_status', ('agency_id', 'status', 'workspace_id', 'workflow_id', 'recipient')),
    ('connection_request', 'ix_connection_request_workflow', ('workflow_id', 'id')),
    ('connection_request', 'ix_connection_request_recipient', ('workflow_id', 'recipient', 'id')),
    ('connection_request', 'ix_connection_request_standing', ('workflow_id', 'status')),
    ('connection_request', 'ix_connection_request_slot', ('slot_id', 'id')),
    ('connection', 'ix_connection_health', ('agency_id', 'health', 'updated_at')),
    ('connection', 'ix_connection_app', ('workspace_id', 'app_key', 'health')),
    ('slot', 'ix_slot_standing', ('workspace_id', 'workflow_id', 'connection_id')),
    ('workflow', 'ix_workflow_created', ('workspace_id', 'created_at')),
)
PARTIAL = (
    ('connection_request', 'ix_connection_request_notice', ('agency_id', 'notice'), 'notice IS NOT NULL'),
    ('bundle', 'ix_bundle_open', ('agency_id', 'expires_at'), 'closed_at IS NULL'),
)
OPEN = "status IN ('pending', 'declined')"
OLD = (
    ('connection_request', 'ix_connection_request_open', ('agency_id',), OPEN),
    ('connection_request', 'ix_connection_request_workflow_id', ('workflow_id',), None),
    ('connection_request', 'ix_connection_request_slot_id', ('slot_id',), None),
)


def upgrade() -> None:
    for table, name, _columns, _where in OLD:
        op.drop_index(name, table_name=table)
    for table, name, columns in NEW:
        op.create_index(name, table, list(columns))
    for table, name, columns, where in PARTIAL:
        _create(name, table, columns, where)


def downgrade() -> None:
    for table, name, *_ in (*PARTIAL, *NEW):
        op.drop_index(name, table_name=table)
    for table, name, columns, where in OLD:
        _create(name, table, columns, where)


def _create(name: str, table: str, columns: tuple[str, ...], where: str | None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, list(columns), sqlite_where=condition, postgresql_where=condition)
