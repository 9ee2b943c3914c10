"""What the supervisor does at every tick besides striking: memory, scaling, and signs of life."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

from regiment import __version__, log
from regiment_runner.shared import page, places, process, procfs
from regiment_runner.supervisor import heartbeat, memory
from regiment_runner.supervisor.members import Child, Group, Recycle, Tree

CLOSE_LOOK = 0.1
"""Seconds between two readings of memory while a worker is above its limit."""

EARLY = 0.25
"""Part of a tick by which its duties may be early or late: so they are done when the keeper's own tick wakes us anyway."""


class Care:
    """The duties of a tick. `look` does what is due and returns when it wants to look again (monotonic time)."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._notify = heartbeat.Notify()
        given = tree.options.heartbeat
        places = [str(tree.folder / heartbeat.BEAT), *([given] if given else [])]
        self._hearts = [heartbeat.Heartbeat(place, tree.options.tick) for place in places]
        self._throttle = log.Throttle()
        self._keeper = 0
        self._folder = (0, 0)
        """The tree's folder as it was at the last look: its number, and when a name in it changed."""
        self.kills = memory.Kills()
        self._ticked, self._memory_at, self._scale_at = -1e9, 0.0, 0.0

    def look(self, now: float) -> float:
        """Do what is due."""
        tree, tick = self._tree, self._tree.options.tick
        pause = tree.pause
        if tree.options.max_memory and now >= self._memory_at:
            near = [self._weigh(item, tree.options.max_memory) for item in list(tree.children.values())]
            self._memory_at = now + (min(CLOSE_LOOK, tick) if any(near) else tick)
        if now >= self._ticked + (1 - EARLY) * pause:
            self._ticked = now
            self._look_at_folder()
            self._let_leave(now)
            self._live()
        if now >= self._scale_at and any(group.high > group.low for group in tree.groups):
            # Twice a tick, so that what follows from a look (the keeper's answer, the start) is within one, too.
            self._scale_at = now + tick / 2
            self._scale(now)
        if tree.changed or tree.keeping.pid != self._keeper:
            tree.changed, self._keeper = False, tree.keeping.pid
            try:
                heartbeat.write(tree.folder / places.ROSTER, self._roster())
            except OSError as error:
                self._unwritten(tree.folder, error)
        times = (self._ticked + (1 + EARLY) * pause, self._scale_at, self._memory_at)
        return min(at for at in times if at > now)

    def look_again(self) -> None:
        """Do at the next look what a tick does."""
        self._ticked = -1e9

    def stopping(self, again: bool) -> None:
        """The tree has begun to end; with `again` the same process will start it anew."""
        self._notify.reloading() if again else self._notify.stopping()
        self._live()

    def end(self) -> None:
        """The tree has ended."""
        for heart in self._hearts:
            heart.end()

    def _let_leave(self, now: float) -> None:
        """Every end has the stop timeout, whatever it was ordered for: a worker that has done with its tasks and hangs in
        `finalize`, or in the closing of a connection, is killed and makes room for the next.
        """
        for item in self._tree.children.values():
            if item.ready and item.page.words[page.STATE] == page.STOPPING and not item.stopped:
                item.leaving = item.leaving or now
                if now - item.leaving >= self._tree.options.stop_timeout:
                    item.stopped = True
                    process.send(item.pidfd, signal.SIGKILL)

    # The folder

    def _look_at_folder(self) -> None:
        """A worker whose page was removed goes on, but nobody sees it, and no new keeper finds it: it is replaced."""
        tree = self._tree
        status: os.stat_result | None
        try:
            status = os.stat(tree.folder)
            if (status.st_ino, status.st_mtime_ns) == self._folder:
                return  # nothing was made or removed there
            here = set(os.listdir(tree.folder))
        except OSError:
            status, here = None, set()
        absent = [item for item in tree.children.values() if item.page.path.name not in here]
        if status is not None and not absent:
            self._folder = (status.st_ino, status.st_mtime_ns)
        lost = [item for item in absent if item.ready and item.recycle is None]
        try:
            tree.have_folder()
        except OSError as error:
            self._unwritten(tree.folder, error)
        if lost and not tree.stopping:
            log.event(
                logging.ERROR,
                "supervisor.pages_lost",
                path=str(tree.folder),
                workers=len(lost),
                reason="something outside has removed them (systemd: RemoveIPC=, tmpfiles.d; or a cleaning script)",
                next="these workers are replaced when they have finished what they run",
            )
            for item in lost:
                item.recycle = Recycle("page", "page removed from outside")
                tree.order(item, page.STOP)

    # Memory

    def _weigh(self, item: Child, limit: int) -> bool:
        """Recycle a worker that is above the limit, kill one above the hard limit; whether it is above."""
        used = procfs.resident(item.pid) or 0
        if used <= limit:
            return False
        hard = int(limit * self._tree.options.memory_factor)
        if used > hard and item.fatal is None:
            item.fatal = {
                "kind": "memory",
                "reason": process.out_of_memory(used, hard),
                "rss": used,
                "rung": "SIGKILL",
            }
            process.send(item.pidfd, signal.SIGKILL)
        elif item.recycle is None and item.ready:
            item.recycle = Recycle("memory", process.out_of_memory(used, limit))
            self._tree.order(item, page.STOP)
        return True

    # Scaling

    def _scale(self, now: float) -> None:
        for group in self._tree.groups:
            if group.high == group.low or group.over:
                continue
            busy = [item for item in group.children if item.busy(now)]
            if len(busy) == len(group.children) and busy and group.size < group.high:
                self._tree.keeping.ask_backlog(busy[0].name)
            idle = [
                item for item in group.children if now - item.idle_since >= self._tree.options.scale_down and item.ready
            ]
            if idle and group.size > group.low and not any(item.recycle for item in group.children):
                group.size -= 1
                item = min(idle, key=lambda one: one.idle_since)
                item.recycle = Recycle("idle", f"idle for {now - item.idle_since:.0f} s")
                self._tree.order(item, page.STOP)

    def backlog(self, group: Group, ready: int) -> None:
        """Tasks wait and all workers of the group are busy: start as many again, up to its most."""
        if ready > 0 and group.size < group.high:
            before, group.size = (
                group.size,
                min(group.high, group.size + min(ready, max(1, group.size))),
            )
            log.event(
                logging.INFO,
                "supervisor.scaled",
                target=group.label,
                workers=group.size,
                was=before,
                ready=ready,
            )

    # Signs of life

    def _live(self) -> None:
        tree = self._tree
        ready = sum(item.serving for item in tree.children.values())
        wanted = sum(group.size for group in tree.groups if not group.over)
        if all(group.proven for group in tree.groups):
            self._notify.ready()
        self._notify.alive()
        missing = [
            group.label for group in tree.groups if not group.over and not any(item.serving for item in group.children)
        ]
        for heart in self._hearts:
            try:
                heart.beat(ready, wanted, missing=missing, stopping=tree.stopping, dozing=tree.dozing)
            except OSError as error:
                self._unwritten(heart.path, error)

    def _unwritten(self, path: Path, error: OSError) -> None:
        """A disk that is full costs the signs of life, not the workers."""
        if self._throttle() is not None:
            log.event(logging.ERROR, "supervisor.heartbeat", error=str(error), path=str(path))

    def _roster(self) -> dict[str, Any]:
        """What the pages do not tell: who belongs to which target, and how those before them ended."""
        tree, started = self._tree, time.time() - time.monotonic()
        return {
            "regiment": __version__,
            "keeper": tree.keeping.pid,
            "targets": [
                {
                    "label": group.label,
                    "low": group.low,
                    "high": group.high,
                    "size": group.size,
                    "ends": dict(group.ends),
                    "last_end": group.last_end,
                }
                for group in tree.groups
            ],
            "workers": [
                {
                    "name": item.name,
                    "pid": item.pid,
                    "target": item.group.label,
                    "ready": item.ready,
                    "queue": item.spec["queue"] if item.spec else None,
                    "started": round(started + item.started, 3),
                }
                for item in tree.children.values()
            ],
        }
