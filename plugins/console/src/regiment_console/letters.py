"""Dead letters for people: their contents, groups of them, and replays."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from regiment.codec import Codec, Head, read_head
from regiment.contracts import Connector, Letter
from regiment.errors import (
    ConfigError,
    DecodeError,
    EncodeError,
    PayloadTooLarge,
    PluginError,
    RegimentError,
    StoreUnavailable,
)
from regiment_cli.printing import printable, printable_lines
from regiment_console.grouping import folded
from regiment_console.masks import hidden
from regiment_console.store import shown_name

PAGE = 200
"""Letters of one round trip, without their payloads."""
BYTES = 16 * 1024 * 1024
"""Bytes of payload at which a part of a replay is revived, however few letters it has."""

Chosen = list[tuple[str | None, list[str]]]
"""Pages of letters, newest first: the id behind which a page begins (None: the first page), and its letters' ids."""


_TEXTS = ("kind", "error_type", "error", "name", "traceback")
_NUMBERS = ("runs", "deliveries")


def reason_of(letter: Letter) -> dict[str, Any]:
    """The reason as a mapping, whatever the store holds: its texts are text, its numbers can be shown."""
    try:
        found = json.loads(letter.reason)
    except Exception as error:  # no JSON, nested too deeply, a number of 4,300 digits: it must not hide other records
        return _unreadable(letter, error)
    if not isinstance(found, dict):
        return _unreadable(letter, TypeError(f"a reason is a {type(found).__name__}"))
    for field in _TEXTS:
        if not isinstance(found.get(field), (str, type(None))):
            found[field] = shown(found[field])[:200]
    for field in _NUMBERS:
        if not _is_count(found.get(field)):
            found[field] = None
    if not isinstance(found.get("evidence"), (dict, type(None))):
        found["evidence"] = {"unreadable": shown(found["evidence"])[:200]}
    return found


def _unreadable(letter: Letter, error: Exception) -> dict[str, Any]:
    kept = bytes(letter.reason or b"")[:200].decode(errors="replace")
    return {
        "kind": "unreadable",
        "error": f"the reason cannot be read: {type(error).__name__}: {str(error)[:80]}: {kept}",
    }


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def shown(value: object) -> str:
    """A value as text, also one without a repr: an integer of more than 4,300 digits."""
    try:
        return repr(value)
    except Exception as error:
        return f"unreadable: a {type(value).__name__}; {type(error).__name__}: {str(error)[:80]}"


def in_words(queue: str, letter: Letter) -> dict[str, Any]:
    """One letter as a flat record: ids, time, and the reason without its long texts."""
    reason = reason_of(letter)
    kept = {key: reason.get(key) for key in ("kind", "error_type", "error", "runs", "deliveries")}
    return {
        "letter": shown_name(letter.id),
        "id": shown_name(letter.task_id),
        "queue": shown_name(queue),
        "name": reason.get("name") or shown_name(queue),
        "at": letter.at,
        "priority": letter.priority,
        **kept,
    }


def find(connector: Connector, queues: Sequence[str], id: str) -> list[tuple[str, Letter]]:
    """(queue, letter) of all letters with this id or task id; an unreadable queue does not hide others."""
    found: list[tuple[str, Letter]] = []
    for queue in queues:
        try:
            found += [(queue, letter) for letter in connector.letters(queue, id)]
        except StoreUnavailable:
            raise
        except Exception:
            if len(queues) == 1:
                raise
    return found


def listed(connector: Connector, queues: Sequence[str], limit: int) -> tuple[list[dict[str, Any]], int]:
    """The letters of these queues in words, and their number; an unreadable queue is one line that says so."""
    found: list[dict[str, Any]] = []
    total = 0
    for queue in queues:
        try:
            found += [in_words(queue, letter) for letter in reasons(connector, queue, limit)]
            total += connector.counts(queue).dead
        except StoreUnavailable:
            raise
        except Exception as error:
            found.append(blind(queue, error))
            total += 1
    return found, total


def blind(queue: str, error: Exception) -> dict[str, Any]:
    """The line in place of the letters of an unreadable queue."""
    return {
        "letter": "?",
        "id": "?",
        "queue": shown_name(queue),
        "name": "?",
        "at": 0.0,
        "priority": None,
        "kind": "unreadable",
        "error_type": type(error).__name__,
        "error": str(error),
        "runs": None,
        "deliveries": None,
    }


def in_full(queue: str, letter: Letter, codec: Codec, *, reveal: bool = False) -> dict[str, Any]:
    """Everything in a letter, with the task decoded if possible; secrets among its arguments are masked unless `reveal`."""
    reason = reason_of(letter)
    found = in_words(queue, letter)
    found["traceback"], found["evidence"] = reason.get("traceback"), reason.get("evidence")
    found["bytes"] = len(letter.payload)
    try:
        task = codec.decode(letter.payload, queue)
    except DecodeError as error:
        found["unreadable"], found["head"] = str(error), letter.payload[:64].hex(" ")
        return found
    found.update(
        kwargs=task.kwargs if reveal else hidden(task.kwargs),
        pushed=task.date,
        runs=max(task.run_count, found["runs"] or 0),
        trace_id=task.trace_id,
        headers=task.headers if reveal or not task.headers else hidden(task.headers),
        expires=task.expires,
    )
    if task.name:
        found["name"] = task.name
    return found


def as_json(one: dict[str, Any]) -> dict[str, Any]:
    """A letter in full as JSON can hold it; an argument that it cannot (an integer of 4,300 digits, a key that is a
    tuple) as text.
    """
    return {
        key: {name: _writable(item) for name, item in value.items()} if key == "kwargs" else _writable(value)
        for key, value in one.items()
    }


def _writable(value: Any) -> Any:
    try:
        json.dumps(value, default=repr, ensure_ascii=False).encode()
    except Exception:
        return shown(value)
    return value


def page(one: dict[str, Any], clock: Callable[[float], str], *, full: bool = False) -> str:
    """One letter as a page of text."""
    lines = [f"dead letter {printable(one['letter'])}: {printable(one['name'])} {printable(one['id'])}"]

    def add(name: str, value: Any) -> None:
        if value not in (None, "", {}, []):
            lines.append(f"  {name:<12}{printable_lines(value if isinstance(value, str) else shown(value), ' ' * 14)}")

    add("queue", one["queue"])
    add("died", _moment(one["at"], clock))
    add("pushed", _moment(one["pushed"], clock) if one.get("pushed") else None)
    add("reason", one["kind"])
    add("error", ": ".join(map(str, filter(None, (one["error_type"], one["error"])))))
    add("runs", one["runs"])
    add("deliveries", one["deliveries"])
    add("trace id", one.get("trace_id"))
    add("headers", one.get("headers"))
    if "unreadable" in one:
        add("unreadable", one["unreadable"])
        add("bytes", f"{one['bytes']:,}: {one['head']}")
    elif one.get("kwargs"):
        lines.append("  arguments")
        lines += [f"    {printable(name)} = {printable(shown(value))}" for name, value in one["kwargs"].items()]
    lines += _post_mortem(one.get("evidence") or {})
    if one.get("traceback"):
        trace = str(one["traceback"])
        lines += ["  traceback", *_indented(trace if full else folded(trace))]
    return "\n".join(lines)


def clock(at: float) -> str:
    """A time of the wall clock, local, to the second."""
    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")


def _moment(at: float, clock: Callable[[float], str]) -> str:
    try:
        return clock(at)
    except (ValueError, OverflowError, OSError, TypeError):
        return f"unreadable: {shown(at)[:40]}"


def _post_mortem(evidence: dict[str, Any]) -> list[str]:
    """The end of the worker in words: signal, memory, seconds, stacks."""
    if not evidence:
        return []
    lines = ["  post-mortem"]
    units = {"seconds": lambda v: f"{v} s", "cpu": lambda v: f"{v} s of CPU", "rss": _mebibytes}
    for key, value in evidence.items():
        if value is None or key == "stacks":
            continue
        shown = units[key](value) if key in units and isinstance(value, (int, float)) else value
        text = printable_lines(_signal(shown) if key == "signal" else shown, " " * 14)
        lines.append(f"    {printable(key):<10}{text}")
    if evidence.get("stacks"):
        lines += ["    stacks", *_indented(str(evidence["stacks"]), 6)]
    return lines


def _mebibytes(value: float) -> str:
    return f"{value / 1024 / 1024:.0f} MiB resident"


def _signal(number: Any) -> str:
    import signal

    try:
        return f"{signal.Signals(number).name} ({signal.strsignal(number)})"
    except (ValueError, TypeError):
        return str(number)


def _indented(text: str, width: int = 4) -> list[str]:
    return [" " * width + line for line in printable_lines(text).rstrip().split("\n")]


def pages(connector: Connector, queue: str) -> Iterator[tuple[str | None, Sequence[Letter]]]:
    """All letters of a queue without their payloads, a page at a time, newest first."""
    after: str | None = None
    while found := reasons(connector, queue, PAGE, after):
        yield after, found
        after = found[-1].id


def reasons(connector: Connector, queue: str, limit: int, after: str | None = None) -> Sequence[Letter]:
    """Letters as from `Connector.dead`, but with empty payloads if the connector can leave them out."""
    ask: Callable[..., Sequence[Letter]] = getattr(connector, "reasons", connector.dead)
    return ask(queue, limit, after=after)


def choose(connector: Connector, queue: str, ids: Sequence[str]) -> Chosen:
    """The letters that exist now, without those that are made meanwhile. With `ids` (of letters or tasks), only those."""
    if not ids:
        return [(after, [letter.id for letter in found]) for after, found in pages(connector, queue)]
    wanted: dict[str, None] = {}
    for id in ids:
        found = connector.letters(queue, id)
        if not found:
            raise RegimentError(f'no dead letter "{id}" in the queue "{queue}"; nothing was changed')
        wanted.update(dict.fromkeys(letter.id for letter in found))
    return [
        (after, mine)
        for after, found in pages(connector, queue)
        if (mine := [letter.id for letter in found if letter.id in wanted])
    ]


class Replayed(NamedTuple):
    """The result of a replay."""

    revived: int
    as_they_were: int
    """Letters that could not be read here; they are revived with their old payload."""
    unexpired: int
    """Tasks whose expiry had passed; they run without it, because with it they would vanish unseen."""


def replay(
    connector: Connector,
    queue: str,
    chosen: Chosen,
    codec_like: Callable[[Head], Codec],
    rate: float | None,
    told: Callable[[int], None] = lambda number: None,
) -> Replayed:
    """Revive the chosen letters, oldest first, with no run counted; at most `rate` a second. `told` is given the number of each
    part as it is done.
    """
    revived = as_they_were = unexpired = 0
    size = PAGE if rate is None else max(1, min(PAGE, int(rate / 5)))
    for after, ids in reversed(chosen):
        found = list(reversed(_still_there(connector, queue, after, ids)))
        for part in _whole(connector, queue, found, size):
            fresh: dict[str, bytes | None] = {}
            for letter in part:
                fresh[letter.id], readable, expired = _fresh(letter, queue, codec_like)
                as_they_were += not readable
                unexpired += expired
            number = connector.revive(queue, fresh)
            revived += number
            told(number)
            if rate is not None:
                time.sleep(len(fresh) / rate)
    return Replayed(revived, as_they_were, unexpired)


def _still_there(connector: Connector, queue: str, after: str | None, ids: Sequence[str]) -> list[str]:
    """The ids of the letters of a page, newest first; new ones may have come in front of the first page."""
    wanted, kept = set(ids), []
    while wanted and (found := reasons(connector, queue, PAGE, after)):
        kept += [letter.id for letter in found if letter.id in wanted]
        wanted.difference_update(letter.id for letter in found)
        after = found[-1].id
    return kept


def _whole(connector: Connector, queue: str, ids: Sequence[str], most: int) -> Iterator[list[Letter]]:
    """These letters with their payloads, in order, in parts of at most `most` letters and about `BYTES`."""
    part: list[Letter] = []
    size = 0
    for id in ids:
        found = [letter for letter in connector.letters(queue, id) if letter.id == id]
        part += found
        size += sum(len(letter.payload) for letter in found)
        if part and (len(part) >= most or size >= BYTES):
            yield part
            part, size = [], 0
    if part:
        yield part


def _fresh(letter: Letter, queue: str, codec_like: Callable[[Head], Codec]) -> tuple[bytes | None, bool, bool]:
    """The payload as if newly pushed (None: unchanged); True if it could be read; True if an expiry was removed."""
    try:
        codec = codec_like(read_head(letter.payload))
        task = codec.decode(letter.payload, queue)
    except (DecodeError, PluginError, ConfigError):
        return None, False, False
    expired = task.expires is not None and task.expires <= time.time()
    if not task.run_count and not expired:
        return None, True, False
    task.run_count = 0
    if expired:
        task.expires = None
    try:
        return codec.encode(task), True, expired
    except (EncodeError, PayloadTooLarge):  # another release, or a stranger, wrote something that we cannot write
        return None, False, False
