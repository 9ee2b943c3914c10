"""The supervisor's signals: handlers that do nothing, a wake-up descriptor, and what each signal means."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from regiment import log
from regiment_runner.shared import page, process
from regiment_runner.shared.blackbox import blackbox_lines
from regiment_runner.supervisor.members import Tree

SAME_SIGNAL = 1.0
"""Seconds within which further stop signals are the same one."""

DUMP_WAIT = 0.2
"""Seconds after which the stacks that SIGUSR1 asks for are read from the black boxes."""

STOPS = (signal.SIGTERM, signal.SIGINT)
HEARD = (*STOPS, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)
_HELD = {*HEARD} - {signal.SIGCHLD}
"""What waits, blocked, from the last look at the signals of one program to the first of the next one."""


class Stop(Protocol):
    """What ends the tree: `regiment_runner.Supervisor.stop`."""

    def __call__(self, why: str, *, repeated: bool = True) -> None: ...


class Signals:
    """Hears for `tree`: from `take` to `give_back` a signal is a byte in a pipe.

    `stop` ends the tree, `reap` looks after processes that workers have left behind.
    """

    def __init__(self, tree: Tree, place: Place, stop: Stop, reap: Callable[[], None]) -> None:
        self._tree, self._place, self._end, self._reap = tree, place, stop, reap
        self.stacks_at = 0.0
        """When the stacks that were asked for are to be read; 0: none were."""
        self._old_fd = -1
        self._old: dict[signal.Signals, Any] = {}

    def take(self) -> None:
        """Stand ready for signals before anything is imported."""
        read, write = self._tree.signal_fds = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._old_fd = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._old = {number: signal.signal(number, _nothing) for number in HEARD}
        self._tree.loop.add(read, self._read)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)  # what came while we were executed anew

    def give_back(self, *, execute: bool) -> bool:
        """Put the handlers of before back; whether to execute anew, which a stop that came meanwhile forbids.

        Then signals are held until the next program hears them: none falls between the two.
        """
        execute = execute and self._tree.again
        if execute:
            signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
            execute = not set(self._heard()).intersection(STOPS)
        signal.set_wakeup_fd(self._old_fd)
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._tree.loop.drop(self._tree.signal_fds[0])
        for fd in self._tree.signal_fds:
            os.close(fd)
        self._tree.signal_fds = ()
        return execute

    def _heard(self) -> bytes:
        try:
            return os.read(self._tree.signal_fds[0], 1024)
        except BlockingIOError:
            return b""

    def _read(self) -> None:
        for number in self._heard():
            action = self._actions.get(number)
            if action is not None:
                action(self)

    # What each means

    def _stop(self, number: signal.Signals) -> None:
        """The end; after SIGHUP that is no second signal, but the end of what SIGHUP wanted to begin."""
        ending, self._tree.again = self._tree.again, False
        if ending:
            log.event(logging.INFO, "supervisor.stopping", reason=f"{number.name}: not executed anew")
        self._end(number.name, repeated=not ending)

    def _hang_up(self) -> None:
        """SIGHUP: on a terminal the end; else new code: this process and its children are executed anew."""
        if os.isatty(0):
            self._end("SIGHUP")
        elif not self._tree.stopping or self._tree.again:
            missing = self._place.missing()
            if missing:
                log.event(
                    logging.ERROR,
                    "supervisor.reload",
                    error=f"{missing} is not there any more, so SIGHUP is not obeyed and what runs goes on",
                )
                return
            self._tree.again = True
            self._end("SIGHUP: to be executed anew")

    def _quiet(self) -> None:
        self._tree.quiet = True
        self._tree.order_all(page.QUIET)

    def _stacks(self) -> None:
        """Have every child write its stacks to its black box; a moment later they go to the log."""
        for item in self._tree.children.values():
            item.dumped = True
            process.send(item.pidfd, page.DUMP_SIGNAL)
        self.stacks_at = self.stacks_at or time.monotonic() + DUMP_WAIT

    def log_stacks(self) -> None:
        """What the black boxes hold now, into the log."""
        self.stacks_at = 0.0
        for item in self._tree.children.values():
            lines = list(blackbox_lines(item.page.path))
            log.event(logging.INFO, "worker.stacks", worker=item.pid, stacks="\n".join(lines[-100:]))

    _actions: dict[int, Callable[[Signals], None]] = {
        signal.SIGTERM: lambda self: self._stop(signal.SIGTERM),
        signal.SIGINT: lambda self: self._stop(signal.SIGINT),
        signal.SIGHUP: _hang_up,
        signal.SIGCHLD: lambda self: self._reap(),
        signal.SIGUSR1: _stacks,
        signal.SIGUSR2: _quiet,
    }


class Place:
    """Where a tree was started, as its user named it: the name may lead to another folder by the time of a SIGHUP."""

    def __init__(self, app_dir: str) -> None:
        self._here, said = os.getcwd(), os.environ.get("PWD", "")
        self._folder = said if os.path.isabs(said) and _same(said) else self._here
        self._app_dir = os.path.join(self._folder, app_dir)

    @property
    def _executable(self) -> str:
        path, inside = sys.executable, self._here + os.sep
        return os.path.join(self._folder, path[len(inside) :]) if path.startswith(inside) else path

    def missing(self) -> str | None:
        """What this program would need to be executed anew and is gone."""
        needed = (self._app_dir, self._executable)
        return next((path for path in needed if not os.path.exists(path)), None)

    def execute_anew(self) -> NoReturn:
        """Become the same command line again, under the same pid, in the folder that has the name of the first one now."""
        with contextlib.suppress(OSError):
            os.chdir(self._folder)
        path = self._executable
        os.execv(path, [path, *sys.orig_argv[1:]])


def _same(folder: str) -> bool:
    try:
        return os.path.samefile(folder, os.curdir)
    except OSError:
        return False


def _nothing(number: int, frame: Any) -> None:
    """The byte in the wake-up descriptor is all that a signal needs."""
