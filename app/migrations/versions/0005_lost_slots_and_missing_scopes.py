"""slots whose connection was deleted, and what a renewal was not granted

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

from app.database import UtcDateTime

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

INDEX = 'ix_slot_standing'
COLUMNS = ['workspace_id', 'workflow_id', 'connection_id']


def upgrade() -> None:
    op.add_column('slot', sa.Column('lost_at', UtcDateTime(timezone=True), nullable=True))
    op.drop_index(INDEX, table_name='slot')
    op.create_index(INDEX, 'slot', [*COLUMNS, 'lost_at'])
    op.add_column('flow', sa.Column('missing', sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column('flow', 'missing')
    op.drop_index(INDEX, table_name='slot')
    op.create_index(INDEX, 'slot', COLUMNS)
    op.drop_column('slot', 'lost_at')
