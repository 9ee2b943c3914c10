"""When nothing runs, a tree dozes: its supervisor and its keeper give up their ticks until something is told to them.

A worker that gets tasks tells a supervisor that dozes (the word DOZING of its page). The keeper goes on with what is due, and its
pages say when it looks again (LOOKING): one that is later than that by as much as it may ever be silent is replaced, as one is that
does not tick. Whoever asks for a sign of life (`asking`) gets it at once.
"""

from __future__ import annotations

import contextlib
import os
import time

from regiment_runner.shared import asking, page
from regiment_runner.shared.silence import RENEWALS
from regiment_runner.supervisor.folder import Watch
from regiment_runner.supervisor.heartbeat import Notify
from regiment_runner.supervisor.members import Tree

CALM = 3
"""Ticks without news after which a tree may doze."""


class Doze:
    """Decides whether a tree dozes, and tells those whom it concerns."""

    def __init__(self, tree: Tree) -> None:
        self._tree, options = tree, tree.options
        self._restless = bool(
            options.max_memory
            or options.reload
            or options.heartbeat
            or Notify().watchdog
            or any(group.high > group.low for group in tree.groups)
        )
        """Whether somebody has asked for what needs every tick."""
        self._stirred, self._started = time.monotonic(), 0
        self._asked = False
        self._watch, self._ask = Watch(), -1

    @property
    def wakers(self) -> list[int]:
        """The descriptors that wake, and for which nobody is called."""
        return [self._watch.fd] if self._watch.fd >= 0 else []

    @property
    def fds(self) -> list[int]:
        """The descriptors that no child keeps."""
        return [fd for fd in (self._watch.fd, self._ask) if fd >= 0]

    def look(self, now: float, woken: set[int]) -> bool:
        """Decide, having been woken by these descriptors; whether a sign of life is due now, whatever the time."""
        tree = self._tree
        if self._restless:
            return False
        taken, looks = self._watch.read(), self._keeper_looks()
        news = woken - {self._ask, *self.wakers, *tree.keeping.fds}
        calm = not (taken or news) and looks is not None and self._calm()
        if not calm:
            self._stirred = now
        before = tree.dozing
        if before and not (calm and tree.keeping.dozing):
            self._dozes(False)
        elif not before and now - self._stirred >= CALM * tree.options.tick and self._can_be_told():
            self._dozes(True)
            time.sleep(page.DRAIN_WAIT)  # R15: who has read the word before it said so has written by now what it holds
            if not self._calm():
                self._stirred = now
                self._dozes(False)
        if tree.dozing and looks is not None:
            tree.keeping.expect(now + looks)
        asked, self._asked = self._asked, False
        return asked or tree.dozing != before

    def _keeper_looks(self) -> float | None:
        """Seconds until the keeper looks again, as its pages say; None if that cannot be: a worker can write anything there."""
        served = [item for item in self._tree.children.values() if item.spec is not None]
        if not served:
            return None
        seconds = (min(item.page.words[page.LOOKING] for item in served) - page.now()) / 1e9
        return None if seconds > min(item.spec["lease"] for item in served if item.spec) / RENEWALS + 1 else seconds

    def _dozes(self, dozing: bool) -> None:
        tree = self._tree
        tree.dozing = dozing
        for item in tree.children.values():
            item.page.words[page.DOZING] = int(dozing)
        tree.keeping.doze(dozing)

    def _calm(self) -> bool:
        """True if nothing runs, and nothing has been started since this was asked last."""
        tree = self._tree
        before, self._started = self._started, sum(item.page.highest() for item in tree.children.values())
        return (
            self._started == before
            and not (tree.stopping or tree.waiting or tree.changed or tree.services.sides)
            and not (tree.keeping.unacknowledged or tree.keeping.busy)
            and all(group.over or len(group.children) == group.size for group in tree.groups)
            and all(item.resting for item in tree.children.values())
        )

    # What wakes it

    def _can_be_told(self) -> bool:
        """Whether it hears of what is taken from its folder, and of whoever asks for a sign of life."""
        folder = str(self._tree.folder)
        try:
            if not self._watch.over(folder):
                return False
            if self._ask < 0 or not asking.heard(folder, self._ask):
                self._hang_up()
                self._ask = asking.listen(folder)
                self._tree.loop.add(self._ask, self._hear)
        except OSError:
            return False
        return True

    def _hear(self) -> None:
        self._asked = True
        with contextlib.suppress(OSError):
            os.read(self._ask, 4096)

    def _hang_up(self) -> None:
        if self._ask >= 0:
            self._tree.loop.drop(self._ask)
            os.close(self._ask)
            self._ask = -1

    def end(self) -> None:
        """The tree has ended."""
        self._hang_up()
        self._watch.close()
