"""The supervisor's loop: one thread that sleeps until a child, a deadline, a signal or the tick wants it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from garrison import __version__, exits, log, page
from garrison.assemble import connector_use
from garrison.config import Use, WorkerConfig, as_use
from garrison.descendants import Descendants, end_group
from garrison.errors import ConfigError, GarrisonError, PluginError
from garrison.page import Page
from garrison.registry import registry
from garrison.supervisor import child, ends, process
from garrison.supervisor import reload as reloading
from garrison.supervisor.care import Care
from garrison.supervisor.ends import End
from garrison.supervisor.keeping import Keeping
from garrison.supervisor.members import Child, Group
from garrison.supervisor.memory import parse_size
from garrison.supervisor.targets import Target, find, named_twice, parse

GIVE_BACK = 0.4
"""Seconds beyond the stop timeout that the keeper is given to give back; after as many again it is left."""

DUMP_WAIT = 0.2
"""Seconds after which the stacks that SIGUSR1 asks for are read from the black boxes."""

SAME_SIGNAL = 1.0
"""Seconds within which further stop signals are the same one."""


class Supervisor:
    """Supervises workers of `targets` until told to stop; `run()` returns the exit code.

    `tick`, `crash_backoff` (first and last delay) and `stop_timeout` are seconds; `give_up` the number of failed starts
    in a row after which it gives up. To be run in the thread that created it stays in: children die with that thread.
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
    ) -> None:
        number = (workers, workers) if isinstance(workers, int) else workers
        names = [targets] if isinstance(targets, str) else targets
        parsed = [parse(name, number) for name in names]
        twice = named_twice(parsed)
        if twice:
            raise ConfigError(twice)
        self.groups = [Group(target) for target in parsed]
        self.burst, self.stop_timeout, self.tick = burst, stop_timeout, tick
        self.app_dir = os.path.abspath(app_dir)
        self.crash_backoff, self.give_up = crash_backoff, give_up
        self.max_memory = parse_size(max_memory) if isinstance(max_memory, str) else max_memory
        self.memory_factor, self.scale_down = memory_factor, scale_down
        self.preload, self.reload, self.heartbeat = preload, reload, heartbeat
        if reload:
            if preload:
                raise ConfigError(
                    "--reload and --preload exclude each other: what is preloaded is never read again"
                )
            reloading.check()
        self.children: dict[str, Child] = {}
        self.exit_code = exits.OK
        self.dead_letters = 0
        """How many its workers have made."""
        self._count = 0
        self._stopping: float | None = None
        self._quiet = self._again = False
        self._stacks_at = 0.0
        self._watcher: tuple[int, int] | None = None
        self._deadline: float | None = None
        self._killed: float | None = None
        """When the stop timeout ended, and what still ran was killed."""
        self._poll = select.poll()
        self._fds: dict[int, Callable[[], None]] = {}
        self._deaths: list[Child] = []
        self._announced: set[str] = set()
        self._told: set[str] = set()
        self._shared: set[tuple[str, str]] = set()
        self.descendants = Descendants()

    # Life

    def run(self) -> int:
        """Supervise until all has ended; the exit code is one of `garrison.exits`."""
        if threading.current_thread() is not threading.main_thread():
            # Workers die with the thread that forked them, and only the main thread lives as long as its process.
            raise GarrisonError(
                f"Supervisor.run() was called in the thread {threading.current_thread().name!r}; call it in the main "
                f"thread, or run it as a process of its own: garrison run"
            )
        log.configure()
        signals = self._take_signals()
        if self.preload:
            self._preload()
        self.tree = page.make_tree()
        try:
            self.care = Care(self)
        except ConfigError:
            page.remove_tree(self.tree)
            raise
        self.watcher_poke = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.descendants.adopt()
        self.keeping = Keeping(self._own_fds, tag=self.descendants.tag)
        self._register(self.watcher_poke, lambda: _drain(self.watcher_poke))
        self._share_defaults()
        try:
            self.keeping.start()
            if registry().hooks("garrison_supervisor_event"):
                log.logger.addHandler(log.Retold(self.keeping.tell))
            if self.reload:
                self._watch_files()
            log.event(logging.DEBUG, "supervisor.started", pid=os.getpid())
            while not self._over():
                self._turn()
        finally:
            self._end()
            signals()
        if self._again and self.exit_code in (exits.OK, exits.KILLED):
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
        return self.exit_code

    def _preload(self) -> None:
        """Import the applications here, so that children share their pages. A thread would not survive the forks."""
        if self.app_dir not in sys.path:
            sys.path.insert(0, self.app_dir)
        for group in self.groups:
            find(group.target)
        alive = [
            thread.name
            for thread in threading.enumerate()
            if thread is not threading.current_thread()
        ]
        if alive:
            raise ConfigError(
                f"--preload: importing the application has started threads ({', '.join(alive)}), which do not live on in "
                "workers; start them in initialize(), or run without --preload"
            )

    def _watch_files(self) -> None:
        """Fork the child that watches the application's files; every byte it sends means: drain and restart."""
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watcher = process.fork(
            lambda: reloading.watch(self.app_dir, write), [read, *self._own_fds()]
        )
        os.close(write)

        def changed() -> None:
            if not os.read(read, 1024):
                self._unregister(read)
                log.event(
                    logging.ERROR,
                    "supervisor.reload",
                    error="the watcher of files has ended; changes are not seen",
                )
                return
            log.event(logging.INFO, "supervisor.reload", reason="files changed")
            for item in self.children.values():
                item.recycle = "files changed"
                self.order(item, page.STOP)

        self._register(read, changed)

    @property
    def stopping(self) -> bool:
        """Whether the end has begun."""
        return self._stopping is not None

    def _turn(self) -> None:
        """One turn of the loop: start what is missing, strike what is late, sleep, deal with what woke us."""
        now = time.monotonic()
        self.keeping.look(now)
        self._fill(now)
        wake = min(self.care.look(now), self._watch(), self.keeping.patience)
        if self._deadline is not None:
            wake = min(wake, self._deadline)
        if self._stacks_at:
            wake = min(wake, self._stacks_at)
        for group in self.groups:
            if self._wanted(group) and group.next_start > now:
                wake = min(wake, group.next_start)
        channel = self.keeping.channel
        if channel is not None:
            self._poll.register(channel, select.POLLIN)
        self._poll.register(self.keeping.pidfd, select.POLLIN)
        ready = self._poll.poll(max(0.0, (wake - time.monotonic()) * 1000))
        if channel is not None:
            self._poll.unregister(channel)
        self._poll.unregister(self.keeping.pidfd)
        for fd, _ in ready:
            handler = self._fds.get(fd)
            if handler is not None:
                handler()
        for name in self.keeping.receive():
            self._forget(name)
        while self.keeping.backlogs:
            name, tasks = self.keeping.backlogs.popitem()
            if name in self.children:
                self.care.backlog(self.children[name].group, tasks)
        if self._stacks_at and time.monotonic() >= self._stacks_at:
            self._log_stacks()
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._kill_what_runs()

    def _over(self) -> bool:
        if self.children or self.keeping.unacknowledged:
            # What the keeper cannot give back, because its store does not answer, waits for the lease.
            patient = self._killed is None or time.monotonic() < self._killed + GIVE_BACK
            return not self.children and not patient
        return self._stopping is not None or all(group.over for group in self.groups)

    def _end(self) -> None:
        for item in list(self.children.values()):
            process.send(item.pidfd, signal.SIGKILL)
        if self._watcher is not None:
            process.send(self._watcher[1], signal.SIGKILL)
            os.waitid(os.P_PIDFD, self._watcher[1], os.WEXITED)
            os.close(self._watcher[1])
        self.keeping.stop(patience=GIVE_BACK if self.keeping.unacknowledged else 2.0)
        self.descendants.end_all(2.0)
        self.descendants.let_go()
        if self.burst and self.dead_letters and self.exit_code == exits.OK:
            self.exit_code = exits.BAD
        self.care.end()
        page.remove_tree(self.tree)
        log.event(logging.INFO, "supervisor.stopped", exit_code=self.exit_code)

    # Signals

    def _take_signals(self) -> Callable[[], None]:
        """Stand ready for signals before anything is imported; returns what puts the old handlers back."""
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        old_fd = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        numbers = (
            signal.SIGTERM,
            signal.SIGINT,
            signal.SIGHUP,
            signal.SIGCHLD,
            signal.SIGUSR1,
            signal.SIGUSR2,
        )
        old = {number: signal.signal(number, _nothing) for number in numbers}
        self._register(read, lambda: self._signalled(read))
        self._signal_fds = (read, write)

        def restore() -> None:
            signal.set_wakeup_fd(old_fd)
            for number, handler in old.items():
                signal.signal(number, handler)
            self._unregister(read)
            os.close(read)
            os.close(write)

        return restore

    def _signalled(self, fd: int) -> None:
        for number in os.read(fd, 1024):
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stop(signal.Signals(number).name)
            elif number == signal.SIGHUP:
                self._hang_up()
            elif number == signal.SIGCHLD:
                self._look_at_descendants()
            elif number == signal.SIGUSR1:
                self._stacks()
            elif number == signal.SIGUSR2:
                self._quiet = True
                self._order(page.QUIET)

    def _hang_up(self) -> None:
        """SIGHUP: on a terminal the end; else new code: this process and its children are executed anew."""
        if os.isatty(0):
            self.stop("SIGHUP")
        else:
            self._again = True
            self.stop("SIGHUP: to be executed anew")

    def _look_at_descendants(self) -> None:
        known = [item.pid for item in self.children.values()]
        self.descendants.look(known, [int(name[1:]) for name in self.children])

    def stop(self, why: str = "stop() was called") -> None:
        """Finish what runs, give back the rest; a second call more than a second later ends at once."""
        now = time.monotonic()
        if self._stopping is None:
            log.event(logging.INFO, "supervisor.stopping", reason=why, timeout=self.stop_timeout)
            self._stopping, self._deadline = now, now + self.stop_timeout
            self._order(page.STOP)
            self.care.stopping(self._again)
        elif now - self._stopping >= SAME_SIGNAL:
            self._deadline = now

    def _order(self, order: int) -> None:
        for item in self.children.values():
            self.order(item, order)

    def order(self, item: Child, order: int) -> None:
        """Give one worker an order through its page, and wake it."""
        item.page.words[page.ORDERS] |= order
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(item.wake, 1)

    def _kill_what_runs(self) -> None:
        self._killed = self._killed or time.monotonic()
        self._deadline = time.monotonic() + GIVE_BACK
        for item in self.children.values():
            item.stopped = True
            self.exit_code = exits.KILLED
            process.send(item.pidfd, signal.SIGKILL)

    def _stacks(self) -> None:
        """Have every child write its stacks to its black box; a moment later they go to the log."""
        for item in self.children.values():
            process.send(item.pidfd, page.DUMP_SIGNAL)
        self._stacks_at = self._stacks_at or time.monotonic() + DUMP_WAIT

    def _log_stacks(self) -> None:
        self._stacks_at = 0.0
        for item in self.children.values():
            lines = list(child.blackbox_lines(item.page.path))
            log.event(
                logging.INFO, "worker.stacks", worker=item.pid, stacks="\n".join(lines[-100:])
            )

    # Starting

    def _wanted(self, group: Group) -> bool:
        if group.over or self._stopping is not None or len(group.children) >= group.size:
            return False
        # One worker goes ahead: the others start when it has said what it found.
        return group.proven or not group.children or any(item.spec for item in group.children)

    def _fill(self, now: float) -> None:
        for group in list(self.groups):
            while self._wanted(group) and group.next_start <= now:
                self._start(group)

    def _start(self, group: Group) -> None:
        self._count += 1
        name = f"w{self._count}"
        sheet = Page(self.tree / f"{name}.page", create=True)
        sheet.words[page.MEMORY] = self.max_memory or 0
        sheet.words[page.WATCHING] = page.now() + int(self.tick * 1e9)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        number = self._count

        def mark() -> None:
            self.descendants.wear(number)

        setup = child.Setup(
            group.label, sheet.path, theirs, wake, self.keeping.poke, self.watcher_poke, self.app_dir,
            self.burst, first=not group.proven,
        )  # fmt: skip
        pid, pidfd = process.fork(lambda: _worker(setup, mark), [*self._own_fds(), ours.fileno()])
        theirs.close()
        item = Child(name, group, sheet, pid, pidfd, ours, wake)
        self.children[name] = item
        self.care.changed = True
        group.children.append(item)
        self._register(pidfd, lambda: self._reap(item))
        self._register(ours.fileno(), lambda: self._hear(item))
        log.event(logging.DEBUG, "worker.started", worker=pid, target=group.label)

    def _own_fds(self) -> Iterable[int]:
        """Descriptors that a child must not keep."""
        fds = [*self._signal_fds]
        for item in (*self.children.values(), *self._deaths):
            fds += [item.pidfd, item.channel.fileno(), item.wake]
        if self.keeping.channel is not None and self.keeping.channel.fileno() >= 0:
            fds += [self.keeping.channel.fileno(), self.keeping.pidfd]
        return [fd for fd in fds if fd >= 0]

    # What children say

    def _hear(self, item: Child) -> None:
        while True:
            try:
                data = item.channel.recv(1 << 20)
            except (BlockingIOError, OSError):
                return
            if not data:
                self._unregister(item.channel.fileno())
                return
            message = json.loads(data)
            if "found" in message:
                self._found(item, message["found"])
            elif "configured" in message:
                self._configured(item, message)
            elif "ready" in message:
                item.ready = item.group.proven = self.care.changed = True
                item.group.failures = 0
                item.group.first_error = ""
                if self._stopping is not None:
                    self.order(item, page.STOP)
                elif self._quiet:
                    self.order(item, page.QUIET)
            elif "ended" in message:
                item.ended, item.why = message["ended"], message.get("why", "")
            elif "failed" in message:
                item.failed = message["failed"]

    def _found(self, item: Child, labels: list[str]) -> None:
        """A module's first child has found its workers: it is the first of them, the others get groups of their own."""
        group = item.group
        if group.label == labels[0]:
            return
        known = {other.label for other in self.groups}
        group.label = labels[0]
        for label in labels[1:]:
            if label not in known:
                self.groups.append(Group(Target(label, group.low, group.high)))

    def _configured(self, item: Child, message: dict[str, Any]) -> None:
        item.spec, group = message["configured"], item.group
        assert item.spec is not None
        self.keeping.serve(item.name, item.page.path, item.pidfd, item.spec)
        for kind in ("serializer", "compressor", "executor"):
            self._share(f"{kind}s", item.spec["parts"][kind])
        self._share("connectors", item.spec["connector"]["name"])
        if group.killer is None:
            killer = item.spec["killer"]
            group.killer = registry().build("killers", Use(killer["name"], **killer["options"]))
        if group.label not in self._announced:
            self._announced.add(group.label)
            parts = item.spec["parts"]
            log.event(
                logging.INFO, "supervisor.started", garrison=__version__, pid=os.getpid(), target=group.label,
                queue=item.spec["queue"], workers=group.size, **parts, plugins=message["plugins"],
            )  # fmt: skip

    def _share_defaults(self) -> None:
        """Load what a worker uses that names nothing else, before anything is forked."""
        config = WorkerConfig(name="default")
        self._share("serializers", as_use(config.serializer).name)
        self._share("executors", as_use(config.executor).name)
        self._share("connectors", connector_use(config)[0].name)

    def _share(self, kind: str, name: str) -> None:
        """Load a part in use here, too: what is forked from now on shares its memory, and starts sooner.

        What an application names by "module:Class" is its own affair, and stays out of this process.
        """
        if (kind, name) not in self._shared and (":" not in name or name.endswith(":")):
            self._shared.add((kind, name))
            with contextlib.suppress(PluginError):  # whoever uses it says what is wrong with it
                registry().resolve(kind, Use(name))

    # Striking

    def _watch(self) -> float:
        """Let each killer look at its workers; returns the monotonic time of the earliest deadline."""
        now, earliest = page.now(), 0
        ticking = now + int(self.tick * 1e9)
        for item in self.children.values():
            killer = item.group.killer
            if killer is None or item.view.struck or item.spec is None:
                continue
            # Published before the look: a deadline armed meanwhile is either seen now, or pokes us.
            item.page.words[page.WATCHING] = ticking
            wake = killer.watch(item.view, now)
            if wake is not None and (not earliest or wake < earliest):
                earliest = wake
        until = min(earliest or ticking, ticking)
        for item in self.children.values():
            item.page.words[page.WATCHING] = until
        return time.monotonic() + max(0, until - page.now()) / 1e9

    # Ends

    def _reap(self, item: Child) -> None:
        end_group(item.pid, item.pidfd)
        status = process.reap(item.pidfd)
        if status is None:
            return
        self._hear(item)
        self._unregister(item.pidfd)
        if item.channel.fileno() in self._fds:
            self._unregister(item.channel.fileno())
        del self.children[item.name]
        item.group.children.remove(item)
        self._deaths.append(item)
        self._look_at_descendants()
        self.care.changed = True
        end = ends.judge(item, status, status == -signal.SIGKILL and self.care.kills.another())
        self._follow(item, end)
        if not self.keeping.bury(item.name, **ends.post_mortem(item, status, end)):
            self._forget(item.name)

    def _follow(self, item: Child, end: End) -> None:
        """What follows an end: another worker, a pause before it, or the end of all."""
        group = item.group
        self.dead_letters += item.page.words[page.DEAD_LETTERS]
        if end.kind == "start":
            if self._stopping is None:
                self._failed_start(item, end)
            elif item.failed and self._told:
                self._tell(item.failed["text"])  # another target that cannot start either
            return
        fields = {"worker": item.pid, "target": group.label, "tasks": item.page.words[page.TASKS]}
        log.event(end.level, end.event, None, reason=end.reason, **fields)
        group.ends[end.kind] += 1
        group.last_end = end.reason
        if end.kind in ("stop", "burst"):
            if end.kind == "stop" and not group.over:
                for other in group.children:
                    self.order(other, page.STOP)
            group.over = True

    def _failed_start(self, item: Child, end: End) -> None:
        group, failed = item.group, item.failed
        text = failed["text"] if failed else f"it ended before it was ready: {end.reason}"
        if failed and not group.proven:
            self._give_up(failed["code"], text)
            return
        group.failures += 1
        group.first_error = group.first_error or text
        if group.failures >= self.give_up:
            log.event(
                logging.ERROR, "supervisor.crash_loop", target=group.label, failures=group.failures
            )
            self._give_up(
                exits.CRASH_LOOP,
                f"{group.label} failed to start {group.failures} times in a row\n{group.first_error}",
            )
            return
        first, last = self.crash_backoff
        delay = min(last, first * 2 ** (group.failures - 1)) * random.uniform(0.8, 1.2)
        group.next_start = time.monotonic() + delay
        shown = text.splitlines()[0] if text == group.last_error else text
        group.last_error = text
        log.event(
            logging.ERROR,
            "worker.crashed",
            target=group.label,
            reason=shown,
            next_in=round(delay, 1),
        )

    def _give_up(self, code: int, text: str) -> None:
        self._tell(text)
        if self.exit_code == exits.OK:
            self.exit_code = code
        self.stop("a worker cannot start")

    def _tell(self, text: str) -> None:
        """Say why the tree cannot go on: each reason once, however many children have it."""
        if text not in self._told:
            self._told.add(text)
            print(f"error: {text}", file=sys.stderr, flush=True)  # noqa: T201

    def _forget(self, name: str) -> None:
        """The keeper has given back what it held: nothing is left to do for this child."""
        for item in [item for item in self._deaths if item.name == name]:
            self._deaths.remove(item)
            path: Path = item.page.path
            item.page.close()
            for fd in (item.pidfd, item.wake):
                os.close(fd)
            item.channel.close()
            for file in (path, path.with_suffix(".stacks")):
                file.unlink(missing_ok=True)

    def _register(self, fd: int, handler: Callable[[], None]) -> None:
        self._fds[fd] = handler
        self._poll.register(fd, select.POLLIN)

    def _unregister(self, fd: int) -> None:
        if self._fds.pop(fd, None) is not None:
            self._poll.unregister(fd)


def _worker(setup: child.Setup, mark: Callable[[], None]) -> int:
    os.setpgid(0, 0)
    mark()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
    try:
        return child.main(setup)
    except GarrisonError:
        raise
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 1


def _nothing(number: int, frame: Any) -> None:
    """The byte in the wake-up descriptor is all that a signal needs."""


def _drain(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.eventfd_read(fd)
