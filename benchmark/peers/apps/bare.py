"""What the bare loops share: a task as small as regiment's, and everything that is done with it but the framework."""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import Any

import msgpack
import tasks

BATCH = int(os.environ.get("BENCH_BATCH", "1"))
_note = struct.Struct("<QQQ").pack_into
_mark = struct.Struct("<Q").pack_into
_page = mmap.mmap(-1, 4096)
_unpack = msgpack.unpackb


class Job:
    """A task object."""

    __slots__ = ("date", "id", "kwargs", "name")

    def __init__(self, id: str, name: str, kwargs: dict[str, Any], date: float) -> None:
        self.id, self.name, self.kwargs, self.date = id, name, kwargs, date


def record(task: str, n: int, body: str) -> bytes:
    """A message."""
    kwargs = {"n": n, "body": body} if body else {"n": n}
    packed: bytes = msgpack.packb((f"01jd3k7q9zx4w8yc2m-{n:x}", task, kwargs, time.time()))
    return packed


def run_one(number: int, payload: bytes) -> None:
    """Decode, task object, note and deadline into shared memory, call, finished mark."""
    job = Job(*_unpack(payload))
    deadline = time.monotonic_ns() + 30_000_000_000
    _note(_page, 0, deadline, deadline, number << 3 | 1)
    tasks.FUNCTIONS[job.name](**job.kwargs)
    _mark(_page, 16, number << 3 | 5)
