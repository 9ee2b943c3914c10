"""`regiment results`: what a task returned, waiting for it, and deleting it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from regiment.broker import Broker, effective
from regiment.contracts import Record
from regiment.errors import RegimentError
from regiment_cli.options import json_option
from regiment_cli.printing import put, say
from regiment_cli.reaching import chosen, where_options
from regiment_cli.terminal import Duration, show_json
from regiment_cli.text import table
from regiment_cli.verbs import Group
from regiment_results.errors import ResultUnreadable
from regiment_results.handles import Handle, made
from regiment_results.records import FINAL, Note, Outcome, id_of, key_of

F = TypeVar("F", bound=Callable[..., Any])
IDLE = "An idle queue is only found by --queue or --app"
UNREADABLE = "unreadable"
WIDEST = 60
"""Characters of a value or an error in a list."""


@click.group("results", cls=Group)
def command() -> None:
    """Results: list, show, wait for, forget (without a verb: list). ID is that of a task."""


_where = where_options(
    "Look at the store that this worker uses.", "Look in this queue only.  [default: those of -A, else all]"
)


def _options(function: F) -> F:
    """Which task, and where."""
    return click.argument("id")(_where(function))


@command.command("list")
@_where
@click.option(
    "-n", "limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many of a queue."
)
@json_option
def list_all(queue: str | None, app: str | None, connector: str | None, limit: int, as_json: bool) -> None:
    """List what is kept of tasks, the newest first: of queues with Results(listed=True)."""
    broker, queues = chosen(queue, app, connector)
    with broker.connector() as opened:
        store = effective(opened, "regiment results needs")
        say(f"store: {store.describe()}")
        found = [
            _record(handle, handle.of(record))
            for one in queues or store.queues()
            for handle, record in _listed(store, _reader(broker, one, app, connector), one, limit)
        ]
    if as_json:
        show_json(found)
    elif not found:
        say("no results are listed. Queues with Results(listed=True) list theirs; any is shown by its ID. " + IDLE)
    else:
        put(table([_row(one) for one in found], ("id", "queue", "state", "ended", "value or error")))


def _listed(store: Any, broker: Broker, queue: str, limit: int) -> list[tuple[Handle[Any], Record]]:
    """The handles of what a queue lists, and their records."""
    keys = [key for key in store.listed(queue, limit) if key.startswith(key_of("")) and "\t" not in key]
    records = store.records(queue, keys) if keys else []
    return [
        (_handle(broker, id_of(key), queue), record)
        for key, record in zip(keys, records, strict=True)
        if record is not None
    ]


def _row(record: dict[str, Any]) -> tuple[Any, ...]:
    error, shown = record.get("error"), ""
    if record["state"] == "success":
        shown = json.dumps(record["value"], default=repr, ensure_ascii=False)
    elif record["state"] == UNREADABLE:
        shown = record["why"]
    elif error:
        shown = f"{error['type']}: {error['message']}"
    ended = record.get("ended")
    return record["id"], record["queue"], record["state"], ended and _moment(ended), shown[:WIDEST] or None


@command.command("show")
@_options
@json_option
def show(id: str, queue: str | None, app: str | None, connector: str | None, as_json: bool) -> None:
    """Show the state of a task, and how it ended."""
    handle = _find(id, queue, app, connector)
    _print(handle, as_json)


@command.command("wait")
@_options
@click.option("--timeout", type=Duration(), default=None, help="Wait at most so long: 25s, 5m.  [default: no end]")
@json_option
def wait(
    id: str, queue: str | None, app: str | None, connector: str | None, timeout: float | None, as_json: bool
) -> None:
    """Wait until a task has ended, and show how; exit code 1 if it did not succeed."""
    handle = _find(id, queue, app, connector)
    handle.join(timeout)
    if not _print(handle, as_json):
        raise SystemExit(1)


@command.command("forget")
@_options
def forget(id: str, queue: str | None, app: str | None, connector: str | None) -> None:
    """Delete what is kept of a task."""
    handle = _find(id, queue, app, connector)
    handle.forget()
    say(f'forgot what was kept of task {id} of "{handle.queue}"')


def _find(id: str, queue: str | None, app: str | None, connector: str | None) -> Handle[Any]:
    """The handle of a task of which something is kept."""
    broker, queues = chosen(queue, app, connector)
    with broker.connector() as opened:
        store = effective(opened, "regiment results needs")
        where = store.describe()
        say(f"store: {where}")
        queues = queues or list(store.queues())
        found = [one for one in queues if store.records(one, [key_of(id)])[0] is not None]
    if not found:
        raise RegimentError(
            f"nothing is known of a task {id} in {where} ({', '.join(queues) or 'no queues'}): it was never pushed there, its "
            f"queue keeps no results, or their time to live is over. {IDLE}"
        )
    return _handle(_reader(broker, found[0], app, connector), id, found[0])


def _reader(broker: Broker, queue: str, app: str | None, connector: str | None) -> Broker:
    """The broker that reads what this queue has kept: its own, where an application says which that is."""
    return chosen(queue, app, connector)[0] if app and broker.config.name != queue else broker


def _handle(broker: Broker, id: str, queue: str) -> Handle[Any]:
    return made(broker, FINAL, "", True, id, queue, True)


def _print(handle: Handle[Any], as_json: bool) -> bool:
    """Show what is kept; True if the task has succeeded."""
    found = handle.look()
    record = _record(handle, found)
    if as_json:
        show_json(record)
    else:
        put("\n".join(_lines(record)))
    return isinstance(found, Outcome) and found.success


def _record(handle: Handle[Any], found: Outcome | Note | ResultUnreadable | None) -> dict[str, Any]:
    """What is kept of a task, as plain data."""
    if isinstance(found, ResultUnreadable):
        return {"id": handle.id, "queue": handle.queue, "state": UNREADABLE, "why": str(found)}
    record: dict[str, Any] = {"id": handle.id, "queue": handle.queue, "state": found.state if found else "unknown"}
    if isinstance(found, Outcome):
        record |= {
            "kind": found.kind,
            "runs": found.runs,
            "started": found.started,
            "ended": found.ended,
            "seconds": round(found.seconds, 6),
            "worker": found.worker,
            "value": _writable(found.value),
            "error": found.error._asdict() if found.error else None,
            "not_kept": list(found.lack) or None,
        }
    elif isinstance(found, Note) and found.progress is not None:
        record["progress"] = found.progress._asdict()
    return record


def _lines(record: dict[str, Any]) -> list[str]:
    shown = {name: value for name, value in record.items() if value is not None or name == "value"}
    if record["state"] != "success":
        shown.pop("value", None)
    error = shown.pop("error", None)
    for name in ("started", "ended"):
        if name in shown:
            shown[name] = _moment(shown[name])
    lines = [
        f"{name:<9} {value if name != 'value' else json.dumps(value, default=repr)}" for name, value in shown.items()
    ]
    if error:
        lines += [f"error     {error['type']}: {error['message']}", error["traceback"].rstrip()]
    return [line for line in lines if line]


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(sep=" ", timespec="milliseconds")


def _writable(value: Any) -> Any:
    """A value as JSON can hold it; what it cannot, as text."""
    try:
        json.dumps(value, default=repr, ensure_ascii=False).encode()
    except Exception:
        return repr(value)
    return value
