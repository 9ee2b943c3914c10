"""Hooks that do not end: said once, then ended with their worker. What the task came to stands where it is settled."""

from __future__ import annotations

import logging
import signal
from typing import Any

from regiment import log
from regiment_runner.shared import overdue, page, process
from regiment_runner.shared.heads import id_of
from regiment_runner.shared.overdue import Running
from regiment_runner.supervisor.strikes import WorkerView


class SlowHooks:
    """The hooks of one worker. `killed`: number -> note, of those in which it was killed."""

    def __init__(self, view: WorkerView) -> None:
        self._view = view
        self._said: dict[int, tuple[int, str, int]] = {}
        """Slot -> what was said last of it."""
        self.killed: dict[int, dict[str, Any]] = {}

    def watch(self, now: int, queue: str) -> int | None:
        """Say and end what is late at `now` (boot clock, nanoseconds); when to look again, None for no hook."""
        wake: int | None = None
        late: list[Running] = []
        for one in overdue.running(self._view.page):
            if now >= one.slow_at:
                self._say(one, now, queue)
            if now >= one.end_at:
                late.append(one)
                continue
            due = one.end_at if now >= one.slow_at else one.slow_at
            wake = due if wake is None else min(wake, due)
        if late:
            self._kill(late)
        return None if self.killed else wake

    def _say(self, one: Running, now: int, queue: str) -> None:
        known = (one.number, one.hook, one.slow_at)
        if self._said.get(one.slot) == known:
            return
        self._said[one.slot] = known
        sheet = self._view.page
        state = next((state for state in sheet.slots() if state.slot == one.slot), None)
        if state is None:
            return
        log.event(
            logging.WARNING,
            "hook.slow",
            hook=one.hook,
            task=state.name or queue,
            id=id_of(state.head) or "",
            queue=queue,
            phase=page.PHASES[state.phase],
            worker=self._view.pid,
            seconds=round((now - state.started) / 1e9, 3),
            next=f"its worker is killed in {max(0, one.end_at - now) / 1e9:.1f} s",
        )

    def _kill(self, late: list[Running]) -> None:
        """Stacks to the black box, then SIGKILL, unless all have ended meanwhile."""
        notes: dict[int, dict[str, Any]] = {}
        for one in late:
            notes[one.number] = {
                "kind": "crash",
                "rung": "hook",
                "reason": f"killed in {one.hook}, which did not end within the limit of hooks",
                "exit": process.in_words(-signal.SIGKILL),
                **self._view.evidence(one.slot, dump=not notes),
            }
        still = set(overdue.running(self._view.page))
        self.killed = {one.number: notes[one.number] for one in late if one in still}
        if self.killed:
            process.send(self._view.pidfd, signal.SIGKILL)
