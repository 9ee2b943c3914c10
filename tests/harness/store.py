"""The store as a test sees it, through the contract: what waits, what is dead, and raw payloads going in."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterable
from typing import Any

from harness.wait import eventually
from regiment.config import as_use
from regiment.contracts import Connector, Counts
from regiment.errors import DecodeError, StoreUnavailable
from regiment.queue import Queue
from regiment.registry import registry

COUNTING = 50e-6
"""Seconds to wait for each task that was counted before all are counted again."""


def connector(url: str, role: Any) -> Connector:
    """A connector to the store at `url`, opened."""
    made: Connector = registry().build("connectors", as_use(url))
    made.open(role)
    return made


class Store:
    """One queue of one store."""

    def __init__(self, url: str, queue: Queue) -> None:
        self.url, self.queue = url, queue
        self._look: Connector | None = None

    @property
    def look(self) -> Connector:
        """A connector that only looks."""
        if self._look is None:
            self._look = connector(self.url, "look")
        return self._look

    def between_writes(self) -> bool:
        """Whether nobody holds SQLite's write lock now; a process that is stopped while it does holds up everyone."""
        if not self.url.startswith("sqlite:"):
            return True
        with contextlib.closing(
            sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=0, isolation_level=None)
        ) as handle:
            try:
                handle.execute("BEGIN IMMEDIATE")
                handle.execute("ROLLBACK")
            except sqlite3.OperationalError:
                return False
        return True

    def stop_between_writes(self, pids: Iterable[int]) -> None:
        """SIGSTOP these processes at a moment when none of them is in a write."""
        for _ in range(100):
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            if self.between_writes():
                return
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.01)
        raise AssertionError("the store was never at rest")

    def close(self) -> None:
        """Give up the connection."""
        if self._look is not None:
            self._look.close()
            self._look = None

    def counts(self) -> Counts:
        """How many tasks are where."""
        return self.look.counts(self.queue.name)

    def quiet(self, within: float) -> Counts:
        """Q: wait until nothing is ready, leased or delayed."""

        def over() -> Counts | None:
            with contextlib.suppress(StoreUnavailable):  # a busy machine's server may be late
                found = self.counts()
                left = found.ready + found.leased + found.delayed
                if not left:
                    return found
                # MongoDB counts them one by one, which must not be all that it does.
                time.sleep(left * COUNTING)
            return None

        return eventually(over, within, lambda: f"quiet; {self.counts()}")

    def dead(self) -> dict[int, dict[str, Any]]:
        """Number of each dead letter's task, and its reason. What cannot be decoded stands under negative numbers."""
        found: dict[int, dict[str, Any]] = {}
        for index, letter in enumerate(self.look.dead(self.queue.name, 100_000)):
            reason = json.loads(letter.reason)
            try:
                task = self.queue.broker.codec.decode(letter.payload, self.queue.name)
            except DecodeError:
                found[-1 - index] = {**reason, "payload": letter.payload}
            else:
                found[task.kwargs.get("n", -1 - index)] = {**reason, "payload": letter.payload}
        return found

    def peek(self, state: Any = "ready") -> list[tuple[int, int]]:
        """(number, count) of the first tasks of a state, in the order in which they would run."""
        decode = self.queue.broker.codec.decode
        return [
            (decode(seen.payload, self.queue.name).kwargs["n"], seen.count)
            for seen in self.look.peek(self.queue.name, state, 1000)
        ]

    def put(self, *payloads: bytes) -> None:
        """Push raw payloads."""
        from regiment.task import new_id

        raw = connector(self.url, "push")
        raw.push(self.queue.name, payloads, priority=1, token=new_id())
        raw.close()
