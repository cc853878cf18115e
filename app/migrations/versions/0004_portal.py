"""the portal, and a connection's whole life

Revision ID: 0004
Revises: 0003
"""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

from app.database import UtcDateTime

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

AT = UtcDateTime(timezone=True)
REVOCATIONS = ('pending', 'confirmed', 'unsupported', 'kept_for_sibling', 'unconfirmed')
NEW = {
    'connection': (
        ('broken_at', AT),
        ('owner_left_at', AT),
        ('client_id', sa.String(400)),
        ('granted_at', AT),
        ('token_at', AT),
        ('grant_ends_at', AT),
        ('refresh_lease', sa.String(20)),
        ('refresh_called_at', AT),
        ('refresh_failed_at', AT),
        ('refresh_after', AT),
        ('revocation', sa.Enum(*REVOCATIONS, name='revocation', native_enum=False, length=24)),
        ('deleted_at', AT),
    ),
    'connection_request': (
        ('handed_over_at', AT),
        ('hand_over_to', sa.String(320)),
        ('hand_over_asked_at', AT),
        ('hand_over_refused', sa.String(320)),
    ),
}
PARTIAL = (
    ('connection', 'ix_connection_ends', ('agency_id', 'grant_ends_at'), 'grant_ends_at IS NOT NULL'),
    ('connection', 'ix_connection_leased', ('refresh_lease',), 'refresh_lease IS NOT NULL'),
    ('connection_request', 'ix_connection_request_handed_over', ('workspace_id', 'handed_over_from'), 'handed_over_from IS NOT NULL'),
    ('connection_request', 'ix_connection_request_hand_over', ('agency_id',), 'hand_over_to IS NOT NULL'),
    ('audit_event', 'ix_audit_event_owner_changed', ('workspace_id', 'id'), "type = 'connection.owner_changed'"),
)
PLAN = 'connection.refresh'
FINISHED = (
    ('ix_outbox_finished', f"finished_at IS NOT NULL AND kind != '{PLAN}'"),
    ('ix_outbox_finished_plan', f"finished_at IS NOT NULL AND kind = '{PLAN}'"),
)
OPEN = "state IN ('queued', 'retry', 'claimed', 'transmitting')"
IN_HAND = "state IN ('claimed', 'transmitting')"
CONNECTION = sa.table(
    'connection',
    sa.column('id', sa.Integer()),
    sa.column('public_id', sa.String()),
    sa.column('agency_id', sa.Integer()),
    sa.column('secret_id', sa.Integer()),
    sa.column('health', sa.String()),
    sa.column('refreshable', sa.Boolean()),
    sa.column('token_at', AT),
    sa.column('expires_at', AT),
)
SECRET = sa.table('secret', sa.column('id', sa.Integer()), sa.column('version', sa.Integer()))
OUTBOX = sa.table(
    'outbox',
    sa.column('agency_id', sa.Integer()),
    sa.column('kind', sa.String()),
    sa.column('key', sa.String()),
    sa.column('payload', sa.JSON()),
    sa.column('state', sa.String()),
    sa.column('attempts', sa.Integer()),
    sa.column('fence', sa.Integer()),
    sa.column('due_at', AT),
    sa.column('created_at', AT),
)


def upgrade() -> None:
    for table, columns in NEW.items():
        for name, kind in columns:
            op.add_column(table, sa.Column(name, kind, nullable=True))
    op.add_column('connection', sa.Column('refresh_failures', sa.Integer(), nullable=False, server_default='0'))
    op.add_column('agency', sa.Column('hands_over', sa.Boolean(), nullable=False, server_default=sa.true()))
    for table, name, indexed, where in PARTIAL:
        op.create_index(name, table, list(indexed), sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    for name, where in FINISHED:
        op.create_index(name, 'outbox', ['finished_at'], sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    _index_due(['kind', 'due_at'])
    op.create_index('ix_outbox_in_hand', 'outbox', ['leased_until'], sqlite_where=sa.text(IN_HAND), postgresql_where=sa.text(IN_HAND))
    op.create_index('ix_audit_event_subject', 'audit_event', ['subject', 'id'])
    op.drop_index('ix_connection_request_connection_id', table_name='connection_request')
    op.create_index('ix_connection_request_connection', 'connection_request', ['connection_id', 'kind'])
    op.create_index(op.f('ix_member_email'), 'member', ['email'])
    _widen_flows()
    _make_portal()
    op.execute("UPDATE connection SET granted_at = updated_at, token_at = updated_at WHERE secret_id IS NOT NULL")
    op.execute("UPDATE connection SET grant_ends_at = expires_at WHERE secret_id IS NOT NULL AND NOT refreshable")
    op.execute("UPDATE connection SET broken_at = updated_at WHERE health = 'error'")
    _plan_refreshes()
    op.execute("UPDATE flow SET recipient = (SELECT bundle.recipient FROM bundle WHERE bundle.id = flow.bundle_id)")


def _plan_refreshes() -> None:
    """Have what can be refreshed be refreshed in time, as for each that is stored from now on."""
    rows = op.get_bind().execute(
        sa.select(CONNECTION, SECRET.c.version)
        .join_from(CONNECTION, SECRET, SECRET.c.id == CONNECTION.c.secret_id)
        .where(CONNECTION.c.refreshable, CONNECTION.c.health.in_(['pending', 'active']))
        .order_by(CONNECTION.c.id)
    )
    for page in rows.mappings().partitions(500):
        op.get_bind().execute(OUTBOX.insert(), [_plan(row) for row in page])


def _plan(row: sa.RowMapping) -> dict[str, Any]:
    came_at, version = row['token_at'], row['version']
    ends_at = row['expires_at'] or came_at + timedelta(hours=1)
    return {
        'agency_id': row['agency_id'],
        'kind': PLAN,
        'key': f"{row['public_id']}:{version}:{int(came_at.timestamp())}",
        'payload': {'connection': row['id'], 'version': version},
        'state': 'queued',
        'attempts': 0,
        'fence': 0,
        'due_at': ends_at - min(timedelta(minutes=15), max(ends_at - came_at, timedelta()) / 2),
        'created_at': came_at,
    }


def _index_due(columns: list[str]) -> None:
    op.drop_index('ix_outbox_due', table_name='outbox')
    op.create_index('ix_outbox_due', 'outbox', columns, sqlite_where=sa.text(OPEN), postgresql_where=sa.text(OPEN))


def _widen_flows() -> None:
    surfaces = sa.Enum('intake', 'portal', name='flowsurface', native_enum=False, length=24)
    with op.batch_alter_table('flow') as flow:
        flow.add_column(sa.Column('surface', surfaces, nullable=False, server_default='intake'))
        flow.add_column(sa.Column('connection_id', sa.Integer(), nullable=True))
        flow.add_column(sa.Column('client_id', sa.String(400), nullable=True))
        flow.add_column(sa.Column('recipient', sa.String(320), nullable=False, server_default=''))
        flow.alter_column('request_id', existing_type=sa.Integer(), nullable=True)
        flow.alter_column('bundle_id', existing_type=sa.Integer(), nullable=True)
        flow.create_foreign_key(op.f('fk_flow_connection_id'), 'connection', ['connection_id'], ['id'])
        flow.create_index(op.f('ix_flow_connection_id'), ['connection_id'])


def _make_portal() -> None:
    op.create_table('portal_code',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('public_id', sa.String(20), nullable=False),
    sa.Column('agency_id', sa.Integer(), nullable=True),
    sa.Column('email', sa.String(320), nullable=False),
    sa.Column('nonce', sa.LargeBinary(16), nullable=False),
    sa.Column('browser_hash', sa.LargeBinary(32), nullable=False),
    sa.Column('button_hash', sa.LargeBinary(32), nullable=False),
    sa.Column('tries', sa.Integer(), nullable=False),
    sa.Column('created_at', AT, nullable=False),
    sa.Column('expires_at', AT, nullable=False),
    sa.Column('used_at', AT, nullable=True),
    sa.ForeignKeyConstraint(['agency_id'], ['agency.id'], name=op.f('fk_portal_code_agency_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_portal_code')),
    sa.UniqueConstraint('public_id', name=op.f('uq_portal_code_public_id')),
    sa.UniqueConstraint('browser_hash', name=op.f('uq_portal_code_browser_hash')),
    sa.UniqueConstraint('button_hash', name=op.f('uq_portal_code_button_hash'))
    )
    op.create_table('portal_session',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('public_id', sa.String(20), nullable=False),
    sa.Column('id_hash', sa.LargeBinary(32), nullable=False),
    sa.Column('email', sa.String(320), nullable=False),
    sa.Column('agency_id', sa.Integer(), nullable=True),
    sa.Column('workspace_id', sa.Integer(), nullable=True),
    sa.Column('created_at', AT, nullable=False),
    sa.Column('seen_at', AT, nullable=False),
    sa.Column('expires_at', AT, nullable=False),
    sa.Column('address', sa.String(64), nullable=True),
    sa.Column('user_agent', sa.String(255), nullable=True),
    sa.ForeignKeyConstraint(['agency_id'], ['agency.id'], name=op.f('fk_portal_session_agency_id')),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspace.id'], name=op.f('fk_portal_session_workspace_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_portal_session')),
    sa.UniqueConstraint('public_id', name=op.f('uq_portal_session_public_id')),
    sa.UniqueConstraint('id_hash', name=op.f('uq_portal_session_id_hash'))
    )
    for table, column in (('portal_code', 'expires_at'), ('portal_session', 'email'), ('portal_session', 'expires_at')):
        op.create_index(op.f(f'ix_{table}_{column}'), table, [column])


def downgrade() -> None:
    op.execute(sa.delete(OUTBOX).where(OUTBOX.c.kind == PLAN))
    op.drop_table('portal_session')
    op.drop_table('portal_code')
    op.execute('UPDATE flow SET connection_id = NULL')
    op.execute('DELETE FROM flow WHERE request_id IS NULL OR bundle_id IS NULL')
    with op.batch_alter_table('flow') as flow:
        flow.drop_index(op.f('ix_flow_connection_id'))
        flow.drop_constraint(op.f('fk_flow_connection_id'), type_='foreignkey')
        flow.alter_column('request_id', existing_type=sa.Integer(), nullable=False)
        flow.alter_column('bundle_id', existing_type=sa.Integer(), nullable=False)
        for name in ('recipient', 'client_id', 'connection_id', 'surface'):
            flow.drop_column(name)
    op.drop_index('ix_connection_request_connection', table_name='connection_request')
    op.create_index('ix_connection_request_connection_id', 'connection_request', ['connection_id'])
    op.drop_index(op.f('ix_member_email'), table_name='member')
    op.drop_index('ix_outbox_in_hand', table_name='outbox')
    for name, _where in FINISHED:
        op.drop_index(name, table_name='outbox')
    _index_due(['due_at'])
    op.drop_index('ix_audit_event_subject', table_name='audit_event')
    for table, name, *_ in PARTIAL:
        op.drop_index(name, table_name=table)
    op.drop_column('agency', 'hands_over')
    op.drop_column('connection', 'refresh_failures')
    for table, columns in NEW.items():
        for name, _kind in columns:
            op.drop_column(table, name)
