"""What drift looks at: how each image looks as a whole, and a few numbers of each finished wafer."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("inspections", sa.Column("appearance", sa.JSON(), nullable=True))
    op.create_table(
        "drift_wafers",
        sa.Column("seq", _SEQ, autoincrement=True, nullable=False),
        sa.Column("version", sa.String(length=128), nullable=False),
        sa.Column("tool", sa.String(length=128), nullable=False),
        sa.Column("layer", sa.String(length=128), nullable=False),
        sa.Column("recipe", sa.String(length=128), nullable=False),
        sa.Column("wafer_id", sa.String(length=128), nullable=False),
        sa.Column("lot", sa.String(length=128), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("last_entry", _SEQ, nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("flagged", sa.Integer(), nullable=False),
        sa.Column("unjudged", sa.Integer(), nullable=False),
        sa.Column("figures", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_drift_wafers")),
        sa.UniqueConstraint(
            "version",
            "tool",
            "layer",
            "recipe",
            "wafer_id",
            name=op.f("uq_drift_wafers_version_tool_layer_recipe_wafer_id"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_drift_wafers_version_at", "drift_wafers", ["version", "at"])


def downgrade() -> None:
    raise NotImplementedError("restore a backup of the older schema")
