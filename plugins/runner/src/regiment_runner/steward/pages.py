"""What runs in the tree of this process, read off the pages of its workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from regiment.contracts import AtWork
from regiment_runner.shared import page, places
from regiment_runner.shared.page import Page
from regiment_runner.shared.works import works


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
