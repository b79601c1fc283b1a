"""What a wafer's disposition rests on; images that somebody passed on; escapes that are reported once."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("dispositions", sa.Column("figures", sa.JSON(), nullable=True))
    op.add_column("escapes", sa.Column("idempotency_key", sa.String(length=256), nullable=True))
    op.create_index(op.f("ix_escapes_idempotency_key"), "escapes", ["idempotency_key"], unique=True)
    op.create_table(
        "review_skips",
        sa.Column("seq", _SEQ, autoincrement=True, nullable=False),
        sa.Column("task_seq", _SEQ, nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["task_seq"], ["review_tasks.seq"], name=op.f("fk_review_skips_task_seq")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_review_skips_user_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_review_skips")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_review_skips_user_id_task_seq"), "review_skips", ["user_id", "task_seq"], unique=False
    )


def downgrade() -> None:
    raise NotImplementedError("what people did would be lost; restore a backup")
