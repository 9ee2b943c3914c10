"""Trees and their workers, as the page of workers shows what keepers announce. A record that cannot be read hides no other."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST_SHOWN = 200
"""Characters of what a record says; whoever may write to the store may write anything there."""


def shown(records: Iterable[bytes]) -> list[Mapping[str, Any]]:
    """The trees of all hosts, by host and pid of the supervisor."""
    found: list[Mapping[str, Any]] = []
    for data in records:
        try:
            record = json.loads(data)
            targets = [_target(one) for one in _list(record.get("targets"))]
            found.append(
                {
                    "host": str(record["host"]),
                    "pid": int(record["pid"]),
                    "release": str(record.get("release", "")),
                    "regiment": str(record.get("regiment", "")),
                    "python": str(record.get("python", "")),
                    "since": _number(record.get("since")),
                    "targets": targets,
                    "workers": [_worker(one, targets) for one in record["workers"]],
                }
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue
    return sorted(found, key=lambda tree: (tree["host"], tree["pid"]))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    """A finite number; None for whatever else stands there."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _target(one: Mapping[str, Any]) -> dict[str, Any]:
    ends = one.get("ends")
    return {
        "label": str(one.get("label", ""))[:MOST_SHOWN],
        "code": str(one.get("code", ""))[:8],
        "since": _number(one.get("since")),
        "ends": ", ".join(f"{number} {kind}" for kind, number in ends.items())[:MOST_SHOWN]
        if isinstance(ends, dict)
        else "",
    }


def _worker(one: Mapping[str, Any], targets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    at = one.get("target")
    target = targets[at] if isinstance(at, int) and 0 <= at < len(targets) else {}
    return {
        "pid": int(one["pid"]),
        "queue": str(one["queue"]),
        "tasks": int(one["tasks"]),
        "rate": float(one["rate"]),
        "code": target.get("code", ""),
        "state": str(one.get("state", ""))[:MOST_SHOWN],
        "since": _number(one.get("since")),
        "memory": _number(one.get("memory")),
        "cpu": _number(one.get("cpu")),
        "now": [
            {"task": str(work.get("task") or ""), "id": str(work.get("id") or "?"), "since": _number(work.get("since"))}
            for work in _list(one.get("now"))
        ],
    }
