-- The extra `steer`: changes to what waits, the notice board, and the account of acts. Each is one step behind the queue's row.

-- Delete the tasks at these places, or move them; returns which they were, from 1. A place is a number that comes once in a queue,
-- and whether the task was delayed there. Who changes many calls this many times, so that others come in between.
CREATE FUNCTION steer(q text, numbers int8[], delayed bool[], dropped bool, new_priority int, delay float8)
RETURNS int8[] LANGUAGE plpgsql AS $$
DECLARE
    t float8;
    tail int8;
    answer int8[];
BEGIN
    PERFORM FROM queue WHERE name = q FOR UPDATE;
    IF NOT FOUND THEN
        RETURN '{}';
    END IF;
    t := clock();
    IF dropped THEN
        WITH gone AS (
            DELETE FROM task USING unnest(numbers, delayed) WITH ORDINALITY AS w (place, delayed, n)
            WHERE task.queue = q AND task.place = w.place AND consumer IS NULL AND (due IS NOT NULL) = w.delayed
            RETURNING w.n, uid
        ), freed AS (
            DELETE FROM seen_id USING gone WHERE seen_id.queue = q AND seen_id.id = gone.uid
        ) SELECT array_agg(n) INTO answer FROM gone;
    ELSE
        tail := places(q, cardinality(numbers));
        WITH moved AS (
            UPDATE task SET
                place = tail + w.n,
                priority = coalesce(new_priority, priority),
                due = CASE WHEN delay IS NULL THEN due WHEN delay > 0 THEN t + delay END,
                since = CASE WHEN due IS NOT NULL AND delay <= 0 THEN t ELSE since END
            FROM unnest(numbers, delayed) WITH ORDINALITY AS w (place, delayed, n)
            WHERE task.queue = q AND task.place = w.place AND consumer IS NULL AND (due IS NOT NULL) = w.delayed
            RETURNING w.n
        ) SELECT array_agg(n) INTO answer FROM moved;
        PERFORM tell(q);
    END IF;
    RETURN coalesce(answer, '{}');
END $$;

-- Change notices; the version is a new one if anything is other than it was.
CREATE FUNCTION post(
    q text, pause bool, cancel text[], clear text[], told jsonb, most int, age float8
) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    held queue := hold(q);
    t float8 := clock();
    before text[];
    ids text[];
    number int8;
BEGIN
    DELETE FROM notice WHERE queue = q AND until <= t;
    before := ARRAY(SELECT id FROM notice WHERE queue = q ORDER BY id);
    INSERT INTO notice SELECT q, id, t + age FROM (SELECT DISTINCT unnest(cancel) EXCEPT SELECT unnest(clear)) AS given (id)
        ON CONFLICT (queue, id) DO UPDATE SET until = excluded.until;
    DELETE FROM notice WHERE queue = q AND id = ANY (clear);
    ids := ARRAY(SELECT id FROM notice WHERE queue = q ORDER BY id);
    IF cardinality(cancel) > 0 AND cardinality(ids) > most THEN
        RAISE EXCEPTION 'the board of "%" would have % cancelled ids; expected at most %: clear what is over', q, cardinality(ids), most;
    END IF;
    told := jsonb_strip_nulls(held.orders || told);
    IF (coalesce(pause, held.paused), ids, told) IS NOT DISTINCT FROM (held.paused, before, held.orders) THEN
        RETURN held.version;
    END IF;
    UPDATE queue SET paused = coalesce(pause, paused), orders = told, version = version + 1
        WHERE name = q RETURNING version INTO number;
    PERFORM wake(q, NULL);
    RETURN number;
END $$;

CREATE FUNCTION keep_act(q text, new_entry bytea, new_token text, most int, age float8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE t float8;
BEGIN
    PERFORM hold(q);
    t := clock();
    DELETE FROM act WHERE queue = q AND at < t - age;
    INSERT INTO act VALUES (q, nextval('acting'), t, new_token, new_entry) ON CONFLICT (queue, token) DO NOTHING;
    DELETE FROM act WHERE queue = q AND id <= (SELECT id FROM act WHERE queue = q ORDER BY id DESC OFFSET most LIMIT 1);
END $$;
