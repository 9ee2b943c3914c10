"""How a worker ended: told apart, and said in words."""

from __future__ import annotations

import logging
import signal
from typing import NamedTuple

from regiment_runner.shared import page, process
from regiment_runner.shared.messages import PostMortem
from regiment_runner.supervisor.members import Child
from regiment_runner.supervisor.strikes import crash_note


class End(NamedTuple):
    """`kind` is what is counted: ordered, stop, burst, respawn, max_tasks_per_run, memory, idle, page, reload, stop_timeout,
    timeout, cancelled, hook, oom, crash, or start for a worker that ended before it was ready.
    """

    kind: str
    reason: str
    event: str = "worker.recycled"
    level: int = logging.INFO


def judge(item: Child, status: int, oom: bool) -> End:
    """What ended a worker; `oom` says whether the kernel has killed something for memory since the last question."""
    if item.ended in ("stop", "burst"):
        return End(item.ended, item.ended, "worker.stopped")
    if item.ended == "ordered" and item.recycle is None:
        return End("ordered", "told to end", "worker.stopped")
    if item.ended is not None:
        return End(*(item.recycle or (item.ended, item.why or item.ended)))
    if item.stopped:
        return End(
            "stop_timeout",
            "killed at the end of the stop timeout",
            "worker.stopped",
            logging.WARNING,
        )
    if item.fatal is not None:
        return End("memory", item.fatal["reason"], "worker.crashed", logging.ERROR)
    if item.view.only_cancelled:
        return End("cancelled", "killed for a task that was cancelled")
    if item.view.struck or ended_by_soft_strike(item, status):
        return End("timeout", "killed for a task past its limit", "worker.crashed", logging.WARNING)
    if item.hooks.killed:
        reason = next(iter(item.hooks.killed.values()))["reason"]
        return End("hook", reason, "worker.crashed", logging.ERROR)
    if item.dumped and status == -page.DUMP_SIGNAL:
        return End(
            "crash", "ended by the signal for its stacks, which its task had reset", "worker.crashed", logging.ERROR
        )
    if oom and status == -signal.SIGKILL:
        return End("oom", "killed by the kernel: out of memory", "worker.crashed", logging.ERROR)
    return End(
        "crash" if item.ready else "start",
        process.in_words(status),
        "worker.crashed",
        logging.ERROR,
    )


def ended_by_soft_strike(item: Child, status: int) -> bool:
    """Whether it died of the signal of a soft strike: its task had reset that, or become another program by `exec`."""
    return status == -page.SOFT_SIGNAL and any(True for _ in item.view.softly_struck())


def post_mortem(item: Child, status: int, end: End) -> PostMortem:
    """What the keeper is told: whether what ran is suspect, and the note that stays with it."""
    if item.stopped or item.ended is not None:
        return {"interrupted": True}
    if item.fatal is not None:
        return {"note": item.fatal}
    if ended_by_soft_strike(item, status) and not item.view.struck:
        item.view.ended_softly()
    if item.view.struck:
        return {"notes": {str(number): note for number, note in item.view.notes().items()}}
    if item.hooks.killed:
        return {"notes": {str(number): note for number, note in item.hooks.killed.items()}}
    if item.dumped and status == -page.DUMP_SIGNAL:
        return {"interrupted": True}
    note = crash_note(item.view, status)
    return {"note": {**note, "kind": "memory", "reason": end.reason} if end.kind == "oom" else note}
