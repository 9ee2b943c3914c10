"""One system in one variant on a store of its own: pushes, workers, and figures of both."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from board import STAMPS, TASKS, Board

from benchmark.measure.places import Place
from benchmark.measure.processes import Client, Failed, Workers
from benchmark.peers.system import Job, System, Variant

COUNTED = frozenset({"noop", "kept"})
"""Tasks without times: their runs are counted, and nothing else."""
LOOK = 0.005
"""Seconds between two looks at the board."""


class Sample(NamedTuple):
    """What had been used at one moment."""

    at: float
    workers: float
    server: float
    counters: dict[str, float]
    done: int

    def until(self, later: Sample, tasks: int) -> dict[str, float]:
        """Figures for each of so many tasks between two samples: CPU in µs, commands, round trips and bytes of the server."""
        found = {
            "worker_us": (later.workers - self.workers) / tasks * 1e6,
            "server_us": (later.server - self.server) / tasks * 1e6,
            "rate": tasks / (later.at - self.at),
        }
        for name in ("commands", "trips", "bytes"):
            if name in self.counters:
                found[name] = (later.counters[name] - self.counters[name]) / tasks
        return found


class Session:
    """Numbers of tasks never repeat in a session: those with times from 0, the others above."""

    def __init__(self, system: System, variant: Variant, bin: Path, place: Place) -> None:
        self.system, self.variant, self.place, self.bin = system, variant, place, bin
        path = place.folder / "board"
        if os.path.isdir("/dev/shm"):
            path = Path("/dev/shm", f"{place.folder.name}.board")
        self._path = path
        self.board = Board(str(path), create=True)
        self.environment = {
            **os.environ,
            **variant.env,
            "PATH": f"{bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}",  # as in an activated environment
            "BENCH_STORE": place.url,
            "BENCH_BOARD": str(path),
            "BENCH_VARIANT": variant.name,
            "XDG_RUNTIME_DIR": str(place.folder),
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONHASHSEED": "1",  # the same hashes in each run
        }
        # As users have it: buffered output, and no compiler on each start.
        for name in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"):
            self.environment.pop(name, None)
        self._numbers, self._stamps = STAMPS, 0
        app = system.app.format(store=variant.store)
        self.client = Client(app, self._job(1), self.environment, place.folder / "client.log")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._path.unlink()

    def _job(self, workers: int) -> Job:
        return Job(self.bin, self.place.url, self.variant.name, workers)

    def take(self, count: int, stamped: bool = False) -> int:
        """The first of so many numbers that nobody has had."""
        if stamped:
            first, self._stamps = self._stamps, self._stamps + count
            assert self._stamps <= STAMPS, "too many tasks with times in one session"
        else:
            first, self._numbers = self._numbers, self._numbers + count
            assert self._numbers <= TASKS, "too many tasks in one session"
        return first

    def push(
        self, task: str, count: int, *, bulk: bool = False, size: int = 0, seconds: float = 30.0
    ) -> tuple[int, dict[str, Any]]:
        """Push; the first number, and the client's answer."""
        first = self.take(count, stamped=task not in COUNTED)
        bulk = bulk and self.variant.bulk
        order = {"do": "push", "task": task, "first": first, "count": count, "size": size}
        return first, self.client.ask(**order, bulk=bulk, seconds=seconds)

    @contextmanager
    def workers(self, count: int = 1) -> Iterator[Workers]:
        """So many worker processes, until the block ends."""
        log = self.place.folder / "worker.log"
        with Workers(self.system, self._job(count), self.environment, log) as started:
            yield started

    def hold(self, workers: Workers) -> None:
        """Stop the workers, but not while one of them has the write lock."""
        for _ in range(100):
            workers.hold()
            time.sleep(LOOK)  # until they have stopped
            if self.place.free():
                return
            workers.go()
            time.sleep(LOOK)
        raise Failed("whenever the workers were stopped, one of them had the write lock")

    def sample(self, workers: Workers | None, first: int = 0, count: int = 0) -> Sample:
        """What has been used until now, and how many of these tasks are done."""
        done = self.board.done(first, count) if count else 0
        return Sample(
            time.monotonic(),
            workers.cpu() if workers else 0.0,
            self.place.cpu(),
            self.place.counters(),
            done,
        )

    def until(
        self,
        workers: Workers,
        first: int,
        count: int,
        least: int,
        within: float,
        at: float = math.inf,
    ) -> None:
        """Wait until so many of these tasks are done, or it is `at` (monotonic); Failed if neither comes."""
        end, looks = time.monotonic() + within, 0
        while (done := self.board.done(first, count)) < least:
            time.sleep(LOOK)
            looks += 1
            if time.monotonic() > at:
                return
            if looks % 20 == 0:
                workers.look()
            if time.monotonic() > end:
                raise Failed(f"{done} of {least} tasks done after {within:g} s")
