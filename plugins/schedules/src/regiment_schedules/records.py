"""What stands in the store: an index of names, and for each schedule a row and the task that is pushed.

A row's version is the turn (T1): who fires writes it, and pushes, only if it is as it was read. Every change but a firing goes
through the index, whose rank grows by one: who follows it with a higher rank hears of the next change.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from regiment.codec import LONGEST_ID, read_head
from regiment.contracts import Keep, Record, Ticket
from regiment_schedules.ticks import Ticks

INDEX = "schedules"
MOST = 10_000
"""Schedules of one queue."""
BULK = 500
MOST_GONE = 1000


def row_key(name: str) -> str:
    """Where the row of a schedule stands."""
    return f"schedule:{name}"


def body_key(name: str) -> str:
    """Where its task stands."""
    return f"schedule:{name}:task"


def calendar_key(name: str) -> str:
    """Where the days of a calendar stand."""
    return f"calendar:{name}"


class Index:
    """The names of all schedules of a queue, and who has removed which of those that came from code: a release that no longer
    has them, or (`removed`: the rank of the index since when) somebody by hand.
    """

    def __init__(self, record: Record | None) -> None:
        data = {} if record is None else json.loads(record.value)
        self.version, self.rank = (0, 0) if record is None else (record.version, record.rank)
        self.names: set[str] = set(data.get("names", ()))
        self.gone: dict[str, dict[str, Any]] = data.get("gone", {})

    def remove(self, name: str, release: str, now: float, by: str) -> None:
        """Note that somebody has removed one that code declares, while releases up to this one lived."""
        self.gone.pop(name, None)  # the latest come last
        self.gone[name] = {"release": release, "started": now, "by": by, "removed": self.rank + 1}

    def keep(self) -> Keep:
        """The index as it is to be next; its rank tells followers."""
        gone = dict(list(self.gone.items())[-MOST_GONE:])
        value = json.dumps({"names": sorted(self.names), "gone": gone}, separators=(",", ":")).encode()
        return Keep(INDEX, value, None, self.rank + 1)


class Row:
    """One schedule as it stands in the store.

    `data` has spec, task, digest (of the task that is pushed), source ("code" or "store"), target, release, started and by (of the tree that
    wrote it), tz (release of the zone data that fired last) with armed (who that was), last, paused, fired, skipped.
    """

    __slots__ = ("_text", "name", "version")

    def __init__(self, name: str, version: int, data: Mapping[str, Any] | bytes) -> None:
        self.name, self.version = name, version
        self._text = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()

    @property
    def data(self) -> dict[str, Any]:
        """What it says, read anew: a steward holds thousands of rows, and looks at one now and then."""
        found: dict[str, Any] = json.loads(self._text)
        return found

    @property
    def spec(self) -> dict[str, Any]:
        """What it says."""
        found: dict[str, Any] = self.data["spec"]
        return found

    @property
    def last(self) -> float:
        """The tick up to which everything is done."""
        return float(self.data["last"])

    def keep(self, **changes: Any) -> Keep:
        """The row, changed."""
        value = json.dumps({**self.data, **changes}, separators=(",", ":")).encode()
        return Keep(row_key(self.name), value, None)


def row_of(name: str, record: Record | None) -> Row | None:
    """The row of a record."""
    if record is None:
        return None
    row = Row(name, record.version, record.value)
    if not isinstance(row.data, dict):
        raise ValueError(f"it is {record.value[:60]!r}")
    return row


def fresh(spec: Mapping[str, Any], task: str, digest: str, now: float, **more: Any) -> dict[str, Any]:
    """The data of a schedule that is seen for the first time: its ticks count from now on."""
    first = {"last": now, "paused": None, "fired": 0, "skipped": 0, "tz": "", "armed": None}
    return {"spec": dict(spec), "task": task, "digest": digest, **first, **more}


def calendars(spec: Mapping[str, Any]) -> list[str]:
    """The calendars that its days off name."""
    return [day.partition(":")[2] for day in spec["except"] if day.startswith("calendar:")]


def ticks_of(spec: Mapping[str, Any], days: Mapping[str, Sequence[str]]) -> Ticks:
    """Its ticks; `LookupError` for a calendar that is not there, `ConfigError` for a zone."""
    off = [day for day in spec["except"] if not day.startswith("calendar:")]
    for name in calendars(spec):
        off += days[name]
    return Ticks(spec["cron"], spec["every"], tz=spec["tz"], start=spec["start"], end=spec["end"], off=off)


def tickets(spec: Mapping[str, Any], id: str) -> Sequence[Ticket] | None:
    """The ticket of its task with this id, if a plugin has given it one."""
    return [Ticket(*spec["ticket"])._replace(id=id)] if spec.get("ticket") else None


def renamed(payload: bytes, id: str) -> bytes:
    """The message of a task with another id: only head and checksum change, so no serializer is needed (T11)."""
    head = read_head(payload)
    name = id.encode()
    if not 0 < len(name) <= LONGEST_ID:
        raise ValueError(f"the id {id!r} has {len(name)} bytes; expected 1 to {LONGEST_ID}")
    start = payload[: head.body - len(head.task_id.encode()) - 1]
    data = start + bytes([len(name)]) + name + payload[head.body : -4]
    return data + zlib.crc32(data).to_bytes(4, "little")
