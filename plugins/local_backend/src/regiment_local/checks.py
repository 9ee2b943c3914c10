"""Rules of `regiment doctor` for the embedded file, L01 to L06."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from regiment.contracts import Examined, Finding
from regiment_local import files
from regiment_local.laying import LOG_LIMIT
from regiment_local.local import LocalConnector

TMPFS = 0x01021994
"""What statfs says of a file system in memory."""
SHORT, SHORTEST = 1024**3, 64 * 1024**2
"""Bytes left on the disk, below which it is a warning, and a failure."""
NEAR = 4
"""How many folders above the file are looked through, for other files of queues."""


def rules(examined: Examined) -> Iterator[Finding]:
    """All rules of the file; none if the store is no file."""
    if isinstance(examined.store, LocalConnector):
        path = examined.store.path
        folder = os.path.dirname(path)
        there = folder if os.path.isdir(folder) else os.getcwd()
        yield Finding("L01")  # where locks do not hold it is refused (`files.OnNetwork`)
        yield of_system(folder, files.file_system(there))
        yield room(path, _free(there))
        yield log_of(path, LOG_LIMIT)
        yield from others(path, os.getcwd())
        if examined.deep:
            yield whole(path)


def of_system(folder: str, kind: int) -> Finding:
    """L02: whether the file outlives a reboot."""
    if kind != TMPFS:
        return Finding("L02")
    return Finding(
        "L02", "warn", f"{folder} is in memory (tmpfs): the tasks are gone at the next boot", "a path on a disk"
    )


def _free(folder: str) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def room(path: str, free: int) -> Finding:
    """L03: how much room is left beside it."""
    if free >= SHORT:
        return Finding("L03")
    text = f"{free / 1024**2:,.0f} MiB are left on the disk of {path}; pushes are refused when it is full"
    return Finding("L03", "fail" if free < SHORTEST else "warn", text, "make room on that disk")


def log_of(path: str, limit: int) -> Finding:
    """L04: whether the write-ahead log grows, as a reader that never ends makes it."""
    try:
        size = os.stat(path + "-wal").st_size
    except OSError:
        return Finding("L04")
    if size <= 2 * limit:
        return Finding("L04")
    text = f"{path}-wal has {size / 1024**2:,.0f} MiB: somebody reads the file for long, and keeps it from shrinking"
    return Finding("L04", "warn", text, f"end what has it open: fuser {path}")


def others(path: str, start: str) -> Iterator[Finding]:
    """L05: other files of queues near by, which pushes from other folders go to."""
    found = [str(one) for one in _near(Path(start)) if str(one) != path]
    if not found:
        yield Finding("L05")
        return
    text = f"there {_are(found)} near {path}: {', '.join(found)}. What is pushed from there goes there"
    yield Finding(
        "L05",
        "warn",
        text,
        "REGIMENT_CONNECTOR=sqlite:////absolute/path.db for all, or a pyproject.toml above them all",
    )


def _are(found: Sequence[str]) -> str:
    return "is another file of queues" if len(found) == 1 else f"are {len(found)} other files of queues"


def _near(start: Path) -> list[Path]:
    """`.regiment/queue.db` of this folder, of those above it, and of those directly below it."""
    found = set[Path]()
    with contextlib.suppress(OSError):
        found.update(start.glob(f"*/{files.FOLDER}/queue.db"))
    for folder in [start, *start.parents][:NEAR]:
        with contextlib.suppress(OSError):
            found.update(folder.glob(f"{files.FOLDER}/queue.db"))
    return sorted(found)


def whole(path: str) -> Finding:
    """L06: whether the file is whole; reads all of it."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as handle:
            said = handle.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        said = str(error)
    if said == "ok":
        return Finding("L06")
    return Finding(
        "L06",
        "fail",
        f"{path} is damaged: {said}",
        "stop all workers, restore the file; letters can be saved: regiment dead list --json",
    )
