"""What runs in the tree of this process, read off the pages of its workers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from regiment.contracts import AtWork
from regiment_runner.shared import counting, page, places, procfs
from regiment_runner.shared.page import Page
from regiment_runner.shared.works import standing, works


class Worker(NamedTuple):
    """One worker of the tree."""

    queue: str
    state: str
    """starting, idle, busy, quiet, stopping, or frozen: stopped or traced from outside."""
    running: int
    """Tasks that it runs now."""
    memory: int
    """Resident bytes."""


class Tree(NamedTuple):
    """The tree as its pages, its ledger and its roster show it."""

    workers: list[Worker]
    ended: Mapping[str, Mapping[str, list[int]]]
    """Queue -> task -> how often it ended in each of `regiment.contracts.OUTCOMES`, and at the end nanoseconds that it ran."""
    ends: Mapping[str, Mapping[str, int]]
    """Target -> how often its workers have ended, by what ended them (`crash`, `timeout`, `memory`, `max_tasks_per_run`, …)."""


def tree(folder: Path) -> Tree:
    """All of the tree in this folder."""
    return Tree(
        [worker for sheet in _pages(folder) for worker in _worker(sheet)], counting.ended(folder), _ends(folder)
    )


def _worker(sheet: Page) -> Iterator[Worker]:
    """The worker of a page, if its process lives."""
    process = procfs.stat(int(sheet.words[page.PID]))
    if process is not None and process.lives:
        queue = next((join.queue for _, join in sheet.joins()), "")
        running = sum(phase in page.OPEN for _, _, phase in sheet.numbers())
        yield Worker(queue, standing(sheet, process.state, bool(running)), running, process.resident)


def _ends(folder: Path) -> dict[str, dict[str, int]]:
    try:
        found = json.loads((folder / places.ROSTER).read_bytes())
        return {str(one["label"]): dict(one["ends"]) for one in found["targets"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def at_work(folder: Path, queue: str, seconds: float) -> list[AtWork]:
    """The tasks of a queue that have run for so long."""
    return [
        AtWork(work.id, pid, work.seconds, None if work.done is None else (work.done, work.total or 0, work.note))
        for sheet in _pages(folder)
        if next((join.queue for _, join in sheet.joins()), None) == queue
        for pid in (int(sheet.words[page.PID]),)
        for work in works(sheet)
        if work.id is not None and work.seconds >= seconds
    ]


def _pages(folder: Path) -> Iterator[Page]:
    for path in folder.glob("*.page"):
        try:
            sheet = Page(path, read_only=True)
        except (OSError, ValueError):
            continue  # it was taken away meanwhile
        try:
            if sheet.damage() is None:
                yield sheet
        finally:
            sheet.close()


def own_tree(supervisor: int) -> Path | None:
    """The folder of the tree whose supervisor has this pid."""
    try:
        found = (Path(folder) for folder in places.trees())
        return next((folder for folder in found if folder.name.partition("-")[0] == str(supervisor)), None)
    except OSError:
        return None
