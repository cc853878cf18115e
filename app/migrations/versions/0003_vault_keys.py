"""the keys that data is sealed with

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

import app.database
from app import clock

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

SEALED = (
    ('secret', 'blob'),
    ('oauth_client', 'client_secret'),
    ('flow', 'verifier'),
    ('flow', 'grant'),
    ('outbox', 'message'),
)


def upgrade() -> None:
    table = op.create_table('vault_key',
    sa.Column('purpose', sa.Enum('vault', 'signing', name='purpose', native_enum=False, length=24), nullable=False),
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('key_id', sa.String(length=8), nullable=False),
    sa.Column('active_from', app.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('retired_at', app.database.UtcDateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('purpose', 'number', name=op.f('pk_vault_key'))
    )
    connection, found = op.get_bind(), set()
    for name, column in SEALED:
        blob = sa.column(column, sa.LargeBinary)
        query = sa.select(sa.func.substr(blob, 2, 8)).select_from(sa.table(name, blob)).where(blob.is_not(None))
        found |= {bytes(key_id).decode('ascii', 'replace') for key_id, in connection.execute(query.distinct())}
    at = clock.now()
    keys = [
        {'purpose': 'vault', 'number': number, 'key_id': key_id, 'active_from': at, 'retired_at': None}
        for number, key_id in enumerate(sorted(found), 1)
    ]
    if keys:
        op.bulk_insert(table, keys)


def downgrade() -> None:
    op.drop_table('vault_key')
