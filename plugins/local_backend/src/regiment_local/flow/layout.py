"""The tables of the extra `flow`: made by the first ticket, rule or gate that a file sees, which then has layout 2.

A task in pool "" and lane "" stands in the lane of its priority, as ever. Any other stands in `tasks` with an id below 0, in a lane of
the negative number of its queue that has no head to speak of: what is ready of it is *lined* up.

    spot     a queue, a pool or a lane that has something, a rule or a gate: its counts, its rate, its gate
    strand   what is ready of one lane in one priority; those that may lease take turns in their pool
    ring     one pool in one priority; those that may lease take turns

A turn is a number: the lowest has it, and who has had it goes behind the highest. Who may not lease has `may` = 0, and stands in no index
of turns.
"""

from __future__ import annotations

PAUSED, FLOWING, ENTERED = 1, 2, 4
"""Bits of `queues.paused`: it leases nothing; it has seen a ticket, a rule or a gate; it has seen an entry (`ledger`). (A release that does not know the second one, and
has had the file open since before, takes the queue for paused.)"""

TABLES = """
ALTER TABLE tasks ADD COLUMN spot INTEGER;
ALTER TABLE tasks ADD COLUMN ukey TEXT;
ALTER TABLE tasks ADD COLUMN ticket TEXT;
CREATE INDEX tasks_ukey ON tasks (ukey) WHERE ukey IS NOT NULL;

ALTER TABLE delayed ADD COLUMN spot INTEGER;
ALTER TABLE delayed ADD COLUMN ukey TEXT;
ALTER TABLE delayed ADD COLUMN ticket TEXT;
CREATE INDEX delayed_ukey ON delayed (ukey) WHERE ukey IS NOT NULL;

ALTER TABLE letters ADD COLUMN ticket TEXT;

CREATE TABLE spots (
    no INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    pool TEXT NOT NULL,
    lane TEXT NOT NULL,
    waiting INTEGER NOT NULL DEFAULT 0, -- ready and delayed; of a queue: what is lined up, no more
    running INTEGER NOT NULL DEFAULT 0,
    gate REAL NOT NULL DEFAULT 0,       -- wall clock: closed until
    tat REAL NOT NULL DEFAULT 0,        -- wall clock: theoretical arrival time of its rate
    closed INTEGER NOT NULL DEFAULT 0,
    opens REAL,                         -- wall clock: when to look at it again; NULL: at an event
    code TEXT,                          -- the rule of the code, JSON
    operator TEXT,
    code_by TEXT,
    operator_by TEXT,
    UNIQUE (queue, pool, lane)
);
CREATE INDEX spots_pools ON spots (queue, pool) WHERE lane = '';
CREATE INDEX spots_closed ON spots (queue, opens) WHERE closed = 1 AND waiting > 0;
CREATE INDEX spots_idle ON spots (queue, opens) WHERE waiting = 0 AND running = 0 AND opens IS NOT NULL;

CREATE TABLE rings (
    pool INTEGER NOT NULL,              -- number of its spot; that of the queue is pool ""
    priority INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    room INTEGER NOT NULL DEFAULT 0,    -- tasks left of a turn that has begun; 0: of none
    may INTEGER NOT NULL,
    PRIMARY KEY (pool, priority)
) WITHOUT ROWID;
CREATE INDEX rings_turn ON rings (queue, priority, turn) WHERE may = 1;

CREATE TABLE strands (
    spot INTEGER NOT NULL,              -- of a lane; that of a pool is its lane ""
    priority INTEGER NOT NULL,
    pool INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    room INTEGER NOT NULL DEFAULT 0,
    ready INTEGER NOT NULL,
    may INTEGER NOT NULL,
    PRIMARY KEY (spot, priority)
) WITHOUT ROWID;
CREATE INDEX strands_turn ON strands (pool, priority, turn) WHERE may = 1;

CREATE TABLE lined (
    spot INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (spot, priority, id)
) WITHOUT ROWID;

CREATE TABLE timed (                    -- keys that are held for some seconds
    ukey TEXT PRIMARY KEY,
    until REAL NOT NULL,                -- wall clock
    id TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE watchers (                 -- who was told when the next gate or rate of a queue opens
    queue INTEGER PRIMARY KEY,
    consumer INTEGER NOT NULL,
    due REAL NOT NULL                   -- wall clock
)
"""
