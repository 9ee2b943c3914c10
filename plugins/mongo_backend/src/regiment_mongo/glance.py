"""Looking through a queue, page by page, and counting many at once. Nothing here changes anything.

A server finds no bytes in a payload (its operators for text refuse binary data), so who asks for payloads that hold something is sent all
that one look goes through: at most `LOOKED_AT` tasks, and about `LOOK_BYTES` of payloads.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from regiment.contracts import LOOKED_AT, STEP, Counts, Seen
from regiment_mongo.base import Session
from regiment_mongo.layout import Document
from regiment_mongo.ledger import LIVE
from regiment_mongo.moments import date
from regiment_mongo.ruling import LEAST, Ruled
from regiment_mongo.spots import fetched

LOOK_BYTES = 32 * 1024 * 1024
"""Bytes of payloads after which one look ends."""

ORDERS = {"ready": ("p", "s"), "delayed": ("at", "d")}
"""By what the tasks of a state are sorted; the index has the state's name."""

FIELDS: Document = dict.fromkeys(("p", "s", "w", "at", "d", "b", "c", "n", "k"), 1)
"""What is read of a task."""


FIRST = 10_000
"""Tasks in lanes that are looked at for the oldest one."""


class Looked(NamedTuple):
    """A task, and where a look goes on behind it."""

    task: Seen
    after: str


def place(state: str, id: Any, mark: int) -> str:
    """The place of a waiting task: it changes whenever the task's state or its turn does."""
    return f"{state[0]}{id}.{mark}"


def placed(task: Document) -> str | None:
    """The place of this document; None if it is no task, but the token of one."""
    if "s" in task:
        return place("ready", task["_id"], task["s"])
    return place("delayed", task["_id"], task["at"]) if "at" in task else None


class Glances(Ruled):
    """What an operator sees."""

    def look(
        self,
        queue: str,
        state: Literal["ready", "delayed", "leased"],
        limit: int,
        after: str | None,
        holding: bytes,
        most: int = LOOKED_AT,
    ) -> tuple[list[Looked], str | None]:
        """Tasks in their order, and where to go on; None at the end."""
        if state not in ("ready", "delayed", "leased"):
            raise ValueError(f"state is {state!r}; expected ready, delayed or leased")
        end = time.monotonic() + self._timeout / 2
        found: list[Looked] = []
        if limit <= 0:
            return found, after
        wanted = most if holding else min(limit, most)
        walk = self._held(queue, after) if state == "leased" else self._waiting(queue, state, after, wanted + 1)
        size, last = 0, after
        for number, one in enumerate(walk):
            if len(found) == limit or number == most or size > LOOK_BYTES or (number and time.monotonic() > end):
                return found, last
            size, last = size + len(one.task.payload), one.after
            if holding in one.task.payload:
                found.append(one)
        return found, None

    def _waiting(
        self, queue: str, state: Literal["ready", "delayed"], after: str | None, most: int
    ) -> Iterator[Looked]:
        """Where several tasks have the same turn, the cursor names those of them that were seen."""
        first, second = ORDERS[state]
        rest: Document = {"s": {"$gte": 0}} if state == "ready" else {}
        parts: list[Document] = [{first: {"$gte": LEAST}} | rest]
        turn: tuple[Any, int] = (0, 0)
        seen = list[str]()
        if after is not None:
            turn, seen = _cursor(after)
            parts = [{first: turn[0], second: {"$gte": turn[1]}}, {first: {"$gt": turn[0]}} | rest]
        if state == "ready" and (lanes := self.by_priority(queue)) != [{"$gte": LEAST}]:
            parts = _in_lanes(lanes, turn if after is not None else None)
        now, out = self.server_time(), set(seen)
        for part in parts:
            found = self._tasks.find({"q": queue, **part}, FIELDS, hint=state, batch_size=STEP, limit=most + len(out))
            for task in found.sort([(first, 1), (second, 1)]):
                id, its = str(task["_id"]), (task[first], task[second])
                if id in out:
                    continue
                seen = [*seen, id] if its == turn else [id]
                turn = its
                due = max(0.0, (task["at"] - now) / 1000) if state == "delayed" else 0.0
                # A task that came back keeps its time of waiting; when that was is not known.
                since = (now - task["w"]) / 1000 if "w" in task and not task.get("c") else None
                mark = task["at"] if state == "delayed" else task["s"]
                about = _seen(place(state, id, mark), fetched(task), state, now, due, since)
                yield Looked(about, f"{json.dumps(turn[0])} {turn[1]} {','.join(seen)}")

    def _held(self, queue: str, after: str | None) -> Iterator[Looked]:
        consumer, receipt = "", 0
        if after is not None:
            number, _, consumer = after.partition(" ")
            receipt = _number(number, after)
        now = self.server_time()
        holders = self._consumers.find({"q": queue, "h": {"$gt": 0}}, {"_id": 1}, hint="deadline")
        for name in sorted(document["_id"] for document in holders):
            if after is not None and name < f"{queue} {consumer}":
                continue
            document = self._consumers.find_one({"_id": name}, {"held": 1}) or {"held": []}
            holder = name.removeprefix(f"{queue} ")
            for item in sorted(document["held"][1:], key=lambda item: int(item["r"])):
                if holder == consumer and after is not None and item["r"] <= receipt:
                    continue
                cursor = f"{item['r']} {holder}"
                about = _seen(f"l{cursor}", item, "leased", now)
                yield Looked(about._replace(consumer=holder, receipt=item["r"]), cursor)

    # Counting

    def counts_many(self, queues: Sequence[str]) -> Sequence[Counts]:
        """Of one moment where there are transactions. Who reads one collection after the other misses what moves
        meanwhile, and "nothing is here" is an answer that ends a burst.
        """
        return self.atomically(partial(self._counts, queues, self.server_time(), self.has_lanes())) if queues else []

    def _counts(self, queues: Sequence[str], now: int, lanes: bool, session: Session) -> Sequence[Counts]:
        these: Any = {"$in": list(dict.fromkeys(queues))} if len(queues) > 1 else queues[0]
        # Of one queue nobody has to read the name in each entry: half the time (measured).
        by: Any = "$q" if len(queues) > 1 else {"$literal": queues[0]}
        rows = {
            row["_id"]: row for row in self._queues.find({"_id": these}, {"shift": 1, "paused": 1}, session=session)
        }

        def many(store: Any, query: Document, hint: str | None = None) -> dict[str, int]:
            stages = [{"$match": {"q": these, **query}}, {"$group": {"_id": by, "n": {"$sum": 1}}}]
            options = {} if hint is None else {"hint": hint}
            return {found["_id"]: found["n"] for found in store.aggregate(stages, session=session, **options)}

        # Without a transaction the order misses nothing that changes its place once: due tasks go from the delayed to
        # the ready ones, and the held are asked for before and after both.
        held = self._consuming(these, session)
        delayed = many(self._tasks, {"at": {"$gte": 0}}, "delayed")
        ready = many(self._tasks, {"p": {"$gte": LEAST}, "s": {"$gte": 0}}, "ready")
        in_lanes = many(self._tasks, {"p": {"$gte": ""}, "s": {"$gte": 0}}, "ready") if lanes else {}
        for queue, number in in_lanes.items():
            ready[queue] = ready.get(queue, 0) + number
        again = held if session is not None else self._consuming(these, session)
        oldest = self._oldest(these, session) if ready else {}
        for queue, begun in self._oldest_in_lanes(these, session).items() if in_lanes else ():
            oldest[queue] = min(begun, oldest.get(queue, begun))
        dead = many(self._dead, {"ex": {"$gt": date(now)}})
        answer = []
        for queue in queues:
            row, alive = rows.get(queue, {}), held.get(queue, {}).get("until", ())
            since = oldest.get(queue) if queue in ready else None
            answer.append(
                Counts(
                    ready=ready.get(queue, 0),
                    delayed=delayed.get(queue, 0),
                    leased=max(int(found.get(queue, {}).get("n", 0)) for found in (held, again)),
                    dead=dead.get(queue, 0),
                    oldest=None if since is None else max(0.0, (now - since) / 1000),
                    consumers=sum(until >= now - row.get("shift", 0) for until in alive),
                    paused=bool(row.get("paused", False)),
                )
            )
        return answer

    def _consuming(self, queues: Any, session: Session) -> dict[str, Document]:
        """By queue: how many tasks are held, and until when each living consumer has its lease."""
        until = {"$push": {"$cond": [{"$eq": ["$st", LIVE]}, "$until", "$$REMOVE"]}}
        stages = [
            {"$match": {"q": queues, "st": {"$lt": 2}}},
            {"$group": {"_id": "$q", "n": {"$sum": "$h"}, "until": until}},
        ]
        return {found["_id"]: found for found in self._consumers.aggregate(stages, session=session, hint="queue")}

    def _oldest_in_lanes(self, queues: Any, session: Session) -> dict[str, int]:
        """The same of the first `FIRST` tasks in lanes."""
        stages: list[Document] = [
            {"$match": {"q": queues, "p": {"$gte": ""}, "s": {"$gte": 0}}},
            {"$limit": FIRST},
            {"$group": {"_id": "$q", "w": {"$min": "$w"}}},
        ]
        return {found["_id"]: found["w"] for found in self._tasks.aggregate(stages, session=session, hint="ready")}

    def _oldest(self, queues: Any, session: Session) -> dict[str, int]:
        """By queue: since when the longest waiting of the first ready tasks of each priority waits."""
        same = {"$and": [{"$eq": ["$q", "$$q"]}, {"$eq": ["$p", "$$p"]}]}
        first = [
            {"$match": {"s": {"$gte": 0}, "$expr": same}},
            {"$sort": {"s": 1}},
            {"$limit": 1},
            {"$project": {"w": 1}},
        ]
        stages: list[Document] = [
            {"$match": {"_id": queues}},
            {"$project": {"ps": 1}},
            {"$unwind": "$ps"},
            {"$lookup": {"from": self._tasks.name, "let": {"q": "$_id", "p": "$ps"}, "pipeline": first, "as": "t"}},
            {"$unwind": "$t"},
            {"$group": {"_id": "$_id", "w": {"$min": "$t.w"}}},
        ]
        return {found["_id"]: found["w"] for found in self._queues.aggregate(stages, session=session)}


def _seen(place: str, task: Document, state: Any, now: int, due: float = 0.0, since: float | None = None) -> Seen:
    parked = max(0.001, (now - task["k"]) / 1000) if "k" in task else 0.0
    waited = None if since is None else max(0.0, since)
    return Seen(place, task["b"], state, task["p"], due, waited, task.get("c", 0), task.get("n"), parked)


def _in_lanes(parts: list[Any], turn: tuple[Any, int] | None) -> list[Document]:
    """The parts of a search through lanes, priority by priority; `turn`: from there on."""
    begun = turn is None
    found: list[Document] = []
    for part in parts:
        if begun or turn is None:
            found.append({"p": part, "s": {"$gte": 0}})
        elif isinstance(part, int) and part == turn[0]:
            begun = True
            found.append({"p": part, "s": {"$gte": turn[1]}})
        elif not isinstance(part, int) and isinstance(turn[0], str) and part["$gte"] <= turn[0] < part["$lt"]:
            begun = True
            found += [{"p": turn[0], "s": {"$gte": turn[1]}}, {"p": {**part, "$gt": turn[0]}, "s": {"$gte": 0}}]
    return found


def _cursor(after: str) -> tuple[tuple[Any, int], list[str]]:
    try:
        first, end = json.JSONDecoder().raw_decode(after)
    except ValueError:
        first, end = None, 0
    second, _, seen = after[end + 1 :].partition(" ")
    if not isinstance(first, (int, str)):
        raise ValueError(f"after is {after!r}; expected what the last look at this queue answered")
    return (first, _number(second, after)), seen.split(",")


def _number(text: str, after: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"after is {after!r}; expected what the last look at this queue answered") from None
