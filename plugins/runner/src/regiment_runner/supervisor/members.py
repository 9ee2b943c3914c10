"""The members of a tree, as the supervisor sees them: the workers of a target, and one worker."""

from __future__ import annotations

import socket
import time
from collections import Counter
from typing import Any

from regiment_runner.shared import crossing, page
from regiment_runner.shared.page import Page
from regiment_runner.supervisor.numbers import Target
from regiment_runner.supervisor.pauses import Pauses
from regiment_runner.supervisor.strikes import WorkerView


class Group:
    """The workers of one target."""

    def __init__(self, target: Target) -> None:
        self.target, self.label = target.text, target.text
        self.low, self.high = target.low, target.high
        self.size = target.low
        """How many workers it has now, or is to have: between `low` and `high`."""
        self.killer: Any = None
        self.children: list[Child] = []
        self.notes: dict[str, Any] | None = None
        """What its application notes for services, by plugin; None: its next worker is to say so."""
        self.proven = False
        """Whether a worker of it was ever ready."""
        self.failures = 0
        """Starts in a row that failed."""
        self.fruitless = 0
        """Workers in a row that were ready, ended by themselves, and had begun no task."""
        self.first_end = ""
        """Why the first of these ended."""
        self.pauses = Pauses()
        """Of starts for which the machine has no room."""
        self.first_error = ""
        self.last_error = ""
        self.next_start = 0.0
        self.over = False
        """Whether its workers have ended by themselves (`stop`, burst): none is started any more."""
        self.ends: Counter[str] = Counter()
        """How often its workers have ended, by what ended them."""
        self.last_end = ""


class Child:
    """One worker process, as its supervisor sees it."""

    def __init__(
        self,
        name: str,
        group: Group,
        sheet: Page,
        pid: int,
        pidfd: int,
        channel: socket.socket,
        wake: int,
    ) -> None:
        self.name, self.group, self.page = name, group, sheet
        self.pid, self.pidfd, self.channel, self.wake = pid, pidfd, channel, wake
        self.view = WorkerView(sheet, pid, pidfd, wake)
        self.inbox = crossing.Inbox()
        self.spec: dict[str, Any] | None = None
        self.ready = False
        self.ended: str | None = None
        self.why = ""
        """What the worker itself says of its end."""
        self.how = ""
        """What its end will be, as it says when its last task is over."""
        self.over: int | None = None
        """How many tasks it has ended otherwise than by giving them back, as it says at its end."""
        self.leaving: float | None = None
        """Monotonic time at which it was first seen to be done with its tasks and on its way out."""
        self.failed: dict[str, Any] | None = None
        self.stopped = False
        """Whether the supervisor killed it at the end of the stop timeout: what ran is interrupted, not suspect."""
        self.dumped = False
        """Whether it was asked for its stacks."""
        self.fatal: dict[str, Any] | None = None
        """The note of a kill for memory."""
        self.recycle: str | None = None
        """Why the supervisor has asked it to end between two tasks."""
        self.started = self.idle_since = time.monotonic()

    @property
    def serving(self) -> bool:
        """Whether it takes tasks now, as its page says: one that finishes its last does not."""
        return self.ready and self.page.words[page.STATE] == page.READY

    @property
    def fruitless(self) -> bool:
        """Whether it has neither ended nor begun a task."""
        return not self.page.words[page.TASKS] and not self.page.highest()

    def busy(self, now: float) -> bool:
        """Whether all its slots have a task, or it holds some that have not started; notes since when it has been idle."""
        words, sheet = self.page.words, self.page
        highest, working = 0, 0
        for _, number, phase in sheet.numbers():
            highest, working = max(highest, number), working + (phase in page.OPEN)
        waiting = self.ready and words[page.LAST] > highest >= words[page.BASE]
        if working or waiting or not self.ready:
            self.idle_since = now
        return working >= max(1, words[page.SLOTS]) or bool(waiting)
