"""The fault phases: a worker that is killed, and a task that never ends. "Never" always means: not in the time waited."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import psutil

from benchmark.measure.processes import Failed, Workers
from benchmark.measure.session import Session
from benchmark.measure.speed import Figures

TASKS = 200
"""Slow tasks of which one is interrupted."""
TASK_SECONDS = 0.05
"""Seconds that each takes (`SECONDS` of `apps/tasks.py`)."""
PATIENCE = 75.0
"""Seconds without any progress after a kill; longer than the heartbeats of all peers but those that wait for minutes."""
HANG_PATIENCE = 30.0
"""Seconds to wait for a task that never ends, at the most."""


def kill(session: Session, patience: float) -> Figures:
    """`kill -9` of the process that runs a task, of two workers. A worker that has ended as a whole is started again at once,
    as a service manager would.

    lost: tasks that had not ended when none had ended for `patience` seconds. twice: tasks that were started more than
    once. again_s: until the last interrupted task started again; late_s: from when two workers could have ended all that was
    left to when it had ended; None: never.
    """
    board = session.board
    with session.workers(2) as workers:
        first, _ = session.push("slow", TASKS)
        numbers = range(first, first + TASKS)
        _until(lambda: sum(1 for n in numbers if board.ends[n]) >= 5, 60, workers)
        victim, interrupted = _stopped(session, numbers, workers)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic_ns()
        left, progress = TASKS, time.monotonic()
        while left and time.monotonic() < progress + patience:
            time.sleep(0.01)
            workers.look(restart=True)
            now_left = sum(1 for n in numbers if not board.ends[n])
            if now_left < left:
                left, progress = now_left, time.monotonic()
        restarts = workers.restarts
    lost = [n for n in numbers if not board.ends[n]]
    again = [(board.starts[n] - killed) / 1e9 for n in interrupted]
    return {
        "lost": len(lost),
        "interrupted": len(interrupted),
        "restarts": restarts,
        "waited_s": patience,
        "twice": sum(1 for n in numbers if board.runs[n] > 1),
        "again_s": max(again, default=None) if again and min(again) > 0 else None,
        "late_s": None if lost else _late([board.ends[n] for n in numbers], killed),
    }


def _late(ends: list[int], killed: int) -> float:
    """Seconds between the end of the last task and when two workers could have ended what was left."""
    left = sum(end > killed for end in ends)
    return (max(ends) - killed) / 1e9 - left * TASK_SECONDS / 2


def _stopped(session: Session, numbers: range, workers: Workers) -> tuple[int, list[int]]:
    """A process, stopped, and the tasks that it is in the middle of. One that was between two tasks goes on."""
    board = session.board
    while True:
        victim = _until(lambda: _running(session, numbers), 10, workers)
        try:
            process = psutil.Process(victim)
            process.suspend()
            while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                time.sleep(0.001)
        except psutil.NoSuchProcess:
            continue  # a peer that replaces its workers has just done so
        begun = [n for n in numbers if board.pids[n] == victim and board.starts[n] and not board.ends[n]]
        if begun:
            return victim, begun
        os.kill(victim, signal.SIGCONT)


def _running(session: Session, numbers: range) -> int:
    """The process of a task that has just started; 0 if there is none."""
    board, now = session.board, time.monotonic_ns()
    fresh = [n for n in numbers if not board.ends[n] and 0 < now - board.starts[n] < 30_000_000]
    return board.pids[fresh[-1]] if fresh else 0


def hang(session: Session, patience: float) -> Figures:
    """One worker, a regular expression that never ends with a limit of 1 s, and a task behind it.

    works_again_s: from the start of the first to the start of the second; None: never.
    """
    board, patience = session.board, min(patience, HANG_PATIENCE)
    with session.workers(1) as workers:
        warm, _ = session.push("stamp", 1)
        _until(lambda: board.starts[warm], 60, workers)
        stuck, _ = session.push("hang", 1)
        _until(lambda: board.starts[stuck], 20, workers)
        behind, _ = session.push("stamp", 1)
        began = board.starts[stuck]
        while not board.starts[behind] and time.monotonic_ns() - began < patience * 1e9:
            time.sleep(0.01)
            workers.look(restart=True)
        after = board.starts[behind]
    return {"works_again_s": (after - began) / 1e9 if after else None, "runs": board.runs[stuck], "waited_s": patience}


def _until(what: Callable[[], int], within: float, workers: Workers) -> int:
    end = time.monotonic() + within
    while not (found := what()):
        time.sleep(0.002)
        if time.monotonic() > end:
            workers.look()
            raise Failed(f"the fault could not be prepared within {within:g} s")
    return found


FAULTS: dict[str, Callable[[Session, float], Figures]] = {"kill": kill, "hang": hang}
