"""What the trees of this user do now, read from their folders: pages are mapped read-only, and nobody is asked."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from regiment.contracts import OUTCOMES
from regiment.errors import RegimentError
from regiment_runner.shared import asking, counting, page, places, procfs
from regiment_runner.shared.page import Page
from regiment_runner.shared.places import ROSTER
from regiment_runner.shared.tally import Tallies
from regiment_runner.shared.works import Work, standing, works
from regiment_runner.supervisor.heartbeat import BEAT
from regiment_runner.verbs.health import PATIENCE, silence


class Row(NamedTuple):
    """One worker. `memory` is resident bytes, `cpu` seconds used so far, `up` seconds; None: not known from here."""

    host: str
    supervisor: int
    pid: int
    target: str | None
    queue: str | None
    state: str
    tasks: int
    memory: int | None
    cpu: float | None
    up: float | None
    work: list[Work]

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {**self._asdict(), "work": [work._asdict() for work in self.work]}


class Tree(NamedTuple):
    """One supervisor and its workers. `targets` is what its roster says of them: label, low, high, size, ends, last_end."""

    host: str
    pid: int
    regiment: str | None
    keeper: int | None
    up: float | None
    memory: int | None
    cpu: float | None
    heartbeat: float | None
    """Seconds since its last sign of life."""
    stopping: bool
    targets: list[dict[str, Any]]
    workers: list[Row]
    ended: dict[str, Tallies]
    """Queue -> what has ended in this tree, also in workers that have ended since."""

    def record(self) -> dict[str, Any]:
        """As plain data."""
        ended = {
            queue: {
                name: {**dict(zip(OUTCOMES, row, strict=False)), "seconds": row[-1] / 1e9}
                for name, row in tallied.items()
            }
            for queue, tallied in self.ended.items()
        }
        return {**self._asdict(), "workers": [row.record() for row in self.workers], "ended": ended}


def look() -> list[Tree]:
    """All living trees of this user on this host."""
    try:
        return [_tree(Path(folder)) for folder in places.trees()]
    except FileNotFoundError:
        return []
    except places.Unsafe as error:
        raise RegimentError(str(error)) from None


def _tree(folder: Path) -> Tree:
    pid, host = int(folder.name.partition("-")[0]), os.uname().nodename
    roster, beat = _read(folder / ROSTER), _read(folder / BEAT)
    known = {worker.get("pid"): worker for worker in roster.get("workers", ())}
    rows = [row for path in _pages(folder) if (row := _row(path, host, pid, known))]
    process = _process(pid)
    return Tree(
        host,
        pid,
        roster.get("regiment"),
        roster.get("keeper"),
        process.up,
        process.memory,
        process.cpu,
        _silence(folder / BEAT, beat),
        bool(beat.get("stopping")),
        roster.get("targets", []),
        rows,
        counting.ended(folder),
    )


def _silence(path: Path, beat: dict[str, Any]) -> float | None:
    """Seconds since the last sign of life; None where there is none."""
    try:
        seconds = silence(beat["boot"], path.stat().st_mtime)
        if seconds > PATIENCE and beat.get("dozing"):  # it gives none unless it is asked
            asking.ask(str(path.parent), str(path))
            seconds = silence(beat["boot"], path.stat().st_mtime)
        return seconds
    except (KeyError, OSError):
        return None


def _read(path: Path) -> dict[str, Any]:
    """A file of a tree; empty where it has none, as a worker in the foreground."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _pages(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.page"), key=lambda path: (len(path.stem), path.stem))


def _row(path: Path, host: str, supervisor: int, known: dict[Any, dict[str, Any]]) -> Row | None:
    """One page; None if it was taken away meanwhile, or its worker has ended and waits to be given back."""
    try:
        sheet = Page(path, read_only=True)
    except (OSError, ValueError):
        return None
    try:
        if sheet.damage() is not None:
            return None
        words, pid = sheet.words, int(sheet.words[page.PID])
        process = _process(pid)
        if process.memory is None or supervisor not in (pid, process.parent):
            return None
        work = works(sheet)
        queue = next((join.queue for _, join in sheet.joins()), None)
        said = known.get(pid, {})
        state = standing(sheet, process.state, bool(work))
        tasks = int(words[page.TASKS])
    finally:
        sheet.close()
    return Row(
        host,
        supervisor,
        pid,
        said.get("target"),
        queue or said.get("queue"),
        state,
        tasks,
        process.memory,
        process.cpu,
        process.up,
        work,
    )


class Process(NamedTuple):
    """What procfs says of a process; `memory` is None if there is none."""

    state: str = "X"
    parent: int = 0
    cpu: float | None = None
    memory: int | None = None
    up: float | None = None


def _process(pid: int) -> Process:
    found = procfs.stat(pid)
    if found is None or not found.lives:
        return Process()
    up = time.clock_gettime(time.CLOCK_BOOTTIME) - found.started / procfs.TICKS
    return Process(found.state, found.parent, found.cpu, found.resident, max(0.0, up))


def elsewhere(records: Iterable[bytes]) -> list[Row]:
    """Workers of other hosts, from the presence records that their keepers write to the store."""
    here, found = os.uname().nodename, []
    for data in records:
        try:
            record = json.loads(data)
            host, supervisor = str(record["host"]), int(record["pid"])
            rows = [
                Row(
                    host,
                    supervisor,
                    int(one["pid"]),
                    None,
                    str(one["queue"]),
                    "alive",
                    int(one["tasks"]),
                    None,
                    None,
                    None,
                    [],
                )
                for one in record["workers"]
            ]
        except Exception:
            continue  # a record of another release, or none of ours: no such record hides the others
        if host != here:
            found += rows
    return sorted(found)
