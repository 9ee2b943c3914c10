"""What a tree tells of itself at its stores: who serves which queue, of what code, and what that knows.

The record is JSON. Of the tree: host, pid, release (REGIMENT_RELEASE), `regiment` and `python` (versions), `since` (seconds since the
epoch), `plugins` (names). `targets`: label, queue, code (a print of the sources), tasks and reads (names; None: not told), `since`, and
`ends` of workers in the last hour, by kind. `workers`: name, pid, queue, `tasks` that it ended, `rate` a second, which target it is of, its
`state`, what it runs `now` (task, id, since), `memory` (MiB, resident), `cpu` (seconds) and `since`, when it started, to ten seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

from regiment import __version__
from regiment_runner.keeper.store import NEWS, Store
from regiment_runner.keeper.ward import Ward
from regiment_runner.shared import page, procfs
from regiment_runner.shared.page import Page
from regiment_runner.shared.works import standing, works

SOON = 0.2
"""Seconds after which workers are told of that have joined: those that start together are told of together."""
NOT_MORE = 1.0
"""Seconds between two times that a tree tells of itself, for the sake of who has joined."""
LATELY = 3600.0
"""Seconds for which the end of a worker is told of."""
MOST_RUNNING = 4
"""Tasks of a worker that are told of, of those that it runs now."""
RESTLESS = re.compile(rb',"memory":\d+,"cpu":\d+')
"""What changes in a worker that does nothing, too: it is told with what else has changed, or in its turn."""
UNTOLD = frozenset({"stop", "burst", "ordered", "max_tasks_per_run", "respawn", "idle", "reload", "cancelled"})
"""Kinds of ends that are no trouble."""


class Presence:
    """Tells the stores of a tree who is here, under a name."""

    def __init__(self, name: str) -> None:
        self._name, self._since = name, int(time.time())
        self._ends: defaultdict[str, deque[tuple[float, str]]] = defaultdict(lambda: deque(maxlen=1000))
        self._seen: dict[tuple[str, str], float] = {}
        """Label and code -> when it was first served."""

    def joined(self, store: Store, wards: Iterable[Ward]) -> None:
        """A worker is there: it is told of soon, unless it takes the place of one that was told of."""
        mine = [ward for ward in wards if _serves(ward, store)]
        for ward in mine:
            self._first(ward.spec)
        if len(mine) > store.announced_workers:
            now = time.monotonic()
            store.announce_at = min(store.announce_at, max(now + SOON, store.announced_at + NOT_MORE))

    def ended(self, ward: Ward, end: Mapping[str, Any]) -> None:
        """A worker has ended, as its supervisor says."""
        if (kind := end.get("kind")) and kind not in UNTOLD:
            self._ends[str(end.get("target", ""))].append((time.time(), str(kind)))

    def tell(self, store: Store, wards: Iterable[Ward], lease: float) -> None:
        """Say who is here: when that has changed, else twice in the time for which it is believed."""
        mine = [ward for ward in wards if _serves(ward, store)]
        record, now = self.record(mine), time.monotonic()
        store.announce_at, store.announced_workers = float("inf"), len(mine)
        changed = RESTLESS.sub(b"", record) != RESTLESS.sub(b"", store.announced)
        if changed or now - store.announced_at >= lease / 2:
            store.announced, store.announced_at = record, now
            store.ask(("presence",), lambda c: c.announce(self._name, store.announced, lease), turn=NEWS, quiet=True)

    def over(self, store: Store) -> None:
        """Say that nobody is here any more."""
        store.ask(("presence", "end"), lambda c: c.announce(self._name, b"", 0.001), turn=NEWS)

    def record(self, wards: Iterable[Ward]) -> bytes:
        """What is told of these workers."""
        here, targets, plugins = list[dict[str, Any]](), dict[tuple[str, str], dict[str, Any]](), set[str]()
        for ward in wards:
            with contextlib.suppress(ValueError):  # a page that was unmapped meanwhile: its worker has ended
                if ward.page.damage() is None:
                    target = self._target(ward.spec)
                    plugins.update(ward.spec.get("known", {}).get("plugins", ()))
                    key = target["label"], target["code"]
                    targets.setdefault(key, target)
                    pid, tasks, rate = ward.page.words[page.PID], ward.page.words[page.TASKS], round(ward.rate(), 2)
                    at = list(targets).index(key)
                    one = {"worker": ward.name, "pid": pid, "queue": target["queue"], "tasks": tasks, "rate": rate}
                    here.append({**one, "target": at, **_present(ward.page, pid)})
        tree = {"host": os.uname().nodename, "pid": os.getppid(), "release": os.environ.get("REGIMENT_RELEASE", "")}
        tree |= {"regiment": __version__, "python": platform.python_version(), "since": self._since}
        found = {**tree, "plugins": sorted(plugins), "targets": list(targets.values()), "workers": here}
        return json.dumps(found, separators=(",", ":")).encode()

    def _first(self, spec: Mapping[str, Any]) -> float:
        """When this code was first served: two hosts are told apart by it, and a deploy takes less than a second."""
        known = spec.get("known", {})
        return self._seen.setdefault((known.get("label", ""), known.get("code", "")), round(time.time(), 3))

    def _target(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        known = spec.get("known", {})
        label, code = known.get("label", ""), known.get("code", "")
        lately = time.time() - LATELY
        ends = Counter(kind for at, kind in self._ends.get(label, ()) if at > lately)
        told = {"label": label, "queue": spec["queue"], "code": code, "since": self._first(spec), "ends": dict(ends)}
        return {**told, "tasks": known.get("tasks"), "reads": known.get("reads")}


def _present(sheet: Page, pid: int) -> dict[str, Any]:
    """How a worker is, and what it runs now."""
    process, running = procfs.stat(pid), works(sheet)
    now = [
        {"task": one.name, "id": one.id, "since": round(time.time() - one.seconds)} for one in running[:MOST_RUNNING]
    ]
    told: dict[str, Any] = {"state": standing(sheet, process.state if process else "X", bool(running)), "now": now}
    if process is not None and process.lives:
        up = time.clock_gettime(time.CLOCK_BOOTTIME) - process.started / procfs.TICKS
        told |= {
            "memory": process.resident >> 20,
            "cpu": round(process.cpu),
            "since": round((time.time() - up) / 10) * 10,
        }
    return told


def _serves(ward: Ward, store: Store) -> bool:
    return ward.store is store and ward.dead is None
