-- One function for each verb that changes a queue: one request is one transaction, so that a client that stands still,
-- or dies between two requests, holds no lock. Names are found by the search path, which every connection sets.

CREATE FUNCTION clock() RETURNS float8 LANGUAGE sql VOLATILE
    AS $$ SELECT extract(epoch FROM clock_timestamp())::float8 $$;

-- The channel on which the sleepers of a queue, or those who wait for a lock, listen.
CREATE FUNCTION channel(kind text, name text) RETURNS text LANGUAGE sql STABLE
    AS $$ SELECT 'regiment_' || md5(current_schema() || '/' || kind || '/' || name) $$;

-- Lock a queue until the end of the step; it exists as soon as it is named.
CREATE FUNCTION hold(q text) RETURNS queue LANGUAGE plpgsql AS $$
DECLARE held queue;
BEGIN
    SELECT * INTO held FROM queue WHERE name = q FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO queue (name, stamp) VALUES (q, clock()) ON CONFLICT DO NOTHING;
        SELECT * INTO held FROM queue WHERE name = q FOR UPDATE;
    END IF;
    RETURN held;
END $$;

-- So many new places at the tail of a queue; returns the one before the first.
CREATE FUNCTION places(q text, wanted int8) RETURNS int8 LANGUAGE sql
    AS $$ UPDATE queue SET tail = tail + wanted WHERE name = q RETURNING tail - wanted $$;

-- End the sleep of those who knew of nothing before `at`; null: of all.
CREATE FUNCTION wake(q text, at float8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE consumer SET waiting = false
        WHERE queue = q AND waiting AND (at IS NULL OR told IS NULL OR told > at);
    IF FOUND THEN
        PERFORM pg_notify(channel('queue', q), '');
    END IF;
END $$;

-- After tasks came back: wake for what is ready, else for what is due first.
CREATE FUNCTION tell(q text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE first float8;
BEGIN
    IF EXISTS (SELECT FROM task WHERE queue = q AND consumer IS NULL AND due IS NULL) THEN
        PERFORM wake(q, NULL);
    ELSE
        SELECT min(due) INTO first FROM task WHERE queue = q AND due IS NOT NULL;
        IF first IS NOT NULL THEN
            PERFORM wake(q, first);
        END IF;
    END IF;
END $$;

-- The gap rule (R8): the store was away, or its clock jumped; that is not the consumers' fault. Sets the stamp.
CREATE FUNCTION close_gap(held queue, lease float8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE t float8 := clock();
BEGIN
    UPDATE queue SET stamp = t WHERE name = held.name;
    IF t - held.stamp > lease / 3 THEN
        UPDATE consumer SET deadline = deadline + (t - held.stamp) WHERE queue = held.name;
    END IF;
END $$;

-- What a step sends comes without a token: its receipt, or the token of `apply`, sees to it that it comes once.
CREATE FUNCTION push(
    q text, payloads bytea[], new_priority int, delay float8, at float8, new_token text, ids text[],
    id_window float8, token_window float8
) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
    t float8;
    starts float8;
    tail int8;
    taken int8[];
    answer int[];
BEGIN
    PERFORM hold(q);
    t := clock();
    SELECT left_out INTO answer FROM token WHERE queue = q AND token = new_token AND until > t;
    IF FOUND THEN
        RETURN answer;
    END IF;
    DELETE FROM token WHERE queue = q AND until <= t;
    starts := coalesce(at, t + delay);
    IF starts <= t THEN
        starts := NULL;
    END IF;
    IF ids IS NULL THEN
        answer := '{}';
        SELECT array_agg(n) INTO taken FROM generate_series(1, cardinality(payloads)) n;
    ELSE
        DELETE FROM seen_id WHERE queue = q AND until <= t;
        SELECT array_agg(n) INTO taken FROM (
            SELECT DISTINCT ON (id) id, n FROM unnest(ids) WITH ORDINALITY AS given (id, n) ORDER BY id, n
        ) firsts
        WHERE NOT EXISTS (SELECT FROM seen_id s WHERE s.queue = q AND s.id = firsts.id)
            AND NOT EXISTS (SELECT FROM task WHERE queue = q AND uid = firsts.id);
        SELECT coalesce(array_agg(n - 1 ORDER BY n), '{}') INTO answer
            FROM generate_series(1, cardinality(payloads)) n WHERE NOT n = ANY (coalesce(taken, '{}'));
        INSERT INTO seen_id SELECT q, ids[n], t + id_window FROM unnest(taken) n
            ON CONFLICT (queue, id) DO UPDATE SET until = excluded.until;
    END IF;
    tail := places(q, cardinality(payloads));
    INSERT INTO task (queue, place, priority, payload, since, due, uid)
        SELECT q, tail + n, new_priority, payloads[n], t, starts, ids[n] FROM unnest(taken) n ORDER BY n;
    IF new_token IS NOT NULL THEN
        INSERT INTO token VALUES (q, new_token, t + token_window, answer)
            ON CONFLICT (queue, token) DO UPDATE SET until = excluded.until, left_out = excluded.left_out;
    END IF;
    PERFORM wake(q, starts);
    RETURN answer;
END $$;

-- The state in which it is, or null if it lives from now on.
CREATE FUNCTION join_queue(
    q text, me text, new_lease float8, new_poison float8[], new_dead_limit int8, new_dead_age float8
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    held queue := hold(q);
    known text;
    t float8;
BEGIN
    SELECT state INTO known FROM consumer WHERE queue = q AND name = me;
    IF FOUND THEN
        RETURN nullif(known, 'living');
    END IF;
    PERFORM close_gap(held, new_lease);
    t := clock();
    -- No request is a day late (R5).
    DELETE FROM consumer c WHERE queue = q AND ended < t - 86400
        AND NOT EXISTS (SELECT FROM task WHERE queue = q AND consumer = c.name);
    INSERT INTO consumer (queue, name, deadline, lease, poison, dead_limit, dead_age)
        VALUES (q, me, t + new_lease, new_lease, new_poison, new_dead_limit, new_dead_age);
    PERFORM wake(q, t + new_lease);  -- should it die at once, somebody has to look by then
    RETURN NULL;
END $$;

-- Indexes, from 1, of those that are unknown, fenced or closed.
CREATE FUNCTION renew(queues text[], names text[], seconds float8) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
    one record;
    known consumer;
    held queue;
    refused int[] := '{}';
BEGIN
    -- In one order, so that two keepers of the same queues never wait for each other, nor for a step with effects.
    IF cardinality(queues) > 1 THEN
        PERFORM gate(false);
    END IF;
    FOR one IN SELECT u.q, u.me, u.n FROM unnest(queues, names) WITH ORDINALITY AS u (q, me, n) ORDER BY 1, 3 LOOP
        SELECT * INTO held FROM queue WHERE name = one.q FOR UPDATE;
        SELECT * INTO known FROM consumer WHERE queue = one.q AND name = one.me AND state = 'living';
        IF NOT FOUND THEN
            refused := refused || one.n::int;
            CONTINUE;
        END IF;
        PERFORM close_gap(held, known.lease);
        UPDATE consumer SET deadline = greatest(deadline, clock() + seconds)
            WHERE queue = one.q AND name = one.me;
    END LOOP;
    RETURN refused;
END $$;

-- Settle one thing; returns the receipts that are lost. Kinds: 1 Done, 2 Back, 3 Again, 4 Park, 5 Dead.
CREATE FUNCTION settle(
    me consumer, kind int, first int8, last int8, new_payload bytea, delay float8, new_priority int,
    task_id text, reason bytea
) RETURNS int8[] LANGUAGE plpgsql AS $$
DECLARE
    q text := me.queue;
    t float8 := clock();
    gone task;
    number int8;
    hit int8[];
BEGIN
    IF kind = 1 THEN
        WITH these AS (
            DELETE FROM task WHERE queue = q AND consumer = me.name AND receipt BETWEEN first AND last RETURNING receipt
        ) SELECT array_agg(receipt) INTO hit FROM these;
    ELSIF kind = 2 THEN
        WITH these AS (
            SELECT place, receipt FROM task WHERE queue = q AND consumer = me.name AND receipt BETWEEN first AND last
        ), moved AS (
            UPDATE task SET consumer = NULL, receipt = NULL FROM these WHERE task.queue = q AND task.place = these.place
        ) SELECT array_agg(receipt) INTO hit FROM these;
    ELSIF kind IN (3, 4) THEN
        UPDATE task SET
            consumer = NULL, receipt = NULL, due = t + delay, place = places(q, 1) + 1,
            payload = CASE kind WHEN 3 THEN new_payload ELSE payload END,
            crashes = CASE kind WHEN 3 THEN 0 ELSE crashes END,
            note = CASE kind WHEN 3 THEN NULL ELSE note END,
            parked = CASE kind WHEN 3 THEN NULL ELSE coalesce(parked, t) END,
            priority = coalesce(new_priority, priority),
            since = CASE kind WHEN 3 THEN t ELSE since END
            WHERE queue = q AND consumer = me.name AND receipt = first;
        hit := CASE WHEN FOUND THEN ARRAY[first] END;
    ELSE
        DELETE FROM task WHERE queue = q AND consumer = me.name AND receipt = first RETURNING * INTO gone;
        IF FOUND THEN
            hit := ARRAY[first];
            UPDATE queue SET deaths = deaths + 1 WHERE name = q RETURNING deaths INTO number;
            INSERT INTO letter
                VALUES (q, number, task_id, coalesce(new_payload, gone.payload), reason, t, gone.priority);
            DELETE FROM letter WHERE queue = q AND (at < t - me.dead_age OR id <= (
                SELECT id FROM letter WHERE queue = q ORDER BY id DESC OFFSET me.dead_limit LIMIT 1
            ));
        END IF;
    END IF;
    RETURN ARRAY(
        SELECT n FROM generate_series(first, last) n
        WHERE NOT n = ANY (coalesce(hit, '{}')) AND NOT (kind = 1 AND me.settled @> n)
    );
END $$;

-- Give back what a consumer holds, or of that what lies between `low` and `high`, at the place it had.
CREATE FUNCTION give_back(q text, me text, low int8, high int8, counted int) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
    UPDATE task SET consumer = NULL, receipt = NULL, crashes = crashes + counted
        WHERE queue = q AND consumer = me AND (low IS NULL OR receipt BETWEEN low AND high);
    RETURN FOUND;
END $$;

-- Fence who is overdue, and take back what it holds, at most 1000 tasks in one step (R6).
CREATE FUNCTION take_back(q text, me text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
    t float8 := clock();
    room int8 := 1000;
    taken int8;
    one text;
    any_ bool := false;
BEGIN
    FOR one IN
        SELECT name FROM consumer c WHERE queue = q AND name <> me AND state <> 'closed' AND deadline < t
            AND (state = 'living' OR EXISTS (SELECT FROM task WHERE queue = q AND consumer = c.name))
    LOOP
        UPDATE consumer SET state = 'fenced', waiting = false, ended = coalesce(ended, t) WHERE queue = q AND name = one;
        UPDATE task SET consumer = NULL, receipt = NULL, crashes = crashes + 1 WHERE queue = q AND place IN (
            SELECT place FROM task WHERE queue = q AND consumer = one ORDER BY receipt LIMIT room
        );
        GET DIAGNOSTICS taken = ROW_COUNT;
        room := room - taken;
        any_ := any_ OR taken > 0;
    END LOOP;
    RETURN any_;
END $$;

-- Make ready what is due, at the tail, in the order in which it became due.
CREATE FUNCTION promote(q text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
    t float8 := clock();
    many int8;
    tail int8;
BEGIN
    SELECT count(*) INTO many FROM task WHERE queue = q AND due <= t;
    IF many = 0 THEN
        RETURN false;
    END IF;
    tail := places(q, many);
    UPDATE task SET place = tail + ripe.n, since = task.due, due = NULL
        FROM (
            SELECT place, row_number() OVER (ORDER BY due, place) AS n FROM task WHERE queue = q AND due <= t
        ) ripe
        WHERE task.queue = q AND task.place = ripe.place;
    RETURN true;
END $$;

-- Lease up to `most` ready tasks, no more bytes than `max_bytes` but at least one.
CREATE FUNCTION lease(q text, me text, base int8, most int, max_bytes int8) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
    WITH head AS (
        SELECT place, priority, octet_length(payload) AS size FROM task
        WHERE queue = q AND consumer IS NULL AND due IS NULL ORDER BY priority, place LIMIT most
    ), counted AS (
        SELECT place, row_number() OVER w AS n, sum(size) OVER w AS total FROM head WINDOW w AS (ORDER BY priority, place)
    )
    UPDATE task SET consumer = me, receipt = base + n - 1 FROM counted
        WHERE task.queue = q AND task.place = counted.place AND (total <= max_bytes OR n = 1);
    RETURN FOUND;
END $$;

-- When a task is due or another consumer overdue.
CREATE FUNCTION next_due(q text, me text) RETURNS float8 LANGUAGE sql AS $$
    SELECT least(
        (SELECT min(due) FROM task WHERE queue = q AND due IS NOT NULL),
        (SELECT min(deadline) FROM consumer c WHERE queue = q AND name <> me AND (state = 'living'
            OR state = 'fenced' AND EXISTS (SELECT FROM task WHERE queue = q AND consumer = c.name)))
    )
$$;

CREATE FUNCTION exchange(
    q text, my_name text, my_turn int8, my_base int8, kinds int[], firsts int8[], lasts int8[], new_payloads bytea[],
    delays float8[], priorities int[], task_ids text[], reasons bytea[], most int, max_bytes int8, holds_nothing bool,
    effects jsonb DEFAULT NULL, bodies bytea[] DEFAULT NULL,
    OUT lost int8[], OUT due float8, OUT board int8, OUT receipts int8[], OUT payloads bytea[], OUT crashes int[],
    OUT notes bytea[], OUT parked float8[]
) LANGUAGE plpgsql AS $$
DECLARE
    held queue;
    me consumer;
    moved bool := false;
    got bool := false;
    at float8;
    taken int8[];
BEGIN
    IF effects IS NOT NULL THEN
        PERFORM hold_for(q, effects);
    END IF;
    SELECT * INTO held FROM queue WHERE name = q FOR UPDATE;
    SELECT * INTO me FROM consumer WHERE queue = q AND name = my_name;
    IF NOT FOUND OR me.state <> 'living' THEN
        RAISE EXCEPTION 'consumer % of "%" is %', my_name, q, coalesce(me.state, 'unknown') USING ERRCODE = 'GA001';
    ELSIF my_turn NOT IN (me.turn, me.turn + 1) OR my_turn = 0 THEN
        RAISE EXCEPTION 'consumer % sent turn %; expected % or %', my_name, my_turn, me.turn, me.turn + 1
            USING ERRCODE = 'GA001';
    END IF;
    board := held.version;
    lost := me.lost;
    IF my_turn = me.turn + 1 THEN  -- else the answer of that turn again (R4)
        PERFORM close_gap(held, me.lease);
        lost := '{}';
        IF effects IS NOT NULL THEN
            taken := endings(q, my_name, effects, kinds, firsts, lasts);
        END IF;
        FOR i IN 1 .. cardinality(kinds) LOOP
            lost := lost || settle(
                me, kinds[i], firsts[i], lasts[i], new_payloads[i], delays[i], priorities[i], task_ids[i], reasons[i]
            );
            moved := moved OR kinds[i] IN (2, 3, 4);
        END LOOP;
        IF holds_nothing THEN
            moved := give_back(q, my_name, NULL, NULL, 0) OR moved;  -- R3
        END IF;
        IF cardinality(taken) > 0 THEN
            PERFORM leave(q, taken, effects, bodies);
        END IF;
        moved := take_back(q, my_name) OR moved;
        moved := promote(q) OR moved;
        IF most > 0 AND NOT held.paused THEN
            got := lease(q, my_name, my_base, most, max_bytes);
        END IF;
        at := next_due(q, my_name);
        UPDATE consumer SET turn = my_turn, base = my_base, lost = exchange.lost, waiting = NOT got AND most > 0, told = at
            WHERE queue = q AND name = my_name;
        IF moved AND NOT held.paused THEN
            PERFORM tell(q);
        END IF;
        me.base := my_base;
    ELSE
        at := next_due(q, my_name);
    END IF;
    due := greatest(at - clock(), 0);
    SELECT array_agg(d.receipt ORDER BY d.receipt), array_agg(d.payload ORDER BY d.receipt),
            array_agg(d.crashes ORDER BY d.receipt), array_agg(d.note ORDER BY d.receipt),
            array_agg(coalesce(clock() - d.parked, 0) ORDER BY d.receipt)
        INTO receipts, payloads, crashes, notes, parked
        FROM task d WHERE d.queue = q AND d.consumer = my_name AND d.receipt >= me.base;
END $$;

CREATE FUNCTION release(
    q text, my_name text, firsts int8[], lasts int8[], suspects int8[], notes bytea[], low int8, high int8, close_ bool,
    effects jsonb DEFAULT NULL, bodies bytea[] DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    me consumer;
    t float8;
    delay float8;
    struck task;
    done int8multirange;
    taken int8[];
BEGIN
    IF effects IS NOT NULL THEN
        PERFORM hold_for(q, effects);
        taken := endings(q, my_name, effects, NULL, firsts, lasts);
    END IF;
    PERFORM hold(q);
    t := clock();
    SELECT * INTO me FROM consumer WHERE queue = q AND name = my_name;
    IF NOT FOUND THEN
        IF close_ THEN  -- a join that comes late is to find that it is over (R5)
            INSERT INTO consumer (queue, name, state, deadline, ended) VALUES (q, my_name, 'closed', 0, t);
        END IF;
        RETURN;
    END IF;
    FOR i IN 1 .. cardinality(firsts) LOOP
        WITH gone AS (
            DELETE FROM task WHERE queue = q AND consumer = my_name AND receipt BETWEEN firsts[i] AND lasts[i]
            RETURNING receipt
        ) SELECT range_agg(int8range(receipt, receipt, '[]')) INTO done FROM gone;
        me.settled := me.settled + coalesce(done, '{}');
    END LOOP;
    FOR i IN 1 .. cardinality(suspects) LOOP
        SELECT * INTO struck FROM task WHERE queue = q AND consumer = my_name AND receipt = suspects[i]
            AND (low IS NULL OR receipt BETWEEN low AND high);
        CONTINUE WHEN NOT FOUND;
        delay := coalesce(me.poison[least(struck.crashes + 1, cardinality(me.poison))], 0);
        UPDATE task SET consumer = NULL, receipt = NULL, crashes = struck.crashes + 1,
            note = CASE octet_length(notes[i]) WHEN 0 THEN note ELSE notes[i] END,
            due = CASE WHEN delay > 0 THEN t + delay END,
            place = CASE WHEN delay > 0 THEN places(q, 1) + 1 ELSE place END
            WHERE queue = q AND place = struck.place;
    END LOOP;
    PERFORM give_back(q, my_name, low, high, 0);
    UPDATE consumer SET settled = me.settled, state = CASE WHEN close_ THEN 'closed' ELSE state END,
        ended = CASE WHEN close_ THEN t ELSE ended END, waiting = waiting AND NOT close_
        WHERE queue = q AND name = my_name;
    IF cardinality(taken) > 0 THEN
        PERFORM leave(q, taken, effects, bodies);
    END IF;
    PERFORM tell(q);
END $$;

CREATE FUNCTION purge(q text) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE many int8;
BEGIN
    PERFORM hold(q);
    DELETE FROM task WHERE queue = q AND consumer IS NULL;
    GET DIAGNOSTICS many = ROW_COUNT;
    RETURN many;
END $$;

CREATE FUNCTION revive(q text, ids int8[], payloads bytea[]) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    t float8;
    many int8;
    tail int8;
BEGIN
    PERFORM hold(q);
    t := clock();
    tail := places(q, cardinality(ids));
    WITH gone AS (DELETE FROM letter WHERE queue = q AND id = ANY (ids) RETURNING *)
    INSERT INTO task (queue, place, priority, payload, since)
        SELECT q, tail + n, gone.priority, coalesce(payloads[n], gone.payload), t
        FROM gone JOIN unnest(ids) WITH ORDINALITY AS wanted (id, n) USING (id) ORDER BY n;
    GET DIAGNOSTICS many = ROW_COUNT;
    PERFORM tell(q);
    RETURN many;
END $$;

-- Forget what has had its time, but for `keep`, which the caller is about to write.
CREATE FUNCTION sweep(keep text) RETURNS void LANGUAGE sql AS $$
    DELETE FROM presence WHERE name IN (
        SELECT name FROM presence WHERE until <= clock() AND name <> keep FOR UPDATE SKIP LOCKED);
    DELETE FROM key WHERE name IN (SELECT name FROM key WHERE until <= clock() FOR UPDATE SKIP LOCKED);
    DELETE FROM lock WHERE name IN (SELECT name FROM lock WHERE until <= clock() FOR UPDATE SKIP LOCKED);
$$;
