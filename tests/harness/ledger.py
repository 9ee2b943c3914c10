"""The account of a test: each line is one `os.write` to a file opened with O_APPEND, so that lines of killed processes
are there whole or not at all.

`I n` invoked, `A n` acknowledged, `U n` unknown (the push raised after it was sent), `S n pid delivery at` before a body,
`E n pid delivery at` after it and before its settlement, `O n outcome pid at` from a handler. `n` is the number that the
test gives to a task as its argument; `at` is nanoseconds of the boot clock.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from regiment import Queue
from regiment.errors import StoreUnavailable

ONE_OF = {"success", "failure", "timeout", "retry", "requeue", "stop", "cancel"}
"""Outcomes of which each delivery has exactly one (O); max_retries and dead may follow."""


class Line(NamedTuple):
    """One start or end of a body."""

    n: int
    pid: int
    delivery: int
    at: int


class Told(NamedTuple):
    """One call of a handler."""

    n: int
    outcome: str
    pid: int
    at: int


class Books:
    """Everything that is written in a ledger now."""

    def __init__(self, path: Path) -> None:
        self.invoked: set[int] = set()
        self.acknowledged: set[int] = set()
        self.unknown: set[int] = set()
        self.starts: dict[int, list[Line]] = defaultdict(list)
        self.ends: dict[int, list[Line]] = defaultdict(list)
        self.told: dict[int, list[Told]] = defaultdict(list)
        self.words: list[list[str]] = []
        """Lines of any other kind, which an application of a test wrote by itself."""
        for text in path.read_text().splitlines(keepends=True) if path.exists() else ():
            if not text.endswith("\n"):
                break  # its writer is in the middle of it
            kind, *rest = text.split()
            if kind in "IAU":
                n = int(rest[0])
                {"I": self.invoked, "A": self.acknowledged, "U": self.unknown}[kind].add(n)
            elif kind in "SE":
                line = Line(*(int(word) for word in rest))
                (self.starts if kind == "S" else self.ends)[line.n].append(line)
            elif kind == "O":
                self.told[int(rest[0])].append(Told(int(rest[0]), rest[1], int(rest[2]), int(rest[3])))
            else:
                self.words.append([kind, *rest])

    @property
    def running(self) -> list[Line]:
        """Starts without an end in the same process and delivery."""
        ended = {(line.n, line.pid, line.delivery) for lines in self.ends.values() for line in lines}
        return [
            line for lines in self.starts.values() for line in lines if (line.n, line.pid, line.delivery) not in ended
        ]

    @property
    def twice(self) -> dict[int, list[Line]]:
        """What started more than once."""
        return {n: lines for n, lines in self.starts.items() if len(lines) > 1}

    def extra_starts(self) -> int:
        """Starts beyond the first of each task."""
        return sum(len(lines) - 1 for lines in self.starts.values())

    def extra_ends(self) -> int:
        """Ends beyond the first of each task: runs that were whole and came again (D)."""
        return sum(len(lines) - 1 for lines in self.ends.values())

    def check(self, dead: Collection[int] = (), *, extra_starts: int | None = 0, extra_ends: int = 0) -> None:
        """L0, L1 and D: nothing lost, no phantom, at most so many starts and ends beyond one for each task."""
        lost = sorted(self.acknowledged - self.ends.keys() - set(dead))
        assert not lost, f"L0: {len(lost)} acknowledged tasks neither ended nor died: {lost[:20]}"
        phantoms = sorted(self.starts.keys() - self.acknowledged - self.unknown)
        assert not phantoms, f"L1: {len(phantoms)} tasks ran that nobody pushed: {phantoms[:20]}"
        assert self.extra_ends() <= extra_ends, (
            f"D: {self.extra_ends()} ran whole again, more than {extra_ends}: {self._some()}"
        )
        if extra_starts is not None:
            seen = self.extra_starts()
            assert seen <= extra_starts, f"D: {seen} starts too many, more than {extra_starts}: {self._some()}"

    def _some(self) -> str:
        return "; ".join(
            f"{n}: " + ", ".join(f"pid {line.pid} delivery {line.delivery}" for line in lines)
            for n, lines in list(self.twice.items())[:10]
        )

    def check_once(self, runs: int = 1) -> None:
        """O: each task had exactly `runs` outcomes, one for each of its deliveries."""
        for n in self.acknowledged:
            kinds = Counter(told.outcome for told in self.told[n] if told.outcome in ONE_OF)
            assert sum(kinds.values()) == runs, f"O: task {n} was told {dict(kinds)}; expected {runs} outcome(s)"


class Producer:
    """Pushes to a queue, and writes I, A and U down. `bulk` is the same queue for pushes of many."""

    def __init__(self, path: Path, queue: Queue, bulk: Queue | None = None) -> None:
        self.queue, self.bulk, self._path, self.next = queue, bulk or queue, path, 1

    def push(self, task: str = "nap", *, n: int | None = None, **kwargs: Any) -> int:
        """Push one task; its number. Options of a push stand under `options`."""
        options = kwargs.pop("options", {})
        number = self._number() if n is None else n
        self.write(f"I {number}")
        try:
            self.queue.options(name=task, **options).push(n=number, **kwargs)
        except StoreUnavailable as error:
            if error.maybe_pushed:
                self.write(f"U {number}")
            raise
        self.write(f"A {number}")
        return number

    def push_many(self, many: Iterable[dict[str, Any]], task: str = "nap") -> list[int]:
        """Push many in bulk; their numbers."""
        tasks = [{"n": self._number(), **kwargs} for kwargs in many]
        self.write("".join(f"I {kwargs['n']}\n" for kwargs in tasks).rstrip())
        pushed = self.bulk.options(name=task).push_many(tasks)
        assert pushed == len(tasks)
        self.write("".join(f"A {kwargs['n']}\n" for kwargs in tasks).rstrip())
        return [kwargs["n"] for kwargs in tasks]

    def write(self, text: str) -> None:
        """Append lines."""
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.write(fd, text.encode() + b"\n")
        os.close(fd)

    def _number(self) -> int:
        self.next += 1
        return self.next - 1


def boot_ns() -> int:
    """Nanoseconds of the clock that ledgers are written by."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
