"""Starting workers, and what they say until they are ready."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from regiment import __version__, log
from regiment.build import connector_use
from regiment.config import Use, WorkerConfig, as_use
from regiment.errors import PluginError, RegimentError
from regiment.registry import registry
from regiment_runner.shared import page, process
from regiment_runner.shared.page import Page
from regiment_runner.shared.scopes import scope_of
from regiment_runner.supervisor.members import Child, Group
from regiment_runner.supervisor.numbers import Target
from regiment_runner.worker import main as child

if TYPE_CHECKING:
    from regiment_runner.supervisor.tree import Supervisor

SPARE = 8
"""Descriptors that a start leaves free, or it is not made: what the supervisor needs to look after those that run."""


class Nursery:
    """Forks what a tree lacks, and hears what its workers say."""

    def __init__(self, tree: Supervisor) -> None:
        self._tree = tree
        self._count = 0
        self._announced: set[str] = set()
        self._shared: set[tuple[str, str]] = set()
        self._throttle = log.Throttle()

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
            return
        group.pauses.over()
        pid, pidfd, ours = item.pid, item.pidfd, item.channel
        tree.children[item.name] = item
        tree.care.changed = True
        group.children.append(item)
        tree.loop.add(pidfd, lambda: tree.deaths.reap(item))
        tree.loop.add(ours.fileno(), lambda: self.hear(item))
        log.event(logging.DEBUG, "worker.started", worker=pid, target=group.label)

    def _born(self, group: Group, number: int, name: str) -> Child:
        """Make all that a worker needs, and fork it; OSError, and nothing is left of it, where one part cannot be had."""
        tree = self._tree
        with contextlib.ExitStack() as failed, contextlib.ExitStack() as over:
            spare: list[int] = []
            for _ in range(SPARE):
                spare.append(os.eventfd(0, os.EFD_CLOEXEC))
                over.callback(os.close, spare[-1])
            tree.care.have_folder()
            path = tree.tree / f"{name}.page"
            failed.callback(path.unlink, missing_ok=True)
            sheet = Page(path, create=True)
            failed.callback(sheet.close)
            sheet.words[page.MEMORY] = tree.max_memory or 0
            sheet.words[page.WATCHING] = page.now() + int(tree.tick * 1e9)
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
                tree.app_dir,
                tree.burst,
                first=not group.proven,
                notes=group.notes is None,
            )

            def mark() -> None:
                tree.descendants.wear(number)

            close = [*tree.own_fds(), ours.fileno(), *spare]
            pid, pidfd = process.fork(lambda: _worker(setup, mark), close)
            failed.pop_all()
        return Child(name, group, sheet, pid, pidfd, ours, wake)

    # What children say

    def hear(self, item: Child) -> None:
        """Read all that a worker has said."""
        while True:
            try:
                data = item.channel.recv(1 << 20)
            except (BlockingIOError, OSError):
                return
            if not data:
                self._tree.loop.drop(item.channel.fileno())
                return
            message = item.inbox.add(data)
            if message is None:
                continue
            if "found" in message:
                self._found(item, message["found"])
            elif "configured" in message:
                self._configured(item, message)
            elif "ready" in message:
                self._ready(item)
            elif "leaving" in message:
                item.how = message["leaving"]
            elif "ended" in message:
                item.ended, item.why = message["ended"], message.get("why", "")
                item.over = message.get("over")
            elif "failed" in message:
                item.failed = message["failed"]

    def _found(self, item: Child, labels: list[str]) -> None:
        """A module's first child has found its workers: it is the first of them, the others get groups of their own."""
        group, groups = item.group, self._tree.groups
        if group.label == labels[0]:
            return
        known = {other.label for other in groups}
        group.label = labels[0]
        for label in labels[1:]:
            if label not in known:
                groups.append(Group(Target(label, group.low, group.high)))

    def _configured(self, item: Child, message: dict[str, Any]) -> None:
        item.spec, group = message["configured"], item.group
        assert item.spec is not None
        self._tree.keeping.serve(item.name, item.page.path, item.pidfd, item.spec)
        if "notes" in message:
            self._services(group, item.spec, message["notes"])
        parts = item.spec["parts"]
        self.arm(group, item.spec)
        if group.high > 1 or len(self._tree.groups) > 1:
            # While a driver is imported here nobody watches a limit, so not for the sake of one worker.
            for kind in ("serializer", "compressor", "executor"):
                if parts[kind] != "none":
                    self._share(f"{kind}s", parts[kind])
            self._share("connectors", item.spec["connector"]["name"])
        if group.label not in self._announced:
            self._announced.add(group.label)
            log.event(
                logging.INFO,
                "supervisor.started",
                regiment=__version__,
                pid=os.getpid(),
                target=group.label,
                queue=item.spec["queue"],
                workers=group.size,
                **parts,
                plugins=message["plugins"],
            )

    def _services(self, group: Group, spec: dict[str, Any], notes: dict[str, Any]) -> None:
        """Have the services that plugins of this target want; a tree that cannot have them does not start."""
        group.notes = notes
        try:
            self._tree.services.ask(group.label, spec, notes)
        except RegimentError as error:
            self._tree.deaths.give_up(error.exit_code, str(error))

    def arm(self, group: Group, spec: dict[str, Any]) -> None:
        """Have the group's killer here, too; what cannot be loaded for want of descriptors or memory is tried again."""
        if group.killer is not None:
            return
        killer = spec["killer"]
        try:
            group.killer = scope_of(spec).build("killers", Use(killer["name"], **killer["options"]))
        except (PluginError, OSError, MemoryError) as error:
            if not process.exhausted(error):
                raise
            if self._throttle() is not None:
                log.event(logging.ERROR, "supervisor.exhausted", error=str(error), what="a killer")

    def _ready(self, item: Child) -> None:
        item.ready = item.group.proven = self._tree.care.changed = True
        item.group.failures = 0
        item.group.first_error = ""
        if self._tree.stopping:
            self._tree.order(item, page.STOP)
        elif self._tree.quiet:
            self._tree.order(item, page.QUIET)

    # What is shared

    def share_defaults(self) -> None:
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
            with contextlib.suppress(PluginError, OSError, MemoryError):  # whoever uses it says what is wrong with it
                registry().resolve(kind, Use(name))


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
