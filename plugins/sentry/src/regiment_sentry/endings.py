"""What a keeper reports: workers that ended otherwise than they should. It has not the application, so it has an SDK of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KILLED = frozenset({"crash", "timeout", "memory", "oom", "hook"})
"""Kinds of ends that are reported; the others are ordered."""


def ended(end: Mapping[str, Any], dsn: str) -> None:
    """Report the end of a worker, and what ran in it. Sent before this returns: a keeper may end soon after its last worker."""
    if end["kind"] not in KILLED:
        return
    import sentry_sdk

    from regiment_sentry.sdk import flush, prepared

    if not prepared(dsn, bare=True):
        return
    tasks = [dict(task) for task in end["tasks"]]
    names = sorted({str(task["name"]) for task in tasks})
    with sentry_sdk.new_scope() as scope:
        scope.fingerprint = ["regiment", str(end["queue"]), "worker", str(end["kind"]), *names]
        scope.set_transaction_name(names[0] if names else str(end["queue"]))
        for tag, value in {"queue": end["queue"], "kind": end["kind"], "task": ", ".join(names)}.items():
            scope.set_tag(f"regiment.{tag}", str(value)[:200])
        target = end.get("target")
        scope.set_context(
            "regiment", {"pid": end["pid"], "target": target, "reason": end["reason"], "tasks": tasks[:20]}
        )
        ran = f" while it ran {', '.join(names)}" if names else ""
        message = f"a worker of {end['queue']} was ended{ran}: {end['reason']}"
        sentry_sdk.capture_event({"logger": "regiment", "level": "error", "message": message[:1000]}, scope=scope)
    flush()
