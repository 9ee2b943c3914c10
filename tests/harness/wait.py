"""Waiting for something to become true, with a deadline and a reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from harness import stalls
from harness.ledger import boot_ns

T = TypeVar("T")

STEP = 0.004
"""Seconds between two looks; twice as long as the look took, if that is more: who looks all the time slows what it waits for."""


def eventually(what: Callable[[], T | None], within: float, why: object = "") -> T:
    """The first true answer of `what`; AssertionError with `why` (called, if it can be) when `within` seconds are over,
    in which the machine ran.
    """
    began = boot_ns()
    while True:
        asked = boot_ns()
        found = what()
        if found:
            return found
        if (asked - began) / 1e9 - within > stalls.lost(began):
            told = why() if callable(why) else why
            raise AssertionError(f"not within {within:g} s: {told or what}; the last answer: {found!r}")
        time.sleep(max(STEP, 2e-9 * (boot_ns() - asked)))


def took(since: int, until: int | None = None) -> float:
    """Seconds between two moments of the boot clock, `until` now, in which the machine ran."""
    return ((boot_ns() if until is None else until) - since) / 1e9 - stalls.lost(since, until)


def state_of(pid: int) -> str | None:
    """The letter of a process's state (`R`, `S`, `T`, `Z`, …), or None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()
    except OSError:
        return None


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    return state_of(pid) not in (None, "Z", "X")


def children(pid: int) -> list[int]:
    """The children of a process's main thread, zombies included."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split()]
    except OSError:
        return []


def descriptors(pid: int) -> int:
    """How many descriptors a process keeps open: the least of some looks, as it may write a file in one of them."""
    looks = []
    for _ in range(10):
        looks.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
        time.sleep(STEP)
    return min(looks)


def with_variable(entry: str) -> list[int]:
    """Processes that run with `NAME=value` in their environment: a tree and all its descendants, daemons included."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and alive(int(folder.name)):
            try:
                variables = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if entry.encode() in variables:
                found.append(int(folder.name))
    return found
