-- Layout 3. Times are seconds since the epoch by the server's clock, as float8.

CREATE TABLE layout (version int NOT NULL);
INSERT INTO layout VALUES (3);

-- Every step that changes a queue begins with the lock of its row here. `tail` numbers places, `deaths` letters,
-- `kept` versions of records.
CREATE TABLE queue (
    name text PRIMARY KEY,
    stamp float8 NOT NULL,
    tail int8 NOT NULL DEFAULT 0,
    deaths int8 NOT NULL DEFAULT 0,
    kept int8 NOT NULL DEFAULT 0,
    version int8 NOT NULL DEFAULT 0,
    paused bool NOT NULL DEFAULT false,
    orders jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

-- Leased if it has a consumer, delayed if it has a due time, else ready. `place` is its order, kept while it is leased.
CREATE TABLE task (
    queue text NOT NULL,
    place int8 NOT NULL,
    priority int NOT NULL,
    payload bytea NOT NULL,
    since float8 NOT NULL,
    due float8,
    uid text,
    crashes int NOT NULL DEFAULT 0,
    note bytea,
    parked float8,
    consumer text,
    receipt int8,
    PRIMARY KEY (queue, place)
);
CREATE INDEX task_ready ON task (queue, priority, place) WHERE consumer IS NULL AND due IS NULL;
CREATE INDEX task_due ON task (queue, due, place) WHERE due IS NOT NULL;
CREATE INDEX task_held ON task (queue, consumer, receipt) WHERE consumer IS NOT NULL;
CREATE INDEX task_uid ON task (queue, uid) WHERE uid IS NOT NULL;

-- `turn`, `base` and `lost` give the answer of the last turn again. `settled`: what release settled for it.
-- `waiting`: its last exchange came back empty and nothing has come since; it then knew of nothing before `told`.
CREATE TABLE consumer (
    queue text NOT NULL,
    name text NOT NULL,
    state text NOT NULL DEFAULT 'living' CHECK (state IN ('living', 'fenced', 'closed')),
    deadline float8 NOT NULL,
    turn int8 NOT NULL DEFAULT 0,
    base int8 NOT NULL DEFAULT 0,
    lost int8[] NOT NULL DEFAULT '{}',
    settled int8multirange NOT NULL DEFAULT '{}',
    waiting bool NOT NULL DEFAULT false,
    told float8,
    ended float8,
    lease float8 NOT NULL DEFAULT 0,
    poison float8[] NOT NULL DEFAULT '{}',
    dead_limit int8 NOT NULL DEFAULT 0,
    dead_age float8 NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, name)
) WITH (fillfactor = 50);

CREATE TABLE letter (
    queue text NOT NULL,
    id int8 NOT NULL,
    task_id text NOT NULL,
    payload bytea NOT NULL,
    reason bytea NOT NULL,
    at float8 NOT NULL,
    priority int NOT NULL,
    PRIMARY KEY (queue, id)
);
CREATE INDEX letter_task ON letter (queue, task_id);

CREATE TABLE token (queue text, token text, until float8 NOT NULL, left_out int[] NOT NULL, PRIMARY KEY (queue, token));
CREATE INDEX token_until ON token (queue, until);
CREATE TABLE seen_id (queue text, id text, until float8 NOT NULL, PRIMARY KEY (queue, id));
CREATE INDEX seen_id_until ON seen_id (queue, until);

-- Steering. Cancelled ids, and the account of what people did.
CREATE TABLE notice (queue text, id text, until float8 NOT NULL, PRIMARY KEY (queue, id));
CREATE SEQUENCE acting;
CREATE TABLE act (
    queue text NOT NULL,
    id int8 NOT NULL,
    at float8 NOT NULL,
    token text NOT NULL,
    entry bytea NOT NULL,
    PRIMARY KEY (queue, id),
    UNIQUE (queue, token)
);

CREATE TABLE key (name text PRIMARY KEY, value bytea NOT NULL, until float8);
CREATE TABLE lock (name text PRIMARY KEY, owner text NOT NULL, until float8 NOT NULL);
CREATE TABLE presence (name text PRIMARY KEY, value bytea NOT NULL, until float8 NOT NULL);

-- Effects. Records beside a queue; `listed` is the place in its list.
CREATE SEQUENCE listing;
CREATE TABLE kept (
    queue text NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    version int8 NOT NULL,
    rank int8 NOT NULL,
    until float8,
    listed int8,
    PRIMARY KEY (queue, key)
);
CREATE INDEX kept_until ON kept (queue, until) WHERE until IS NOT NULL;
CREATE INDEX kept_listed ON kept (queue, listed) WHERE listed IS NOT NULL;

-- A join is a set of members: `arrived` has a bit for each. `store`, with `bodies`: what it applies when it is complete.
CREATE TABLE tally (
    queue text NOT NULL,
    name text NOT NULL,
    state text NOT NULL DEFAULT 'shell' CHECK (state IN ('shell', 'open', 'complete', 'shut')),
    members int,
    arrived bit(4096) NOT NULL DEFAULT B'0'::bit(4096),
    ttl float8 NOT NULL,
    until float8 NOT NULL,
    store jsonb,
    bodies bytea[],
    PRIMARY KEY (queue, name)
);
CREATE INDEX tally_until ON tally (queue, until);

CREATE TABLE applied (
    queue text, token text, until float8 NOT NULL, left_out int[] NOT NULL, version int8 NOT NULL, PRIMARY KEY (queue, token));
CREATE INDEX applied_until ON applied (queue, until);

-- Who follows which record, from which rank on; `marked` once it was kept.
CREATE TABLE follows (
    queue text NOT NULL,
    key text NOT NULL,
    who text NOT NULL,
    rank int8 NOT NULL,
    until float8 NOT NULL,
    marked bool NOT NULL DEFAULT false,
    PRIMARY KEY (queue, key, who)
);
CREATE INDEX follows_marked ON follows (who) WHERE marked;
CREATE INDEX follows_until ON follows (until);
