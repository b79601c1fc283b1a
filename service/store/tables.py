"""The database's tables, for SQLite and PostgreSQL alike (SQLAlchemy Core).

Times are seconds since 1970, UTC, as floats: the same in both databases, and free of zones. They order nothing: a
clock may jump, `seq` may not. JSON columns hold what a person reads and no query filters on. A change here needs
a migration in `migrations/versions/` (a test compares both).
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts rows up by itself only in a column that is exactly INTEGER.
_SEQ = BigInteger().with_variant(Integer, "sqlite")
_NAME = String(128)
_SHA = String(64)


def _seq() -> Column:
    return Column("seq", _SEQ, primary_key=True, autoincrement=True)


# --- where decisions come from -------------------------------------------------------------------------------

nodes = Table(
    "nodes",
    metadata,
    Column("name", _NAME, primary_key=True),
    # Last entry of this node's journal that is in the database. Moves in the transaction that inserts the entries.
    Column("shipped", BigInteger, nullable=False),
    # Last entry whose digest is in the audit trail.
    Column("sealed", BigInteger, nullable=False),
    Column("seen_at", Float, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("name", _NAME, primary_key=True),  # as answers and pages name it, e.g. v2.3.1
    Column("bundle", _SHA, nullable=False),  # identity of the bundle (Bundle.id)
    Column("path", Text),  # folder of the bundle on the nodes
    Column("state", String(16), nullable=False),  # candidate | warm | archived
    Column("parent", _NAME),
    Column("report", JSON),
    Column("created_at", Float, nullable=False),
)

# Append-only: the version in use is that of the last row.
pointer = Table(
    "pointer",
    metadata,
    _seq(),
    Column("champion", _NAME, ForeignKey("versions.name"), nullable=False),
    Column("previous", _NAME),
    Column("actor", _NAME, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)

# Which row of the pointer each live worker serves.
pointer_acks = Table(
    "pointer_acks",
    metadata,
    Column("node", _NAME, primary_key=True),
    Column("pointer_seq", _SEQ, nullable=False),
    Column("at", Float, nullable=False),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", _NAME, primary_key=True),
    Column("candidate", _NAME, nullable=False),
    Column("champion", _NAME, nullable=False),
    Column("state", String(16), nullable=False),  # shadow | canary | promoted | rolled_back | failed
    Column("percent", Float, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("looks", JSON, nullable=False),  # every look at the statistics
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
)

# --- what was inspected --------------------------------------------------------------------------------------

wafers = Table(
    "wafers",
    metadata,
    Column("wafer_id", _NAME, primary_key=True),
    Column("lot", _NAME, index=True),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    Column("passed", Integer, nullable=False, server_default="0"),
    Column("review", Integer, nullable=False, server_default="0"),
    Column("rejected", Integer, nullable=False, server_default="0"),
)

images = Table(
    "images",
    metadata,
    Column("sha256", _SHA, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("format", String(8), nullable=False),  # png | tiff | jpeg | bmp | none (not an image)
    Column("stored_at", Float, nullable=False),
    Column("removed_at", Float),  # by retention: the row stays, the file is gone
    Column("removed_by", _NAME),  # the rule that removed it
)

inspections = Table(
    "inspections",
    metadata,
    _seq(),
    Column("id", String(36), nullable=False, unique=True),
    Column("idempotency_key", String(256)),
    Column("wafer_id", _NAME, ForeignKey("wafers.wafer_id"), nullable=False),
    Column("point", _NAME, nullable=False),
    Column("lot", _NAME),
    Column("tool", _NAME),
    Column("layer", _NAME),
    Column("recipe", _NAME),
    Column("captured_at", Float),
    Column("received_at", Float, nullable=False, index=True),
    Column("image_sha256", _SHA, ForeignKey("images.sha256"), nullable=False, index=True),
    # What was decided, and by what. model_decision: what the policy said before any rule of the site.
    Column("decision", String(8), nullable=False),
    Column("model_decision", String(8), nullable=False),
    Column("rule", _NAME),  # the site's rule that spoke; null: none did
    Column("rules", String(16)),  # identity of the rules file then in force
    Column("reasons", JSON, nullable=False),
    Column("audit_share", Float),  # chance that this PASS image had of being audited; null: it is not audited
    Column("route", String(8), nullable=False),
    Column("score", Float),  # routed, in robust standard deviations of normal log-scores; null: not scored
    Column("lowres_score", Float),
    Column("full_score", Float),
    Column("anomaly_score", Float),
    Column("review_above", Float),  # in the unit of `score`
    Column("reject_above", Float),
    Column("confidence", Float),
    Column("defect", JSON),  # type and probabilities, where a classifier ran
    Column("version", _NAME, nullable=False),
    Column("bundle", _SHA, nullable=False),
    Column("rollout_id", _NAME),
    Column("arm", String(16)),
    Column("node", _NAME, nullable=False),
    Column("entry", BigInteger, nullable=False),  # number in that node's journal
    Column("api_key_id", _NAME),
    Column("inference_ms", Float, nullable=False),
    Column("steps_ms", JSON, nullable=False),
    Column("latent", LargeBinary),  # float32, little endian; see store.evidence
    Column("map", LargeBinary),  # float16, deflated; see store.evidence
    Column("map_reference", Float),  # unit of the map's fixed colour scale
    Column(
        "appearance", JSON
    ),  # figures of the whole image, by name (router.gate.FIGURES); null: not readable
    # What people said: the verdict that counts (good | defect | unsure), null: nobody looked.
    Column("verdict", String(8)),
    Column("verdict_defect", _NAME),
    Column("digest", _SHA, nullable=False),  # of the row as it was decided; audited by batch
    UniqueConstraint("node", "entry"),
    CheckConstraint("decision IN ('PASS', 'REVIEW', 'REJECT')", name="decision"),
    CheckConstraint("model_decision IN ('PASS', 'REVIEW', 'REJECT')", name="model_decision"),
    sqlite_autoincrement=True,
)
Index("ix_inspections_wafer_id_point_seq", inspections.c.wafer_id, inspections.c.point, inspections.c.seq)
Index("ix_inspections_lot_seq", inspections.c.lot, inspections.c.seq)
Index("ix_inspections_tool_seq", inspections.c.tool, inspections.c.seq)
Index("ix_inspections_decision_seq", inspections.c.decision, inspections.c.seq)

# Further answers given for an inspection, where a retry reached another node. The strictest of all counts.
attempts = Table(
    "attempts",
    metadata,
    _seq(),
    Column("inspection_id", String(36), ForeignKey("inspections.id"), nullable=False),
    Column("node", _NAME, nullable=False),
    Column("entry", BigInteger, nullable=False),  # number in that node's journal
    Column("received_at", Float, nullable=False),
    Column("decision", String(8), nullable=False),
    Column("version", _NAME, nullable=False),
    UniqueConstraint("node", "entry"),
    Index("ix_attempts_inspection_id", "inspection_id"),
    sqlite_autoincrement=True,
)

shadow_scores = Table(
    "shadow_scores",
    metadata,
    Column("inspection_id", String(36), ForeignKey("inspections.id"), primary_key=True),
    Column("version", _NAME, primary_key=True),
    Column("decision", String(8), nullable=False),
    Column("route", String(8), nullable=False),
    Column("score", Float),
    Column("inference_ms", Float, nullable=False),
    Column("at", Float, nullable=False),
)

# A few numbers of each finished wafer on each tool, layer and recipe under each version: what drift looks at.
drift_wafers = Table(
    "drift_wafers",
    metadata,
    _seq(),
    Column("version", _NAME, nullable=False),
    Column("tool", _NAME, nullable=False),
    Column("layer", _NAME, nullable=False),
    Column("recipe", _NAME, nullable=False),
    Column("wafer_id", _NAME, nullable=False),
    Column("lot", _NAME),
    Column("at", Float, nullable=False),  # of its last image
    Column("last_entry", _SEQ, nullable=False),  # inspections.seq of its last image
    Column("images", Integer, nullable=False),
    Column("flagged", Integer, nullable=False),
    Column("unjudged", Integer, nullable=False),
    Column("figures", LargeBinary, nullable=False),  # see lifecycle.drift.wafer_summary
    UniqueConstraint("version", "tool", "layer", "recipe", "wafer_id"),
    Index("ix_drift_wafers_version_at", "version", "at"),
    sqlite_autoincrement=True,
)

drift_checks = Table(
    "drift_checks",
    metadata,
    _seq(),
    Column("at", Float, nullable=False, index=True),
    Column("recipe", _NAME),
    Column("version", _NAME),
    Column("what", _NAME, nullable=False),
    Column("statistic", Float),
    Column("p", Float),
    Column("alarm", Boolean, nullable=False),
    Column("figures", JSON, nullable=False),
    sqlite_autoincrement=True,
)

# RUN, HOLD or PENDING for a wafer or a lot; append-only, the last row counts.
dispositions = Table(
    "dispositions",
    metadata,
    _seq(),
    Column("wafer_id", _NAME, index=True),
    Column("lot", _NAME, index=True),
    Column("disposition", String(8), nullable=False),  # RUN | HOLD | PENDING
    Column("actor", _NAME, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("at", Float, nullable=False),
    Column("figures", JSON),  # the counts that it rests on; null: from before they were kept
    sqlite_autoincrement=True,
)

# Defects that were found later in the line on images that had passed.
escapes = Table(
    "escapes",
    metadata,
    _seq(),
    Column("inspection_id", String(36), ForeignKey("inspections.id")),
    Column("wafer_id", _NAME, nullable=False),
    Column("point", _NAME),
    Column("found_at", _NAME),  # where in the line
    Column("defect", _NAME),
    Column("note", Text),
    Column("actor", _NAME, nullable=False),
    Column("at", Float, nullable=False),
    Column("idempotency_key", String(256)),  # with its client's name before it
    Index("ix_escapes_idempotency_key", "idempotency_key", unique=True),
    sqlite_autoincrement=True,
)

# --- what people see and say ---------------------------------------------------------------------------------

review_tasks = Table(
    "review_tasks",
    metadata,
    _seq(),
    Column("inspection_id", String(36), ForeignKey("inspections.id"), nullable=False),
    # review: the decision is not PASS; audit: a sampled PASS; double: blind second look; planted: known answer.
    Column("kind", String(8), nullable=False),
    Column("risk", Float, nullable=False),  # the queue is ordered by it, largest first
    Column("state", String(8), nullable=False, server_default="open"),  # open | done | dropped
    Column("created_at", Float, nullable=False),
    Column("lease_user", Integer, ForeignKey("users.id")),
    Column("lease_until", Float),
    Column("not_user", Integer),  # of a double task: who gave the first verdict
    Column("truth", JSON),  # of a planted task; never shown
    Column("done_at", Float),
    UniqueConstraint("inspection_id", "kind"),
    Index("ix_review_tasks_state_risk", "state", "risk"),
    sqlite_autoincrement=True,
)

# Who passed on which task without a verdict; append-only. The task comes back to that person after all others.
review_skips = Table(
    "review_skips",
    metadata,
    _seq(),
    Column("task_seq", _SEQ, ForeignKey("review_tasks.seq"), nullable=False),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("at", Float, nullable=False),
    Index("ix_review_skips_user_id_task_seq", "user_id", "task_seq"),
    sqlite_autoincrement=True,
)

# Append-only: a verdict is corrected by another that supersedes it, undone by one of verdict "undone".
reviews = Table(
    "reviews",
    metadata,
    _seq(),
    Column("task_seq", _SEQ, ForeignKey("review_tasks.seq"), nullable=False, index=True),
    Column("inspection_id", String(36), ForeignKey("inspections.id"), nullable=False, index=True),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False, index=True),
    Column("verdict", String(8), nullable=False),  # good | defect | unsure | undone
    Column("defect", _NAME),
    Column("mask", LargeBinary),  # PNG, where somebody drew one
    Column("note", Text),
    Column("seconds", Float),  # from showing the image to the verdict
    Column("supersedes", _SEQ),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)

# Known images that are planted among the tasks to measure vigilance.
planted_images = Table(
    "planted_images",
    metadata,
    Column("image_sha256", _SHA, ForeignKey("images.sha256"), primary_key=True),
    Column("truth", String(8), nullable=False),  # good | defect
    Column("defect", _NAME),
    Column("added_by", _NAME, nullable=False),
    Column("at", Float, nullable=False),
)

# --- who may ---------------------------------------------------------------------------------------------------

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),  # all that other tables and the trail know
    Column("name", _NAME, unique=True),  # null: erased
    Column("role", String(16), nullable=False),  # inspector | senior | engineer | admin | auditor
    Column("password", Text),  # argon2id; null: cannot log in
    Column("active", Boolean, nullable=False),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("locked_until", Float),
    Column("created_at", Float, nullable=False),
    Column("erased_at", Float),
    sqlite_autoincrement=True,
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", _SHA, primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False, index=True),
    Column("csrf", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", _NAME, nullable=False),
    Column("secret_hash", _SHA, nullable=False),
    Column("scopes", JSON, nullable=False),  # inspect | read | escape | admin
    Column("tools", JSON),  # tool names that it may speak for; null: any
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("replaced_by", String(16)),
)

# --- the trail, and the house's own work -----------------------------------------------------------------------

# Append-only (triggers forbid the rest); each row's hash covers the one before.
audit = Table(
    "audit",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("actor", _NAME, nullable=False),  # user:7, key:ab12, node:..., command; never a person's name
    Column("action", _NAME, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", Text, nullable=False),  # canonical JSON, as it was hashed
    Column("prev_hash", _SHA, nullable=False),
    Column("hash", _SHA, nullable=False),
)

# Jobs that one worker at a time may do (retention, drift ...).
leases = Table(
    "leases",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("holder", _NAME, nullable=False),
    Column("until", Float, nullable=False),
)

# Messages to other systems, delivered at least once.
outbox = Table(
    "outbox",
    metadata,
    _seq(),
    Column("kind", _NAME, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("sent_at", Float),
    Column("tries", Integer, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)
