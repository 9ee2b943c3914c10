"""The ends of workers: reaping them, what follows, and failed starts."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from regiment import exits, log
from regiment.printing import say
from regiment_runner.shared import page, process
from regiment_runner.shared.descendants import end_group
from regiment_runner.supervisor import ends
from regiment_runner.supervisor.ends import End
from regiment_runner.supervisor.members import Child

if TYPE_CHECKING:
    from regiment_runner.supervisor.tree import Supervisor


class Deaths:
    """Deals with the ends of a tree's workers, until the keeper has given back what each held."""

    def __init__(self, tree: Supervisor) -> None:
        self._tree = tree
        self.waiting: list[Child] = []
        """Workers that have ended and whose tasks the keeper has not given back yet."""
        self._told: set[str] = set()

    def reap(self, item: Child) -> None:
        """A worker has ended: judge its end, have the keeper give back what it held, and see what follows."""
        tree = self._tree
        end_group(item.pid, item.pidfd)
        status = process.reap(item.pidfd)
        if status is None:
            return
        tree.nursery.hear(item)
        tree.loop.drop(item.pidfd)
        tree.loop.drop(item.channel.fileno())
        del tree.children[item.name]
        item.group.children.remove(item)
        self.waiting.append(item)
        tree.look_at_descendants()
        tree.care.changed = True
        end = ends.judge(item, status, status == -signal.SIGKILL and tree.care.kills.another())
        self._follow(item, end)
        joined = any(True for _ in item.page.joins())
        if not tree.keeping.bury(item.name, joined, **ends.post_mortem(item, status, end)):
            self.forget(item.name)

    def _follow(self, item: Child, end: End) -> None:
        """What follows an end: another worker, a pause before it, or the end of all."""
        group, tree = item.group, self._tree
        tree.dead_letters += item.page.words[page.DEAD_LETTERS]
        if end.kind == "start":
            if not tree.stopping:
                self._failed_start(item, end)
            elif item.failed and self._told and not group.first_error:
                self._tell(item.failed["text"])  # another target that cannot start either
            return
        fields = {"worker": item.pid, "target": group.label, "tasks": item.page.words[page.TASKS]}
        log.event(end.level, end.event, None, reason=end.reason, **fields)
        group.ends[end.kind] += 1
        group.last_end = end.reason
        if end.kind in ("stop", "burst"):
            if end.kind == "stop" and not group.over:
                for other in group.children:
                    tree.order(other, page.STOP)
            group.over = True

    def _failed_start(self, item: Child, end: End) -> None:
        group, failed, tree = item.group, item.failed, self._tree
        text = failed["text"] if failed else f"it ended before it was ready: {end.reason}"
        if failed and not group.proven and failed["code"] != exits.CRASH_LOOP:
            self._give_up(failed["code"], text)
            return
        group.failures += 1
        group.first_error = group.first_error or text
        if group.failures >= tree.give_up:
            log.event(logging.ERROR, "supervisor.crash_loop", target=group.label, failures=group.failures)
            self._give_up(
                exits.CRASH_LOOP,
                f"{group.label} failed to start {group.failures} times in a row\n{group.first_error}",
            )
            return
        first, last = tree.crash_backoff
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
        if self._tree.exit_code == exits.OK:
            self._tree.exit_code = code
        self._tree.stop("a worker cannot start")

    def _tell(self, text: str) -> None:
        """Say why the tree cannot go on: each reason once, however many children have it."""
        if text not in self._told:
            self._told.add(text)
            say(f"error: {text}")

    def forget(self, name: str) -> None:
        """The keeper has given back what it held: nothing is left to do for this child."""
        for item in [item for item in self.waiting if item.name == name]:
            self.waiting.remove(item)
            path: Path = item.page.path
            item.page.close()
            for fd in (item.pidfd, item.wake):
                os.close(fd)
            item.channel.close()
            for file in (path, path.with_suffix(".stacks")):
                file.unlink(missing_ok=True)
