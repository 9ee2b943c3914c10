"""A task that was seen without leasing it, as data and as lines for people; secrets among its arguments are masked."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

from regiment.codec import Codec
from regiment.contracts.steer import Seen
from regiment.errors import DecodeError
from regiment.task import PRIORITIES, Task
from regiment_cli.printing import printable
from regiment_cli.text import age
from regiment_console.masks import hidden
from regiment_console.steering import id_of
from regiment_console.store import shown_name

NAMES = {number: name for name, number in PRIORITIES.items()}
"""Number of a priority -> its name."""
HEAD = ("id", "queue", "task", "state", "priority", "since", "due", "runs", "worker")


def decoded(seen: Seen, queue: str, codec: Codec) -> Task | DecodeError:
    """The task, or why it cannot be read here."""
    try:
        return codec.decode(seen.payload, queue)
    except DecodeError as error:
        return error


def place_of(consumer: str) -> tuple[str, int] | None:
    """Host (its first 20 characters) and pid in the name of a consumer; None for a name that was made otherwise."""
    host, _, rest = consumer.rpartition(".")[0].rpartition(".")
    return (host, int(rest)) if host and rest.isdigit() else None


def note_of(seen: Seen) -> dict[str, Any]:
    """What the end of its last worker left with it; empty if nothing that can be read."""
    try:
        found = json.loads(seen.note) if seen.note else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def state_of(seen: Seen, task: Task | DecodeError) -> str:
    """ready, delayed or leased; of what waits: parked if no worker knows it, retrying if it ran before."""
    if seen.state == "leased":
        return "leased"
    if seen.parked:
        return "parked"
    return "retrying" if seen.count or (isinstance(task, Task) and task.run_count) else seen.state


def record(queue: str, seen: Seen, task: Task | DecodeError) -> dict[str, Any]:
    """A task as a flat record. Times are seconds: `since` ago, `due` from now, `parked` ago."""
    known = task if isinstance(task, Task) else None
    place = place_of(seen.consumer) if seen.consumer else None
    return {
        "id": shown_name(known.id if known else id_of(seen.payload) or "?"),
        "queue": shown_name(queue),
        "name": (known.name or shown_name(queue)) if known else "?",
        "state": state_of(seen, task),
        "priority": NAMES.get(seen.priority, str(seen.priority)),
        "since": None if seen.since is None else round(seen.since, 3),
        "due": round(seen.due, 3) if seen.state == "delayed" else None,
        "runs": known.run_count if known else None,
        "ends": seen.count,
        "parked": round(seen.parked, 3) or None,
        "worker": f"{place[0]}:{place[1]}" if place else seen.consumer,
    }


def row(one: dict[str, Any]) -> tuple[Any, ...]:
    """The cells of a record, as `HEAD` names them."""
    due = None if one["due"] is None else f"in {age(one['due'])}"
    since = None if one["since"] is None else age(one["since"])
    front = (one["id"], one["queue"], one["name"], one["state"], one["priority"])
    return (*front, since, due, one["runs"], one["worker"])


def in_full(queue: str, seen: Seen, task: Task | DecodeError, *, reveal: bool = False) -> dict[str, Any]:
    """Everything that is known of a task."""
    found = {**record(queue, seen, task), "bytes": len(seen.payload), "last_end": note_of(seen) or None}
    if isinstance(task, DecodeError):
        return {**found, "unreadable": str(task)}
    found |= {
        "pushed": task.date,
        "expires": task.expires,
        "trace_id": task.trace_id,
        "headers": hidden(task.headers) if task.headers and not reveal else task.headers,
        "kwargs": task.kwargs if reveal else hidden(task.kwargs),
    }
    return found


def page(one: dict[str, Any]) -> str:
    """A task in full as lines of text."""
    lines = [f"task {printable(one['id'])}: {printable(one['name'])}"]

    def add(name: str, value: Any) -> None:
        if value not in (None, "", {}, []):
            lines.append(f"  {name:<12}{printable(value)}")

    add("queue", one["queue"])
    add("state", one["state"])
    add("priority", one["priority"])
    add("pushed", moment(one.get("pushed")))
    add("due", None if one["due"] is None else f"in {age(one['due'])}")
    add("since", None if one["since"] is None else f"{age(one['since'])} ago")
    add("runs", one["runs"])
    add("ended", f"{one['ends']} workers" if one["ends"] > 1 else "a worker" if one["ends"] else None)
    end = one["last_end"] or {}
    add("last end", end.get("reason") or end.get("kind"))
    add("parked", None if one["parked"] is None else f"{age(one['parked'])} ago")
    add("worker", one["worker"])
    add("expires", moment(one.get("expires")))
    add("trace id", one.get("trace_id"))
    add("headers", one.get("headers"))
    add("unreadable", one.get("unreadable"))
    if one.get("kwargs"):
        lines.append("  arguments")
        lines += [f"    {printable(name)} = {printable(repr_of(value))}" for name, value in one["kwargs"].items()]
    return "\n".join(lines)


def repr_of(value: Any) -> str:
    """A value as text, also one without a repr."""
    try:
        return repr(value)
    except Exception as error:
        return f"unreadable: a {type(value).__name__}: {type(error).__name__}"


def moment(at: float | None) -> str | None:
    """A time of day in words, in UTC, with how long ago that is or how far away."""
    if at is None:
        return None
    try:
        text = datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
    except (ValueError, OverflowError, OSError, TypeError):
        return f"unreadable: {str(at)[:40]}"
    away = at - time.time()
    return f"{text} (in {age(away)})" if away > 0 else f"{text} ({age(-away)} ago)"
