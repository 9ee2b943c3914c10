"""What the codec costs above its serializer: CPU time of encode + decode against bare msgpack, same record, one run.

    python -m benchmark.stores.codec_cost

Prints nanoseconds and, what can be compared between machines, ratios to bare `packb` + `unpackb`.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from typing import Any

import msgpack

from regiment.codec import Codec
from regiment.task import Task
from regiment_serializers.msgpack import MsgpackSerializer

ROUNDS, CALLS = 60, 3_000


def nanoseconds(*calls: Callable[[], Any]) -> list[float]:
    """CPU time per call; the calls take turns, so that a slow moment of the machine meets all of them."""
    timers = [timeit.Timer(call, timer=time.process_time) for call in calls]
    rounds = [[timer.timeit(CALLS) for timer in timers] for _ in range(ROUNDS)]
    return [min(times) / CALLS * 1e9 for times in zip(*rounds, strict=True)]


def nothing(name: str) -> Any:
    raise LookupError(name)


def main() -> None:
    serializer = MsgpackSerializer()
    codec = Codec(
        ("msgpack", serializer),
        None,
        payload_limit=8 << 20,
        find_serializer=nothing,
        find_compressor=nothing,
    )
    task = Task("01jd3k7q9zx4w8yc2m-1f", "mail", "send", {"to": "a@b.c", "n": 3}, 1727000000.125)
    record = [task.name, task.kwargs, task.date, 0, None, None, None]
    body, payload = msgpack.packb(record), codec.encode(task)
    pack, unpack, dumps, loads, encode, decode = nanoseconds(
        lambda: msgpack.packb(record),
        lambda: msgpack.unpackb(body),
        lambda: serializer.dumps(record),
        lambda: serializer.loads(body),
        lambda: codec.encode(task),
        lambda: codec.decode(payload, "mail"),
    )
    bare = pack + unpack
    print(f"body {len(body)} bytes, message {len(payload)} bytes; ns of CPU, ratio to the bare pair")
    for name, one, other in [
        ("msgpack packb, unpackb", pack, unpack),
        ("serializer dumps, loads", dumps, loads),
        ("codec encode, decode", encode, decode),
    ]:
        print(f"{name:<24} {one:7.0f} {other:7.0f}   {(one + other) / bare:5.2f}")
    print(f"codec above bare msgpack: {encode + decode - bare:.0f} ns")


if __name__ == "__main__":
    main()
