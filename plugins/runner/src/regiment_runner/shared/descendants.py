"""What tasks fork ends with their worker, however it was forked.

A worker wears a mark: the soft limit of a resource that Linux has not used since 2.4 (RLIMIT_LOCKS). Every descendant
inherits it, through fork, exec, setsid and the death of its parent, and /proc shows it of the living and of zombies. The
supervisor is their reaper (PR_SET_CHILD_SUBREAPER), so that orphans become its children; it ends and reaps those that wear
its mark and no other child of its process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Collection

from regiment_runner.shared import procfs

_RLIMIT_LOCKS = 10
_SET_CHILD_SUBREAPER, _GET_CHILD_SUBREAPER = 36, 37
_NUMBER_BITS = 20
_LIMIT = b"Max file locks"


class Descendants:
    """The descendants of the workers of one tree. Workers have numbers; each wears the tree's tag and its number."""

    def __init__(self) -> None:
        self.tag = int.from_bytes(os.urandom(5), "big") | 1
        self._before = 0

    def adopt(self) -> None:
        """Become the parent of whatever loses its own."""
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            before = ctypes.c_int(0)
            libc.prctl(_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
            self._before = before.value
            libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def let_go(self) -> None:
        """Be what this process was before `adopt`."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, self._before, 0, 0, 0)

    def wear(self, number: int) -> None:
        """In a worker, first of all: wear the mark."""
        if sys.platform == "linux":
            import resource

            mark = self.tag << _NUMBER_BITS | number & ((1 << _NUMBER_BITS) - 1)
            hard = resource.getrlimit(_RLIMIT_LOCKS)[1]
            if hard == resource.RLIM_INFINITY:
                resource.setrlimit(_RLIMIT_LOCKS, (mark, hard))

    def look(self, workers: Collection[int], numbers: Collection[int]) -> int:
        """Among the children of this process: end what is left of workers that are gone, and reap what has ended.

        `workers` are pids to leave alone, `numbers` those of living workers, whose orphans go on. Returns how many were
        ended; their own children come to this process with their deaths, which the next look sees.
        """
        ended = 0
        for pid in procfs.children():
            if pid in workers:
                continue
            mark = mark_of(pid)
            if mark is None or mark >> _NUMBER_BITS != self.tag:
                continue
            # A child keeps its pid until it is reaped, and nobody but this reaps it: the pid is the right one.
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0 and mark & 0xFFFFF not in {
                    number & 0xFFFFF for number in numbers
                }:
                    os.kill(pid, signal.SIGKILL)
                    ended += 1
        return ended

    def end_all(self, seconds: float) -> None:
        """End every process of this tree, whoever its parent is, and reap those that are ours; at most so many seconds."""
        end_tagged(self.tag, seconds)
        self.look((), ())


def end_group(pid: int, pidfd: int) -> None:
    """End the process group of a worker that has ended and is not reaped yet, so that the number is still its own."""
    with contextlib.suppress(OSError):
        if os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            os.killpg(pid, signal.SIGKILL)


def end_tagged(tag: int, seconds: float) -> None:
    """End every process that wears a mark with this tag, whoever its parent is; at most so many seconds."""
    deadline = time.monotonic() + seconds
    while _end(lambda mark: mark >> _NUMBER_BITS == tag) and time.monotonic() < deadline:
        time.sleep(0.005)


def end_since(started: int) -> int:
    """In a worker: end its descendants that are younger than `started` (boot clock, nanoseconds). Returns how many."""
    if sys.platform != "linux":
        return 0
    import resource

    own, hertz = resource.getrlimit(_RLIMIT_LOCKS)[0], procfs.TICKS
    if own == resource.RLIM_INFINITY:
        return 0
    ended = 0
    for _ in range(50):
        found = _end(lambda mark: mark == own, started * hertz // 1_000_000_000)
        if not found:
            break
        ended += found
        time.sleep(0.002)
    return ended


def mark_of(pid: int) -> int | None:
    """The mark that a process wears, or None."""
    for line in procfs.lines(pid, "limits"):
        if line.startswith(_LIMIT):
            soft = line[len(_LIMIT) :].split()[:1]
            return int(soft[0]) if soft and soft[0].isdigit() else None
    return None


def _end(wanted: Callable[[int], bool], ticks: int = 0) -> int:
    """SIGKILL every living process but this one whose mark is `wanted`, born `ticks` after boot or later."""
    ended = 0
    for pid in procfs.everyone():
        mark = mark_of(pid)
        if mark is None or not wanted(mark) or pid == os.getpid():
            continue
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            # Read again behind the pidfd: before it, the pid might have passed to another process.
            mark, stat = mark_of(pid), procfs.stat(pid)
            if mark is not None and wanted(mark) and stat and stat.lives and stat.started >= ticks:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                ended += 1
        except OSError:
            pass
        finally:
            os.close(pidfd)
    return ended
