"""The supervisor's loop: one thread that sleeps until a child, a deadline, a signal or the tick wants it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from regiment import exits, installed, log
from regiment.errors import ConfigError, RegimentError
from regiment.registry import registry
from regiment.standard import open_standard
from regiment_cli.targets import find
from regiment_runner.shared import logs, page, process
from regiment_runner.shared.descendants import Descendants
from regiment_runner.shared.retold import Retold
from regiment_runner.supervisor import reload as reloading
from regiment_runner.supervisor.care import EARLY, Care
from regiment_runner.supervisor.deaths import Deaths
from regiment_runner.supervisor.doze import Doze
from regiment_runner.supervisor.hearing import Hearing
from regiment_runner.supervisor.keeping import Keeping
from regiment_runner.supervisor.members import Group, Options, Tree
from regiment_runner.supervisor.memory import parse_size
from regiment_runner.supervisor.numbers import named_twice, parse
from regiment_runner.supervisor.nursery import Nursery
from regiment_runner.supervisor.orders import Orders
from regiment_runner.supervisor.services import Services
from regiment_runner.supervisor.signals import SAME_SIGNAL, Place, Signals

GIVE_BACK = 0.4
"""Seconds beyond the stop timeout that the keeper is given to give back; after as many again it is left."""


class Supervisor:
    """Supervises workers of `targets` until told to stop; `run()` returns the exit code.

    `tick`, `crash_backoff` (first and last delay) and `stop_timeout` are seconds; `give_up` the number of failed starts
    in a row after which it gives up; `beside` what servers are to run beside the keeper, as data that plugins find in
    `spec["beside"]` of `regiment_services`. To be run in the thread that created it stays in: children die with that thread.
    """

    def __init__(
        self,
        targets: Sequence[str] | str,
        *,
        workers: int | tuple[int, int] = 1,
        burst: bool = False,
        stop_timeout: float = 25.0,
        app_dir: str = ".",
        tick: float = 1.0,
        crash_backoff: tuple[float, float] = (1.0, 60.0),
        give_up: int = 5,
        max_memory: int | str | None = None,
        memory_factor: float = 1.5,
        scale_down: float = 30.0,
        preload: bool = False,
        reload: bool = False,
        heartbeat: str | None = None,
        beside: Mapping[str, Any] | None = None,
    ) -> None:
        most = parse_size(max_memory) if isinstance(max_memory, str) else max_memory
        options = Options(
            burst,
            stop_timeout,
            os.path.abspath(app_dir),
            tick,
            crash_backoff,
            give_up,
            most,
            memory_factor,
            scale_down,
            preload,
            reload,
            os.path.abspath(heartbeat) if heartbeat else None,
            beside or {},
        )
        installed.leave_out(options.app_dir)
        if reload:
            _reloads(preload)
        self.tree = Tree(options, _groups([targets] if isinstance(targets, str) else targets, workers))
        self.place = Place(app_dir)
        self._stopping = 0.0
        self._watcher: reloading.Watcher | None = None
        self._woken: set[int] = set()
        self._deadline: float | None = None
        self._killed: float | None = None
        """When the stop timeout ended, and what still ran was killed."""
        self.tree.services = Services(self.tree.own_fds)
        self.descendants = Descendants()
        self.signals = Signals(self.tree, self.place, self.stop, self.look_at_descendants)
        self.hearing = Hearing(self.tree)
        self.orders = Orders(self.tree)

    # Life

    def run(self) -> int:
        """Supervise until all has ended; the exit code is one of `regiment.exits`."""
        if threading.current_thread() is not threading.main_thread():
            # Workers die with the thread that forked them, and only the main thread lives as long as its process.
            raise RegimentError(
                f"Supervisor.run() was called in the thread {threading.current_thread().name!r}; call it in the main "
                f"thread, or run it as a process of its own: regiment run"
            )
        open_standard()
        logs.configure()
        self.signals.take()
        tree = self.tree
        if tree.options.preload:
            self._preload()
        tree.folder = page.make_tree()
        try:
            self.care = Care(tree)
        except ConfigError:
            page.remove_tree(tree.folder)
            raise
        self.doze = Doze(tree)
        tree.ears = lambda: self.doze.fds
        tree.watcher_poke = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.descendants.adopt()
        tree.keeping = Keeping(tree.own_fds, tag=self.descendants.tag)
        tree.loop.add(tree.watcher_poke, lambda: _drain(tree.watcher_poke))
        self._meet()
        try:
            self.nursery.fill(time.monotonic())  # the keeper has time until they are configured
            tree.keeping.start()
            if registry().hooks("regiment_event"):
                log.logger.addHandler(Retold(tree.keeping.tell))
            if tree.options.reload:
                self._watcher = reloading.Watcher(tree)
            log.event(logging.DEBUG, "supervisor.started", pid=os.getpid())
            while not self._over():
                self._turn()
        finally:
            self._end()
            again = self.signals.give_back(execute=tree.exit_code in (exits.OK, exits.KILLED))
        if again:
            self.place.execute_anew()
        return tree.exit_code

    def _meet(self) -> None:
        """Have those who have a duty know of each other what they call."""
        tree, hearing = self.tree, self.hearing
        self.deaths = Deaths(tree, hearing.hear, self.look_at_descendants, self.care.kills.another, self.stop)
        hearing.give_up = give_up = self.deaths.give_up
        self.nursery = Nursery(tree, self.descendants.wear, hearing.hear, self.deaths.reap, give_up)
        hearing.share_defaults()

    def _preload(self) -> None:
        """Import the applications here, so that children share their pages. A thread would not survive the forks."""
        app_dir = self.tree.options.app_dir
        if app_dir not in sys.path:
            sys.path.insert(0, app_dir)
        for group in self.tree.groups:
            find(group.target)
        alive = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
        if alive:
            raise ConfigError(
                f"--preload: importing the application has started threads ({', '.join(alive)}), which do not live on in "
                "workers; start them in initialize(), or run without --preload"
            )

    def _turn(self) -> None:
        """One turn of the loop: start what is missing, strike what is late, sleep, deal with what woke us."""
        now = time.monotonic()
        for item in list(self.tree.children.values()):
            item.believable()
        if self.doze.look(now, self._woken):
            self.care.look_again()
        self.tree.keeping.look(now)
        self.orders.look()
        later = self.nursery.fill(now)
        services = self.tree.services.look(now)
        wake = min(later, self.care.look(now), self._watch(), self.tree.keeping.patience, services)
        if self._deadline is not None:
            wake = min(wake, self._deadline)
        if self.signals.stacks_at:
            wake = min(wake, self.signals.stacks_at)
        wakers = [*self.tree.keeping.fds, *self.tree.services.fds, *self.doze.wakers]
        self._woken = self.tree.loop.sleep(wake, wakers)
        for name in self.tree.keeping.receive():
            self.deaths.forget(name)
        while self.tree.keeping.backlogs:
            name, tasks = self.tree.keeping.backlogs.popitem()
            if name in self.tree.children:
                self.care.backlog(self.tree.children[name].group, tasks)
        if self.signals.stacks_at and time.monotonic() >= self.signals.stacks_at:
            self.signals.log_stacks()
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._kill_what_runs()

    def _watch(self) -> float:
        """Let each killer look at its workers; returns the monotonic time of the earliest deadline."""
        now, earliest = page.now(), 0
        ticking = now + int((1 + EARLY) * self.tree.pause * 1e9)
        for item in self.tree.children.values():
            killer = item.group.killer
            if killer is None and item.spec is not None:
                self.hearing.arm(item.group, item.spec)
                killer = item.group.killer
            if killer is None or item.view.struck or item.hooks.killed or item.spec is None:
                continue
            # Published before the look: a deadline armed meanwhile is either seen now, or pokes us.
            item.page.words[page.WATCHING] = ticking
            for wake in (
                killer.watch(item.view, now),
                None if item.view.struck else item.hooks.watch(now, item.spec["queue"]),
            ):
                if wake is not None and (not earliest or wake < earliest):
                    earliest = wake
        until = min(earliest or ticking, ticking)
        for item in self.tree.children.values():
            item.page.words[page.WATCHING] = until
        return time.monotonic() + max(0, until - page.now()) / 1e9

    # The end

    def stop(self, why: str = "stop() was called", *, repeated: bool = True) -> None:
        """Finish what runs, give back the rest; a second call more than a second later ends at once, if `repeated`."""
        now = time.monotonic()
        if not self.tree.stopping:
            log.event(self._level(), "supervisor.stopping", reason=why, timeout=self.tree.options.stop_timeout)
            self.tree.stopping = True
            self._stopping, self._deadline = now, now + self.tree.options.stop_timeout
            self.tree.order_all(page.STOP)
            self.care.stopping(self.tree.again)
        elif not repeated:
            self._stopping = now
            self.care.stopping(self.tree.again)
        elif now - self._stopping >= SAME_SIGNAL:
            self._deadline = now

    def _kill_what_runs(self) -> None:
        self._killed = self._killed or time.monotonic()
        self._deadline = time.monotonic() + GIVE_BACK
        for item in self.tree.children.values():
            item.stopped = True
            self.tree.exit_code = exits.KILLED
            process.send(item.pidfd, signal.SIGKILL)

    def _over(self) -> bool:
        if self.tree.children or self.tree.keeping.unacknowledged:
            # What the keeper cannot give back, because its store does not answer, waits for the lease.
            patient = self._killed is None or time.monotonic() < self._killed + GIVE_BACK
            return not self.tree.children and not patient
        return self.tree.stopping or all(group.over for group in self.tree.groups)

    def _end(self) -> None:
        for item in list(self.tree.children.values()):
            process.send(item.pidfd, signal.SIGKILL)
        if self._watcher is not None:
            self._watcher.end()
        self.tree.services.stop()
        self.tree.keeping.stop(patience=GIVE_BACK if self.tree.keeping.unacknowledged else 2.0)
        self.descendants.end_all(2.0)
        self.descendants.let_go()
        if self.tree.options.burst and self.tree.dead_letters and self.tree.exit_code == exits.OK:
            self.tree.exit_code = exits.BAD
        self.care.end()
        self.doze.end()
        page.remove_tree(self.tree.folder)
        log.event(self._level(), "supervisor.stopped", exit_code=self.tree.exit_code)

    def _level(self) -> int:
        """A tree of which no worker was ever ready has said why: what follows that is for those who look closely."""
        failed = self.tree.exit_code != exits.OK and not any(group.proven for group in self.tree.groups)
        return logging.DEBUG if failed else logging.INFO

    # What the parts of a tree share

    def look_at_descendants(self) -> None:
        """End what workers have forked that is not theirs any more, and reap it."""
        known = [item.pid for item in self.tree.children.values()]
        self.descendants.look(known, [int(name[1:]) for name in self.tree.children])


def _reloads(preload: bool) -> None:
    """ConfigError where code cannot be reloaded."""
    if preload:
        raise ConfigError("--reload and --preload exclude each other: what is preloaded is never read again")
    reloading.check()


def _groups(targets: Sequence[str], workers: int | tuple[int, int]) -> list[Group]:
    number = (workers, workers) if isinstance(workers, int) else workers
    parsed = [parse(name, number) for name in targets]
    twice = named_twice(parsed)
    if twice:
        raise ConfigError(twice)
    return [Group(target) for target in parsed]


def _drain(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.eventfd_read(fd)
