-- Layout 1. Times are seconds since the epoch by the server's clock, as float8.

CREATE TABLE layout (version int NOT NULL);
INSERT INTO layout VALUES (1);

-- Every step that changes a queue begins with the lock of its row here. `tail` numbers places, `deaths` letters.
CREATE TABLE queue (
    name text PRIMARY KEY,
    stamp float8 NOT NULL,
    tail int8 NOT NULL DEFAULT 0,
    deaths int8 NOT NULL DEFAULT 0,
    version int8 NOT NULL DEFAULT 0,
    paused bool NOT NULL DEFAULT false,
    cancelled text[] NOT NULL DEFAULT '{}'
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

CREATE TABLE key (name text PRIMARY KEY, value bytea NOT NULL, until float8);
CREATE TABLE lock (name text PRIMARY KEY, owner text NOT NULL, until float8 NOT NULL);
CREATE TABLE presence (name text PRIMARY KEY, value bytea NOT NULL, until float8 NOT NULL);
