"""Fuzzing of what strangers' bytes meet first: `read_head`, `decode`, the serializers and compressors. Seeded, for FUZZ seconds (3).

Whatever the bytes are: a task or a `DecodeError`, in bounded time and memory, nothing imported, and what was read can be written
again. A failure prints the seed and the bytes; `FUZZ_SEED=… FUZZ=60 pytest tests/fuzz` goes on from there.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regiment.build import make_codec
from regiment.codec import Codec, read_head
from regiment.config import Use, WorkerConfig
from regiment.errors import DecodeError, EncodeError, PayloadTooLarge
from regiment.registry import registry
from regiment.task import Task

SECONDS = float(os.environ.get("FUZZ", "3"))
SEED = int(os.environ.get("FUZZ_SEED", "20261129"))
LIMIT = 1 << 20
SLOWEST = 5.0
"""Seconds of CPU that one message may take: a hang is longer."""
PICKLE = Use("pickle", key="a key for fuzzing only")


def codec(serializer: str | Use = "msgpack", **settings: Any) -> Codec:
    config = WorkerConfig(name="q", serializer=serializer, payload_limit=LIMIT, **settings)
    return make_codec(config, registry())


READERS = [
    codec(),
    codec("json"),
    codec(PICKLE),
    codec("msgpack", accept=("msgpack", "json", PICKLE)),
    codec(PICKLE, accept=("pickle",)),
]


def seeds() -> list[bytes]:
    """Whole messages of every kind, from which mutations start."""
    rich: dict[str, Any] = {
        "text": "é🙂" * 20,
        "n": [0, -1, 2**64, -(2**80), 1.5],
        "b": b"\x00\xff" * 200,
        "t": (1, (2, {3})),
        "d": {1: {"!set": [1]}},
        "s": {1, "x", frozenset([2])},
        "deep": [[[[[[]]]]]],
        "none": None,
    }
    found = []
    for serializer in ("msgpack", "json", PICKLE):
        for compressor in (None, "zlib", "gzip", "bzip2", "lzma", "zstd"):
            try:
                one = codec(serializer, compressor=compressor)
            except Exception:  # a compressor that is not built in here
                continue
            for kwargs in ({}, {"a": 1}, rich, {"long": "again " * 300}):
                found.append(one.encode(Task("id-1", "q", "send", kwargs, 1.5)))
            retried = Task(
                "id-2", "q", "send", {"a": 1}, 1.5, run_count=2, trace_id="t", headers={"h": "x"}, expires=9e9
            )
            found.append(one.encode(retried))
    return found


CORPUS = seeds()


def sealed(data: bytes) -> bytes:
    """With a checksum that fits, so that what is behind it is reached."""
    return data + crc32(data).to_bytes(4, "little")


INTERESTING = [
    bytes([b]) for b in (0, 1, 0x7F, 0x80, 0x81, 0x90, 0x91, 0xC0, 0xC1, 0xC4, 0xC7, 0xC9, 0xD4, 0xD8, 0xDD, 0xDF, 0xFF)
] + [
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\x00\x10\x00\x00",
    b"\xd4\x02\x90",
    b"\xc7\x09\x08" + b"\x7f" * 9,
    b"[" * 50,
    b'{"!dict":[',
    b"NaN",
    b"1e999",
    b"9" * 4301,
    b"os:abort",
    b"../x",
    b"\xed\xa0\x80",
    b'{"!int":"0x',
    b'"!decimal"',
    b"\\ud800",
]


def mutated(rng: random.Random) -> bytes:
    """A message with some bytes changed, moved, cut or put in, sealed most of the time."""
    data = bytearray(rng.choice(CORPUS)[:-4])
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at:at] = rng.choice(INTERESTING) * rng.choice((1, 1, 1, 2, 50))
            case 2:
                del data[at : at + rng.randint(1, 8)]
            case 3 if at < len(data):
                data[at] = rng.randrange(256)
            case 4:
                other = rng.choice(CORPUS)
                start = rng.randrange(len(other))
                data[at : at + rng.randint(0, 9)] = other[start : start + rng.randint(1, 40)]
            case _:
                data[at : at + 4] = rng.randbytes(4)
    return sealed(bytes(data)) if rng.random() < 0.9 else bytes(data)


def meet(payload: bytes) -> None:
    """What must hold of any bytes, for each reader."""
    try:
        read_head(payload)
    except DecodeError as error:
        assert str(error)
    for reader in READERS:
        began = time.process_time()
        try:
            task = reader.decode(payload, "q")
        except DecodeError as error:
            assert 0 < len(str(error)) < 1000
            continue
        finally:
            assert time.process_time() - began < SLOWEST
        assert type(task.name) is str and type(task.kwargs) is dict and type(task.id) is str
        try:
            again = reader.decode(reader.encode(task), "q")
        except (EncodeError, PayloadTooLarge):
            continue  # said in words; the delivered bytes are what then goes on
        assert (again.name, again.id, again.run_count) == (task.name, task.id, task.run_count)


def fuzz(make: Callable[[random.Random], bytes], seconds: float) -> int:
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until or number < 50:
        seed = SEED * 1_000_003 + number
        payload = make(random.Random(seed))
        try:
            meet(payload)
        except BaseException:
            print(f"FUZZ_SEED={SEED}, number {number}, bytes {payload.hex()}", file=sys.stderr)
            raise
        number += 1
    return number


def test_a_spoiled_message_is_a_task_or_a_decode_error_and_imports_nothing() -> None:
    for payload in CORPUS:
        meet(payload)  # loads what our own parts need
    fuzz(mutated, min(SECONDS, 0.5))
    before = set(sys.modules)
    fuzz(mutated, SECONDS)
    assert set(sys.modules) == before


def test_any_body_behind_a_whole_head_is_a_task_or_a_decode_error() -> None:
    def made(rng: random.Random) -> bytes:
        serializer = rng.choice([b"msgpack", b"json", b"pickle"])
        body = b"".join(
            rng.choice(INTERESTING) if rng.random() < 0.7 else rng.randbytes(rng.randint(1, 12))
            for _ in range(rng.randint(0, 40))
        )
        if serializer == b"msgpack" and rng.random() < 0.7:
            body = b"\x93\xa4send\x81\xa1a" + body + b"\xcb" + bytes(8)
        head = bytes([0xA9, 1, len(serializer)]) + serializer + b"\x00\x02id"
        return sealed(head + body)

    fuzz(made, SECONDS / 2)


@pytest.mark.parametrize("place", ["serializer", "compressor"])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.text(st.characters(max_codepoint=127), max_size=60), body=st.binary(max_size=50))
def test_any_name_in_a_head_is_looked_up_and_never_imported(place: str, name: str, body: bytes) -> None:
    names = [name, ""] if place == "serializer" else ["msgpack", name]
    data = bytes([0xA9, 1])
    for text in (*names, "id"):
        data += bytes([len(text)]) + text.encode()
    before = set(sys.modules)
    meet(sealed(data + body))
    new = {module for module in set(sys.modules) - before if module.split(".")[0] in name}
    assert not new


@settings(max_examples=200, deadline=None)
@given(payload=st.binary(max_size=300), seal=st.booleans())
def test_any_bytes_are_a_task_or_a_decode_error(payload: bytes, seal: bool) -> None:
    meet(sealed(b"\xa9\x01" + payload) if seal else payload)
