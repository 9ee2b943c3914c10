"""`--reload`: a child that watches the application's files and tells the supervisor of a change."""

from __future__ import annotations

import logging
import os
import signal
from importlib.util import find_spec

from regiment import exits, log
from regiment.errors import PluginError
from regiment_runner.shared import page, process
from regiment_runner.supervisor.members import Recycle, Tree


def check() -> None:
    """`PluginError` where the library that watches files is not installed."""
    if find_spec("watchfiles") is None:
        raise PluginError("--reload needs the package watchfiles: pip install regiment-runner[reload]")


class Watcher:
    """The child that watches the files of a tree's application; every byte it sends means: drain and restart."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _, self._pidfd = process.fork(lambda: watch(tree.options.app_dir, write), [self._read, *tree.own_fds()])
        os.close(write)
        tree.loop.add(self._read, self._changed)

    def _changed(self) -> None:
        if not os.read(self._read, 1024):
            self._tree.loop.drop(self._read)
            log.event(
                logging.ERROR,
                "supervisor.reload",
                error="the watcher of files has ended; changes are not seen",
            )
            return
        log.event(logging.INFO, "supervisor.reload", reason="files changed")
        for group in self._tree.groups:
            group.notes = None
        for item in self._tree.children.values():
            item.recycle = Recycle("reload", "files changed")
            self._tree.order(item, page.STOP)

    def end(self) -> None:
        """End the child."""
        process.end(self._pidfd)
        os.close(self._pidfd)
        self._tree.loop.drop(self._read)
        os.close(self._read)


def watch(folder: str, tell: int) -> int:
    """The body of the watching child: one byte to `tell` for every set of changed Python files."""
    from watchfiles import PythonFilter, watch

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for _ in watch(folder, watch_filter=PythonFilter(), raise_interrupt=False):
        os.write(tell, b"x")
    return exits.OK
