"""The layout of the database file, and the numbers that its keys are made of.

A *lane* is one priority of one queue. A task's id is its lane and its place in it, so that the tasks of a lane lie side
by side in the order in which they run, and need no index:

    ready in a lane:   the ids from `head` on, and those in `front`, which were given back and come first
    on lease:          named by the spans in `consumers.held`; the row itself does not move, and keeps its place
    delayed:           in a table of their own, by due time; a due one joins the tail of its lane

A push writes the leaf of `tasks` and no counter, since the tail is behind the highest id. Leasing a batch moves `head` and writes one span; settling it deletes one range; giving back the last batch only
moves `head` back. Due times and windows are seconds of the wall clock; leases, locks and presence are seconds of the
boot clock, which no one can set, together with the id of the boot.
"""

from __future__ import annotations

LAYOUT = 1
"""Version of this layout (`PRAGMA user_version`)."""

FLOW_LAYOUT = 2
"""Version of a file that has seen a ticket, a rule or a gate (`flow.layout`); any other keeps the one above."""

APPLICATION = 0x67727273
"""`PRAGMA application_id` of our files."""

PLACE_BITS = 44
"""Bits of a task id that are its place in the lane; the bits above are the number of the lane."""

LIVING, TAKEN, ENDED = 0, 1, 2
"""States of a consumer: may speak; fenced, with deliveries that are not yet taken back; a tombstone."""

TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE queues (
    no INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    stamp REAL NOT NULL,                -- boot clock: last renewal or exchange, to a hundredth of the lease
    board INTEGER NOT NULL DEFAULT 0,
    paused INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0     -- how many letters
);

CREATE TABLE lanes (
    no INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    head INTEGER NOT NULL,              -- place of the first one that was not leased yet
    front INTEGER NOT NULL DEFAULT 0,   -- how many rows of `front` are of this lane
    UNIQUE (queue, priority)
);

CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    payload BLOB NOT NULL,
    since REAL,                         -- wall clock: ready since
    count INTEGER NOT NULL DEFAULT 0,
    note BLOB,
    parked REAL,                        -- wall clock: parked first
    uid TEXT                            -- the id that the user gave, behind the number of the queue
);
CREATE INDEX tasks_uid ON tasks (uid) WHERE uid IS NOT NULL;

CREATE TABLE front (id INTEGER PRIMARY KEY);

CREATE TABLE delayed (
    no INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    due REAL NOT NULL,                  -- wall clock
    priority INTEGER NOT NULL,
    payload BLOB NOT NULL,
    count INTEGER NOT NULL,
    note BLOB,
    parked REAL,
    uid TEXT
);
CREATE INDEX delayed_due ON delayed (queue, due);
CREATE INDEX delayed_uid ON delayed (uid) WHERE uid IS NOT NULL;

CREATE TABLE consumers (
    no INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    name TEXT NOT NULL,
    state INTEGER NOT NULL,
    deadline REAL NOT NULL,             -- boot clock
    lease REAL NOT NULL,
    turn INTEGER NOT NULL DEFAULT 0,
    base INTEGER NOT NULL DEFAULT 0,    -- of the last turn: its batch is what is held from there on
    held TEXT NOT NULL DEFAULT '',      -- spans
    lost TEXT NOT NULL DEFAULT '',      -- what the last turn answered as lost, JSON
    settled TEXT NOT NULL DEFAULT '',   -- spans that a release settled, so that they are not lost when settled again
    terms TEXT NOT NULL DEFAULT '',     -- JSON
    until REAL,                         -- wall clock: end of the tombstone
    UNIQUE (queue, name)
);
CREATE INDEX consumers_deadline ON consumers (queue, deadline) WHERE state < 2;

CREATE TABLE letters (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    at REAL NOT NULL,                   -- wall clock
    priority INTEGER NOT NULL,
    reason BLOB NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX letters_queue ON letters (queue, no);
CREATE INDEX letters_task ON letters (queue, task_id);

CREATE TABLE tokens (token TEXT PRIMARY KEY, until REAL NOT NULL, left_out TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE ids (uid TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX ids_until ON ids (until);

CREATE TABLE waiters (topic TEXT, pipe TEXT, known REAL, PRIMARY KEY (topic, pipe)) WITHOUT ROWID;
CREATE TABLE cancelled (queue INTEGER, id TEXT, PRIMARY KEY (queue, id)) WITHOUT ROWID;
CREATE TABLE keys (key TEXT PRIMARY KEY, value BLOB NOT NULL, until REAL);
CREATE TABLE locks (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE presence (key TEXT PRIMARY KEY, value BLOB NOT NULL, until REAL NOT NULL);
"""

EFFECTS = """
INSERT INTO lanes (queue, priority, head) VALUES (0, 0, 0);

CREATE TABLE hand (                     -- one row: the record behind which the next sweep goes on
    queue INTEGER NOT NULL,
    key TEXT NOT NULL
);

INSERT INTO hand VALUES (0, '');

CREATE TABLE records (
    queue INTEGER NOT NULL,
    key TEXT NOT NULL,
    rank INTEGER NOT NULL,
    version INTEGER NOT NULL,
    until REAL,                         -- wall clock; NULL: until it is dropped
    listed INTEGER,                     -- place among the listed ones
    value BLOB NOT NULL,
    PRIMARY KEY (queue, key)
) WITHOUT ROWID;
CREATE INDEX records_listed ON records (queue, listed) WHERE listed IS NOT NULL;

CREATE TABLE joins (
    no INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    name TEXT NOT NULL,
    members INTEGER,                    -- NULL: not known yet
    bits BLOB NOT NULL,                 -- who has arrived: bit 0 of the first byte is member 0
    state INTEGER NOT NULL,             -- 0 not opened, 1 open, 2 complete, 3 shut
    ttl REAL NOT NULL,
    until REAL NOT NULL,                -- wall clock
    UNIQUE (queue, name)
);
CREATE INDEX joins_until ON joins (until);

CREATE TABLE thens (no INTEGER PRIMARY KEY, effects BLOB NOT NULL);

CREATE TABLE followed (
    queue INTEGER NOT NULL,
    key TEXT NOT NULL,
    who TEXT NOT NULL,                  -- name of the follower's FIFO
    rank INTEGER NOT NULL,
    until REAL NOT NULL,                -- boot clock: end of the registration
    marked INTEGER NOT NULL,            -- step that kept the record; 0: none so far
    PRIMARY KEY (queue, key, who)
) WITHOUT ROWID;
CREATE INDEX followed_until ON followed (until);
CREATE INDEX followed_marks ON followed (marked, who, queue, key) WHERE marked > 0
"""
"""Tables of the extra `effects`, made by the first effect in a file: one without stays as it was, and releases that do
not know the extra go on with one that has them. `thens` has what a join applies, stored once, until it completes.

The lane of queue 0, which is no queue, counts: its `head` is the version of the last step that kept a record, its `front` the
place of the record that was listed last. No number comes again. (A lease writes that page anyway: in a table of its own the
count costs a step of one task as much as the record does.)"""

STEER = """
CREATE TABLE noticed (                  -- when an id was last put on the board
    queue INTEGER NOT NULL,
    id TEXT NOT NULL,
    at REAL NOT NULL,                   -- wall clock
    PRIMARY KEY (queue, id)
) WITHOUT ROWID;

CREATE TABLE orders (                   -- what hosts and trees are told
    queue INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    PRIMARY KEY (queue, who)
) WITHOUT ROWID;

CREATE TABLE acts (                     -- what people did
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL,
    at REAL NOT NULL,                   -- wall clock
    token TEXT NOT NULL,
    entry BLOB NOT NULL,
    UNIQUE (queue, token)
);
CREATE INDEX acts_queue ON acts (queue, no)
"""
"""Tables of the extra `steer`, made by the first cancelled id, order or act in a file: one without stays as it was, and
releases that do not know the extra go on with one that has them.

The row of `delayed` with queue 0, which is no queue, has the highest number of a delayed task that was deleted by hand."""

TOMBSTONE = 3600.0
"""Seconds that a closed or fenced consumer is remembered: far longer than any request can be late."""
