"""Starting workers."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import sys
import time
from collections.abc import Callable

from regiment import exits, log
from regiment.errors import RegimentError
from regiment_runner.shared import page, process
from regiment_runner.shared.page import Page
from regiment_runner.supervisor.members import Child, Group, Tree
from regiment_runner.worker import main as child

SPARE = 8
"""Descriptors that a start leaves free, or it is not made: what the supervisor needs to look after those that run."""

HELP = {
    errno.EMFILE: "A tree needs some 30 descriptors and 5 more for each worker: raise the limit of this process (ulimit -n)",
    errno.ENFILE: "The machine has no descriptor left: raise fs.file-max, or end what uses them up",
    errno.EAGAIN: "This user or this machine has no process left: raise the limit (ulimit -u, TasksMax=), or end what uses them up",
    errno.ENOMEM: "The machine has no memory left: give it more, or end what uses it up",
    errno.ENOSPC: "The file system of the pages is full: make room there, or set XDG_RUNTIME_DIR to another folder",
}
"""What helps, by the system's refusal."""

NO_ROOM = "See what this user and this machine may still use"


class Nursery:
    """Forks what a tree lacks. `wear` marks a new child as ours; `on_word` is called when it speaks, `on_end` at its end;
    `give_up` ends the tree, with an exit code and why.
    """

    def __init__(
        self,
        tree: Tree,
        wear: Callable[[int], None],
        on_word: Callable[[Child], None],
        on_end: Callable[[Child], None],
        give_up: Callable[[int, str], None],
    ) -> None:
        self._tree, self._wear, self._on_word, self._on_end = tree, wear, on_word, on_end
        self._give_up = give_up
        self._count = 0

    def fill(self, now: float) -> float:
        """Start what is wanted now; the monotonic time of the next start that waits for its pause."""
        later = float("inf")
        for group in list(self._tree.groups):
            while self._wanted(group) and group.next_start <= now:
                self._start(group)
            if self._wanted(group):
                later = min(later, group.next_start)
        return later

    def _wanted(self, group: Group) -> bool:
        if group.over or self._tree.stopping or len(group.children) >= group.size:
            return False
        # One worker goes ahead: the others start when it has said what it found.
        return group.proven or not group.children or any(item.spec for item in group.children)

    def _start(self, group: Group) -> None:
        tree = self._tree
        self._count += 1
        try:
            item = self._born(group, self._count, f"w{self._count}")
        except OSError as error:
            # No descriptor, process or memory is left for one more: what runs goes on, and this is tried again.
            pause = group.pauses.refused()
            group.next_start = time.monotonic() + pause
            log.event(
                logging.ERROR,
                "supervisor.exhausted",
                error=str(error),
                what=f"a worker of {group.label}",
                next_in=round(pause, 1),
            )
            if self._hopeless(group):
                why = f"{error.strerror}. {HELP.get(error.errno, NO_ROOM)}" if error.errno else str(error)
                tries = f"in {group.pauses.refusals} tries"
                self._give_up(exits.CRASH_LOOP, f"no worker of {group.label} could be started {tries}: {why}")
            return
        group.pauses.over()
        pid, pidfd, ours = item.pid, item.pidfd, item.channel
        tree.children[item.name] = item
        tree.changed = True
        group.children.append(item)
        tree.loop.add(pidfd, lambda: self._on_end(item))
        tree.loop.add(ours.fileno(), lambda: self._on_word(item))
        log.event(logging.DEBUG, "worker.started", worker=pid, target=group.label)

    def _hopeless(self, group: Group) -> bool:
        """True if nothing of this tree runs, or ever did, whose end could make room, and it was tried often enough."""
        tree = self._tree
        proven = any(other.proven for other in tree.groups)
        return not tree.children and not proven and group.pauses.refusals >= tree.options.give_up

    def _born(self, group: Group, number: int, name: str) -> Child:
        """Make all that a worker needs, and fork it; OSError, and nothing is left of it, where one part cannot be had."""
        tree = self._tree
        with contextlib.ExitStack() as failed, contextlib.ExitStack() as over:
            spare: list[int] = []
            for _ in range(SPARE):
                spare.append(os.eventfd(0, os.EFD_CLOEXEC))
                over.callback(os.close, spare[-1])
            tree.have_folder()
            path = tree.folder / f"{name}.page"
            failed.callback(path.unlink, missing_ok=True)
            sheet = Page(path, create=True)
            failed.callback(sheet.close)
            sheet.words[page.MEMORY] = tree.options.max_memory or 0
            sheet.words[page.WATCHING] = page.now() + int(tree.options.tick * 1e9)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            over.callback(theirs.close)
            failed.callback(ours.close)
            ours.setblocking(False)
            wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            failed.callback(os.close, wake)
            setup = child.Setup(
                group.label,
                path,
                theirs,
                wake,
                tree.keeping.poke,
                tree.watcher_poke,
                tree.options.app_dir,
                tree.options.burst,
                first=not group.proven,
                notes=group.notes is None,
            )

            def mark() -> None:
                self._wear(number)

            close = [*tree.own_fds(), ours.fileno(), *spare]
            pid, pidfd = process.fork(lambda: _worker(setup, mark), close)
            failed.pop_all()
        return Child(name, group, sheet, pid, pidfd, ours, wake)


def _worker(setup: child.Setup, mark: Callable[[], None]) -> int:
    os.setpgid(0, 0)
    mark()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
    try:
        return child.main(setup)
    except RegimentError:
        raise
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 1
