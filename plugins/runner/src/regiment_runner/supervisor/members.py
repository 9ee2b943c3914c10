"""The tree as its supervisor sees it: what it was given, the workers of a target, one worker. State only: no duty is here."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from regiment import exits
from regiment_runner.shared import crossing, messages, page, process
from regiment_runner.shared.page import Page
from regiment_runner.shared.tally import Tallies
from regiment_runner.supervisor.keeping import Keeping
from regiment_runner.supervisor.loop import Loop
from regiment_runner.supervisor.numbers import Target
from regiment_runner.supervisor.pauses import Pauses
from regiment_runner.supervisor.services import Services
from regiment_runner.supervisor.slow import SlowHooks
from regiment_runner.supervisor.strikes import WorkerView

DOZE = 60.0
"""Seconds after which a tree that dozes looks around all the same."""


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
        """Whether its workers have ended by themselves (`stop`, burst), or were told to by a board: none is started any more."""
        self.told = ""
        """What the notice board of its queue tells it: `quiet`, `drain`, or nothing."""
        self.ends: Counter[str] = Counter()
        """How often its workers have ended, by what ended them."""
        self.last_end = ""


class Recycle(NamedTuple):
    """Why the supervisor replaces a worker between two tasks: `kind` is counted (memory, idle, page, reload), `reason` is said."""

    kind: str
    reason: str


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
        self.hooks = SlowHooks(self.view)
        self.inbox = crossing.Inbox[messages.FromWorker]()
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
        self.failed: messages.Failure | None = None
        self.stopped = False
        """Whether the supervisor killed it at the end of the stop timeout: what ran is interrupted, not suspect."""
        self.dumped = False
        """Whether it was asked for its stacks."""
        self.fatal: dict[str, Any] | None = None
        """The note of a kill for memory."""
        self.recycle: Recycle | None = None
        """Why the supervisor has asked it to end between two tasks."""
        self.started = self.idle_since = time.monotonic()

    @property
    def serving(self) -> bool:
        """Whether it takes tasks now, as its page says: one that finishes its last does not."""
        return self.ready and self.page.words[page.STATE] == page.READY

    def believable(self) -> bool:
        """True if its page makes sense: a worker can write anything there. Else it is killed, and what it held comes back
        when its lease ends, as that of a lost host does: nobody can know what it ran.
        """
        why = self.page.damage()
        if why is None:
            return True
        if self.fatal is None:
            reason = f"its page is damaged ({why}): something in it writes where it should not"
            self.fatal = {"kind": "crash", "reason": reason}
            process.send(self.pidfd, signal.SIGKILL)
        return False

    @property
    def fruitless(self) -> bool:
        """Whether it has neither ended nor begun a task."""
        return not self.page.words[page.TASKS] and not self.page.highest()

    @property
    def resting(self) -> bool:
        """Whether it takes tasks and has none, and nothing is to become of it."""
        words, highest = self.page.words, self.page.highest()
        working = any(phase in page.OPEN for _, _, phase in self.page.numbers())
        waiting = words[page.LAST] > highest and words[page.LAST] >= words[page.BASE]  # or asked for
        return self.serving and not (words[page.ORDERS] or self.fatal or self.recycle or working or waiting)

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


class Options(NamedTuple):
    """What a supervisor was given, all but its targets; `regiment_runner.Supervisor` says what each means."""

    burst: bool
    stop_timeout: float
    app_dir: str
    tick: float
    crash_backoff: tuple[float, float]
    give_up: int
    max_memory: int | None
    memory_factor: float
    scale_down: float
    preload: bool
    reload: bool
    heartbeat: str | None
    beside: Mapping[str, Any]


class Tree:
    """What all who have a duty in the supervisor share. It does nothing by itself."""

    keeping: Keeping
    services: Services
    folder: Path
    """Where its pages, its roster and its heartbeat are."""
    watcher_poke: int
    """Eventfd with which a worker tells that a deadline comes earlier than the one its supervisor sleeps for."""

    def __init__(self, options: Options, groups: list[Group]) -> None:
        self.options, self.groups = options, groups
        self.children: dict[str, Child] = {}
        self.waiting: list[Child] = []
        """Workers that have ended and whose tasks the keeper has not given back yet."""
        self.loop = Loop()
        self.dozing = False
        """Whether nothing runs, and it looks around only when it is told something (`doze`)."""
        self.ears: Callable[[], Iterable[int]] = tuple
        """The descriptors by which it is told."""
        self.signal_fds: tuple[int, ...] = ()
        self.exit_code = exits.OK
        self.dead_letters = 0
        """How many its workers have made."""
        self.quiet = False
        """Whether nothing more is to be leased (SIGUSR2)."""
        self.stopping = False
        """Whether the end has begun."""
        self.ended: Tallies = {}
        """What workers that are gone have counted."""
        self.again = False
        """Whether the end is to be followed by executing this process anew."""
        self.changed = True
        """Whether the roster must be written again."""

    @property
    def pause(self) -> float:
        """Seconds between two ticks."""
        return DOZE if self.dozing else self.options.tick

    def order(self, item: Child, order: int) -> None:
        """Give one worker an order through its page, and wake it."""
        if item.believable():
            item.page.words[page.ORDERS] |= order
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(item.wake, 1)

    def resume(self, item: Child) -> None:
        """Take back that it is to lease nothing, and wake it."""
        if item.believable():
            item.page.words[page.ORDERS] &= ~page.QUIET
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(item.wake, 1)

    def order_all(self, order: int) -> None:
        """Give every worker an order."""
        for item in self.children.values():
            self.order(item, order)

    def have_folder(self) -> None:
        """Make its folder again if something outside has removed it; what lay in it is gone."""
        if page.have_tree(self.folder):
            self.changed = True

    def own_fds(self) -> Iterable[int]:
        """Descriptors that a child must not keep."""
        fds = [*self.signal_fds, *self.keeping.fds, *self.services.fds, *self.ears()]
        for item in (*self.children.values(), *self.waiting):
            fds += [item.pidfd, item.channel.fileno(), item.wake]
        return [fd for fd in fds if fd >= 0]
