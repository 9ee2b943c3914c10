"""The table of the outbox."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

from regiment_outbox.table import TABLE

metadata = MetaData()
"""Has the table of the outbox, and nothing else: `metadata.create_all(engine)`, or a member of Alembic's `target_metadata`."""

outbox = Table(
    TABLE,
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("queue", String(200), nullable=False),
    Column("task", String(200), nullable=False),
    Column("payload", LargeBinary(2**32 - 1), nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("due", Float(53)),
    Column("id_window", Float(53), nullable=False),
    Column("effects", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index("regiment_outbox_queue", "queue", "id"),
    sqlite_autoincrement=True,  # no id comes again: a later row is behind all earlier ones
)
"""The fields of `regiment_outbox.rows.Written`, and `reason`: why the store refuses the row; empty for one to be relayed."""
