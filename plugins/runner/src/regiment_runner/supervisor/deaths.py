"""The ends of workers: reaping them, what follows, and failed starts."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from regiment import exits, log
from regiment_cli.printing import say
from regiment_runner.keeper.release import running
from regiment_runner.shared import page, process
from regiment_runner.shared.descendants import end_group
from regiment_runner.shared.messages import PostMortem
from regiment_runner.shared.tally import add, tallies
from regiment_runner.supervisor import ends
from regiment_runner.supervisor.ends import End
from regiment_runner.supervisor.members import Child, Tree
from regiment_runner.supervisor.pauses import grown

STEADY = 10.0
"""Seconds after which a worker that ends without a task is no sign that the next one will."""


class Deaths:
    """Deals with the ends of a tree's workers, until the keeper has given back what each held.

    `hear` reads a worker's last words, `reap` looks after what it has left behind, `oom` tells whether the kernel has killed
    one more process for memory, `stop` ends the tree.
    """

    def __init__(
        self,
        tree: Tree,
        hear: Callable[[Child], None],
        reap: Callable[[], None],
        oom: Callable[[], bool],
        stop: Callable[[str], None],
    ) -> None:
        self._tree, self._hear, self._reap, self._oom, self._stop = tree, hear, reap, oom, stop
        self._told: set[str] = set()

    def reap(self, item: Child) -> None:
        """A worker has ended: judge its end, have the keeper give back what it held, and see what follows."""
        tree = self._tree
        end_group(item.pid, item.pidfd)
        status = process.reap(item.pidfd)
        if status is None:
            return
        item.believable()
        self._hear(item)
        tree.loop.drop(item.pidfd)
        tree.loop.drop(item.channel.fileno())
        del tree.children[item.name]
        item.group.children.remove(item)
        tree.waiting.append(item)
        self._reap()
        tree.changed = True
        end = ends.judge(item, status, status == -signal.SIGKILL and self._oom())
        self._follow(item, end)
        joined = any(True for _ in item.page.joins())
        told = {"kind": end.kind, "reason": end.reason, "target": item.group.label}
        how: PostMortem = {**ends.post_mortem(item, status, end), "end": told}
        if not tree.keeping.bury(item.name, joined, **how):
            self.forget(item.name)

    def _follow(self, item: Child, end: End) -> None:
        """What follows an end: another worker, a pause before it, or the end of all."""
        group, tree = item.group, self._tree
        tree.dead_letters += item.page.words[page.DEAD_LETTERS]
        add(tree.ended, tallies(item.page, dead=True))
        if end.kind == "start":
            if not tree.stopping:
                self._failed_start(item, end)
            elif item.failed and self._told and not group.first_error:
                self._tell(item.failed["text"])  # another target that cannot start either
            return
        fields = {"worker": item.pid, "target": group.label, "tasks": item.page.words[page.TASKS]}
        if end.event == "worker.crashed" and (ran := running(item.page)):
            fields["running"] = ", ".join(f"{one['name']} {one['id']}".strip() for one in ran)
        log.event(end.level, end.event, None, reason=end.reason, **fields)
        group.ends[end.kind] += 1
        group.last_end = end.reason
        if not tree.stopping:
            self._brake(item, end)
        kind = item.how if end.kind == "stop_timeout" else end.kind
        if kind in ("stop", "burst"):
            if kind == "stop" and not group.over:
                for other in group.children:
                    tree.order(other, page.STOP)
            group.over = True

    def _failed_start(self, item: Child, end: End) -> None:
        group, failed, tree = item.group, item.failed, self._tree
        text = failed["text"] if failed else f"it ended before it was ready: {end.reason}"
        if failed and not group.proven and failed["code"] != exits.CRASH_LOOP:
            self.give_up(failed["code"], text)
            return
        if failed and failed.get("exhausted") and group.proven:
            self._exhausted(item, text)
            return
        group.failures += 1
        group.first_error = group.first_error or text
        if group.failures >= tree.options.give_up:
            log.event(logging.ERROR, "supervisor.crash_loop", target=group.label, failures=group.failures)
            self.give_up(
                exits.CRASH_LOOP,
                f"{group.label} failed to start {group.failures} times in a row\n{group.first_error}",
            )
            return
        delay = self._pause(item, group.failures)
        shown = text.splitlines()[0] if text == group.last_error else text
        group.last_error = text
        log.event(
            logging.ERROR,
            "worker.crashed",
            target=group.label,
            reason=shown,
            next_in=round(delay, 1),
        )

    def _exhausted(self, item: Child, text: str) -> None:
        """What a start lacked (descriptors, processes, memory) may be there again soon: no reason to give up."""
        pause = item.group.pauses.refused()
        item.group.next_start = time.monotonic() + pause
        log.event(
            logging.ERROR,
            "supervisor.exhausted",
            error=text.splitlines()[0],
            what=f"a worker of {item.group.label}",
            next_in=round(pause, 1),
        )

    def _brake(self, item: Child, end: End) -> None:
        """A worker that was ready and has ended by itself without a task begun is started again with growing pauses, and
        after some in a row not any more; one whose only deed was to give tasks back and ask for another, with pauses.
        """
        group, now = item.group, time.monotonic()
        if end.kind == "crash" and end.reason == process.in_words(-signal.SIGKILL):
            return  # not by itself: somebody has killed it
        crashed = end.kind in ("crash", "oom", "memory") and item.fruitless
        if not crashed and not (end.kind == "respawn" and item.over == 0):
            group.fruitless = 0
            return
        steady = [one for one in group.children if one.ready and not one.fruitless]
        if now - item.started >= STEADY:
            group.fruitless = 0
        group.fruitless += 1
        if group.fruitless == 1:
            group.first_end = (item.failed and item.failed["text"]) or end.reason
        if crashed and group.fruitless >= self._tree.options.give_up and not steady:
            log.event(logging.ERROR, "supervisor.crash_loop", target=group.label, failures=group.fruitless)
            self.give_up(
                exits.CRASH_LOOP,
                f"workers of {group.label} ended {group.fruitless} times in a row before they had begun a task\n"
                f"{group.first_end}",
            )
        elif group.fruitless > 1:  # the first is replaced at once
            delay = self._pause(item, group.fruitless - 1)
            log.event(
                logging.WARNING,
                "supervisor.braked",
                target=group.label,
                reason=end.reason,
                next_in=round(delay, 1),
            )

    def _pause(self, item: Child, failures: int) -> float:
        """Put the next start of a group off, the longer the more have failed; seconds."""
        first, last = self._tree.options.crash_backoff
        delay = grown(first, last, failures - 1)
        item.group.next_start = time.monotonic() + delay
        return delay

    def give_up(self, code: int, text: str) -> None:
        """Say why the tree cannot go on, and end it."""
        self._tell(text)
        if self._tree.exit_code == exits.OK:
            self._tree.exit_code = code
        self._stop("a worker cannot start")

    def _tell(self, text: str) -> None:
        """Say why the tree cannot go on: each reason once, however many children have it."""
        if text not in self._told:
            self._told.add(text)
            say(f"error: {text}")

    def forget(self, name: str) -> None:
        """The keeper has given back what it held: nothing is left to do for this child."""
        for item in [item for item in self._tree.waiting if item.name == name]:
            self._tree.waiting.remove(item)
            path: Path = item.page.path
            item.page.close()
            for fd in (item.pidfd, item.wake):
                os.close(fd)
            item.channel.close()
            for file in (path, path.with_suffix(".stacks")):
                file.unlink(missing_ok=True)
