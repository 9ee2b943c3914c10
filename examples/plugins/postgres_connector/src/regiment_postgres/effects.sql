-- What an attempt leaves behind, within the step that settles it (E1 to E12 and V1 to V5 of docs/guarantees.md). All of a
-- schema is one place: there is no outbox.
--
-- `effects` is a JSON list of what to do, each with its `kind` and `queue`; payloads and values are in `bodies`, and "first"
-- and "last" of an effect say which of them are its own.

-- Every step that locks more than one queue comes through here first, so that no two of them wait for each other: together
-- with others if it takes all of its queues by name; alone if a join, when complete, may name more.
CREATE FUNCTION gate(alone bool) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF alone THEN
        PERFORM pg_advisory_xact_lock(hashtext('regiment'), hashtext(current_schema()));
    ELSE
        PERFORM pg_advisory_xact_lock_shared(hashtext('regiment'), hashtext(current_schema()));
    END IF;
END $$;

CREATE FUNCTION hold_all(names text[], alone bool) RETURNS void LANGUAGE plpgsql AS $$
DECLARE one text;
BEGIN
    names := ARRAY(SELECT DISTINCT n FROM unnest(names) n ORDER BY 1);
    IF alone OR cardinality(names) > 1 THEN
        PERFORM gate(alone);
    END IF;
    FOREACH one IN ARRAY names LOOP
        PERFORM hold(one);
    END LOOP;
END $$;

-- Lock all that a step with effects needs; before it locks anything else.
CREATE FUNCTION hold_for(q text, effects jsonb) RETURNS void LANGUAGE sql AS $$
    SELECT hold_all(q || array_agg(e ->> 'queue'), coalesce(bool_or(e ->> 'kind' IN ('join', 'arrive', 'seal', 'shut')), false))
    FROM jsonb_array_elements(effects) e
$$;

-- Of the receipts that have effects those that this step is about to take by Done, Again or Dead (E1). Whatever names a
-- receipt first takes it. No kinds: all are Done.
CREATE FUNCTION endings(q text, me text, effects jsonb, kinds int[], firsts int8[], lasts int8[]) RETURNS int8[]
    LANGUAGE sql AS $$
    SELECT coalesce(array_agg(receipt), '{}') FROM (
        SELECT DISTINCT ON (d.receipt) d.receipt, s.kind
        FROM (SELECT DISTINCT (e ->> 'receipt')::int8 AS receipt FROM jsonb_array_elements(effects) e) wanted
        JOIN task d ON d.queue = q AND d.consumer = me AND d.receipt = wanted.receipt
        JOIN unnest(kinds, firsts, lasts) WITH ORDINALITY s (kind, first, last, n) ON d.receipt BETWEEN s.first AND s.last
        ORDER BY d.receipt, s.n
    ) taken WHERE coalesce(kind, 1) IN (1, 3, 5)
$$;

-- Apply effects in their order, those with a receipt if it was taken; then what joins that became complete have in store.
-- `left_out`: of the payloads for this queue those whose id was known; `version`: of what was kept beside it, else 0.
CREATE FUNCTION leave(q text, taken int8[], effects jsonb, bodies bytea[], OUT left_out int[], OUT version int8)
LANGUAGE plpgsql AS $$
DECLARE
    one record;
    known int[];
    sent int := 0;
    versions jsonb := '{}';
    complete text[] := '{}';  -- queue, name, queue, name, …
    seen int := 0;
BEGIN
    left_out := '{}';
    version := 0;
    LOOP
        FOR one IN SELECT * FROM jsonb_to_recordset(effects) AS e (
            receipt int8, kind text, queue text, key text, first int, last int, ttl float8, rank int8, listed bool, keys text[],
            priority int, delay float8, at float8, ids text[], id_window float8, number int, store jsonb
        ) WHERE e.receipt IS NULL OR e.receipt = ANY (taken) LOOP
            CASE one.kind
            WHEN 'keep' THEN
                IF NOT versions ? one.queue THEN
                    versions := versions || jsonb_build_object(one.queue, next_version(one.queue));
                END IF;
                IF keep(one.queue, one.key, bodies[one.first], (versions ->> one.queue)::int8, one.ttl, one.rank, one.listed)
                    AND one.queue = q
                THEN
                    version := (versions ->> q)::int8;
                END IF;
            WHEN 'drop' THEN
                DELETE FROM kept WHERE queue = one.queue AND key = ANY (one.keys);
            WHEN 'send' THEN
                known := push(
                    one.queue, bodies[one.first:one.last], one.priority, one.delay, one.at, NULL, one.ids, one.id_window, 0
                );
                IF one.queue = q AND seen = 0 THEN
                    left_out := left_out || ARRAY(SELECT sent + n FROM unnest(known) n);
                    sent := sent + one.last - one.first + 1;
                END IF;
            ELSE
                IF meet(one.kind, one.queue, one.key, one.number, one.ttl, one.store, bodies[one.first:one.last]) THEN
                    complete := complete || ARRAY[one.queue, one.key];
                END IF;
            END CASE;
        END LOOP;
        EXIT WHEN seen = cardinality(complete);
        UPDATE tally t SET store = NULL, bodies = NULL FROM tally old
            WHERE t.queue = complete[seen + 1] AND t.name = complete[seen + 2] AND old.queue = t.queue AND old.name = t.name
            RETURNING coalesce(old.store, '[]'), old.bodies INTO effects, bodies;
        seen := seen + 2;
    END LOOP;
END $$;

-- Records

-- The version of what a step keeps beside a queue: never one that was, also if the server lost its last moments, because it
-- is never behind the clock. Forgets what has had its time.
CREATE FUNCTION next_version(q text) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE number int8;
BEGIN
    PERFORM hold(q);
    DELETE FROM kept WHERE queue = q AND key IN (
        SELECT key FROM kept WHERE queue = q AND until <= clock() ORDER BY until LIMIT 1000);
    UPDATE queue SET kept = greatest(kept + 1, (clock() * 1e6)::int8) WHERE name = q RETURNING kept INTO number;
    RETURN number;
END $$;

-- True if it was kept: a higher rank stays. Who follows it finds a mark; notified is only who does, because a transaction
-- that notifies commits alone.
CREATE FUNCTION keep(q text, k text, new_value bytea, number int8, ttl float8, new_rank int8, is_listed bool) RETURNS bool
LANGUAGE plpgsql AS $$
DECLARE
    t float8 := clock();
    follower text;
BEGIN
    INSERT INTO kept AS old (queue, key, value, version, rank, until, listed)
        VALUES (q, k, new_value, number, new_rank, t + ttl, CASE WHEN is_listed THEN nextval('listing') END)
        ON CONFLICT (queue, key) DO UPDATE SET value = excluded.value, version = excluded.version, rank = excluded.rank,
            until = excluded.until, listed = excluded.listed
        WHERE excluded.rank >= old.rank OR old.until <= t;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    FOR follower IN
        UPDATE follows SET marked = true WHERE queue = q AND key = k AND NOT marked AND until > t AND rank <= new_rank
            RETURNING who
    LOOP
        PERFORM pg_notify(channel('follower', follower), '');
    END LOOP;
    RETURN true;
END $$;

-- Effects without a lease, as durable as a push; `done` is false if a condition does not hold: then with what there is.
CREATE FUNCTION apply(
    q text, effects jsonb, bodies bytea[], new_token text, token_window float8, keys text[], wanted int8[],
    OUT done bool, OUT left_out int[], OUT version int8, OUT "values" bytea[], OUT versions int8[], OUT ranks int8[]
) LANGUAGE plpgsql AS $$
DECLARE t float8;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM hold_for(q, effects);
    t := clock();
    done := true;
    SELECT a.left_out, a.version INTO left_out, version FROM applied a
        WHERE a.queue = q AND a.token = new_token AND a.until > t;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT coalesce(bool_and(coalesce(r.version, 0) = w.version), true), array_agg(r.value ORDER BY n),
            array_agg(r.version ORDER BY n), array_agg(r.rank ORDER BY n)
        INTO done, "values", versions, ranks
        FROM unnest(keys, wanted) WITH ORDINALITY w (key, version, n)
        LEFT JOIN kept r ON r.queue = q AND r.key = w.key AND (r.until IS NULL OR r.until > t);
    IF NOT done THEN
        RETURN;
    END IF;
    "values" := NULL;
    SELECT l.left_out, l.version INTO left_out, version FROM leave(q, '{}', effects, bodies) l;
    DELETE FROM applied a WHERE a.queue = q AND a.until <= t;
    INSERT INTO applied VALUES (q, new_token, t + token_window, left_out, version);
END $$;

-- Joins

-- One thing that happens to a join; true if it is complete from now on.
CREATE FUNCTION meet(what text, q text, join_ text, number int, new_ttl float8, new_store jsonb, new_bodies bytea[]) RETURNS bool
LANGUAGE plpgsql AS $$
DECLARE
    t float8;
    j tally;
BEGIN
    IF what = 'arrive' AND number NOT BETWEEN 0 AND 4095 THEN
        RETURN false;  -- no join has such a member
    END IF;
    PERFORM hold(q);
    t := clock();
    DELETE FROM tally WHERE queue = q AND until <= t;
    INSERT INTO tally (queue, name, until, ttl) VALUES (q, join_, t + 604800, 604800) ON CONFLICT DO NOTHING;
    SELECT * INTO j FROM tally WHERE queue = q AND name = join_;
    IF what = 'arrive' AND j.state <> 'complete' AND get_bit(j.arrived, number) = 0 THEN
        j.arrived := set_bit(j.arrived, number, 1);
        j.until := t + j.ttl;
    ELSIF what = 'join' AND j.state = 'shell' THEN
        j.state := 'open';
        j.members := coalesce(number, j.members);
        j.ttl := new_ttl;
        j.until := t + new_ttl;
        j.store := new_store;
        j.bodies := new_bodies;
    ELSIF what = 'seal' AND j.state IN ('shell', 'open') AND j.members IS NULL THEN
        j.members := number;
    ELSIF what = 'shut' AND j.state IN ('shell', 'open') THEN
        IF j.state = 'shell' THEN
            j.members := NULL;
            j.ttl := new_ttl;
            j.until := t + new_ttl;
        END IF;
        j.state := 'shut';
        j.store := NULL;
        j.bodies := NULL;
    ELSE
        RETURN false;
    END IF;
    IF j.state = 'open' AND position(B'0' IN substring(j.arrived FOR j.members)) = 0 THEN
        j.state := 'complete';
    END IF;
    UPDATE tally SET state = j.state, members = j.members, arrived = j.arrived, ttl = j.ttl, until = j.until,
        store = j.store, bodies = j.bodies WHERE queue = q AND name = join_;
    RETURN j.state = 'complete';
END $$;

-- Following

-- Register and read in one step (V1): no record is kept between the two, because the queues are locked. As durable as a
-- push, so that no crash of the server loses who follows. Forgets registrations whose time is over for five minutes.
CREATE FUNCTION follow(me text, queues text[], keys text[], ranks int8[], seconds float8)
RETURNS TABLE (n int8, value bytea, version int8, rank int8) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE t float8;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM hold_all(queues, false);
    t := clock();
    DELETE FROM follows WHERE (queue, key, who) IN (
        SELECT queue, key, who FROM follows WHERE until <= t - 300 ORDER BY until LIMIT 1000 + 2 * cardinality(keys)
        FOR UPDATE SKIP LOCKED);
    DELETE FROM follows f USING unnest(queues, keys) u (queue, key)
        WHERE f.queue = u.queue AND f.key = u.key AND f.who = me;
    INSERT INTO follows (queue, key, who, rank, until)
        SELECT u.queue, u.key, me, u.rank, t + seconds FROM unnest(queues, keys, ranks) u (queue, key, rank)
        WHERE NOT EXISTS (SELECT FROM kept r WHERE r.queue = u.queue AND r.key = u.key AND r.rank >= u.rank
            AND (r.until IS NULL OR r.until > t));
    RETURN QUERY
        SELECT u.n, r.value, r.version, r.rank
        FROM unnest(queues, keys, ranks) WITH ORDINALITY u (queue, key, rank, n)
        JOIN kept r ON r.queue = u.queue AND r.key = u.key AND r.rank >= u.rank AND (r.until IS NULL OR r.until > t);
END $$;
