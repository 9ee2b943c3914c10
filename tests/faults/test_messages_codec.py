"""Rows 56, 57, 59 to 62 and 64 of the fault matrix, as far as the codec decides them.

Each message is spoiled as it would lie in a store. What must hold: an error that says what to do with it (dead at
once, or parked for a rolling deploy), nothing executed, bounded time and memory.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from regiment.codec import FIELDS, Codec, read_head
from regiment.errors import DecodeError, EncodeError, Forged, PayloadTooLarge
from regiment.task import Task
from regiment_serializers.msgpack import MsgpackSerializer
from regiment_serializers.pickle import PickleSerializer

WIRE = Path(__file__).parent.parent / "fixtures" / "wire"
sys.path.insert(0, str(WIRE))
from wire_messages import COMPRESSORS, EVERYTHING, SERIALIZERS, TASKS, codec  # noqa: E402

MIB = 1 << 20
READER = codec("msgpack", None)


def seal(data: bytes) -> bytes:
    """`data` with a checksum that matches: a message that was written so, not damaged."""
    return data + struct.pack("<I", zlib.crc32(data))


def refusal(payload: bytes, reader: Codec = READER) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        reader.decode(payload, "q")
    return caught.value


@pytest.mark.fault(56)
@pytest.mark.parametrize("compressor", [None, *COMPRESSORS])
@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_every_flipped_bit_and_every_cut_is_dead_at_once(serializer: str, compressor: str | None) -> None:
    one = codec(serializer, compressor)
    payload = one.encode(TASKS["large"])
    spoiled = [payload[:length] for length in range(len(payload))]
    spoiled += [
        payload[:at] + bytes([payload[at] ^ (1 << bit)]) + payload[at + 1 :]
        for at in range(len(payload))
        for bit in range(8)
    ]
    for message in random.Random(56).sample(spoiled, min(len(spoiled), 1500)) + spoiled[:50]:
        error = refusal(message, one)
        assert not error.parkable
        assert not isinstance(error, Forged)


@pytest.mark.fault(56)
@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "not a message of regiment: 0 bytes that start with nothing; expected a9 01"),
        (
            bytes(MIB - 100),
            "not a message of regiment: 1,048,476 bytes that start with 00 00 00 00 00 00 00 00; expected a9 01",
        ),
        (
            b'{"task": "of another framework"}',
            "not a message of regiment: 32 bytes that start with 7b 22 74 61 73 6b 22 3a; expected a9 01",
        ),
        (READER.encode(TASKS["small"])[:-1], "the message is damaged: its checksum does not match its 42 bytes"),
    ],
)
def test_what_is_no_message_is_dead_at_once_and_says_what_was_seen(payload: bytes, text: str) -> None:
    error = refusal(payload)
    assert str(error) == text and not error.parkable
    with pytest.raises(DecodeError):
        read_head(payload)


@pytest.mark.fault(56)
def test_a_whole_message_with_a_malformed_head_is_dead_at_once() -> None:
    for head in (
        b"\xa9\x01\x00\x00\x00",
        b"\xa9\x01\xff" + b"x" * 20,
        b"\xa9\x01\x07msgpack\x00\xc8id",
        b"\xa9\x01\x02\xff\xff\x00\x01i",
        b"\xa9\x01\x07msgpack\x00\x02\xff\xff\x90",
        b"\xa9\x00\x07msgpack\x00\x01i\x90",
        b"\xa9\x01\x07msgpack\x00\x05id\x90",
    ):
        assert not refusal(seal(head)).parkable


@pytest.mark.fault(57)
@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"\xa9\x01\x05cbor2\x00\x02t1", 'the message needs the serializer "cbor2", which is not installed here'),
        (
            b"\xa9\x01\x07msgpack\x06brotli\x02t1",
            'the message needs the compressor "brotli", which is not installed here',
        ),
        (
            b"\xa9\x03anything at all",
            "the message has envelope version 3; this release reads 2. A newer regiment "
            "wrote it: upgrade the workers of this queue",
        ),
    ],
)
def test_a_message_of_a_newer_deployment_is_parked(head: bytes, text: str) -> None:
    error = refusal(seal(head + b"\x90"))
    assert error.parkable and str(error) == text


@pytest.mark.fault(57)
def test_a_parked_message_still_tells_its_id() -> None:
    assert read_head(seal(b"\xa9\x01\x05cbor2\x06brotli\x02t1body")).task_id == "t1"


def releases() -> list[Any]:
    return [
        pytest.param(
            message,
            id=f"{path.stem}-{message['serializer']}-{message['compressor']}-{message['task']}",
        )
        for path in sorted(WIRE.glob("*.json"))
        for message in json.loads(path.read_text())
    ]


@pytest.mark.fault(59)
@pytest.mark.parametrize("message", releases())
def test_messages_of_every_release_are_read(message: Any) -> None:
    reader = codec(message["serializer"], None)
    task, expected = reader.decode(bytes.fromhex(message["hex"]), "q"), TASKS[message["task"]]
    for field in ("id", *FIELDS, "extra"):
        assert getattr(task, field) == getattr(expected, field), field


@pytest.mark.fault(59)
def test_fields_of_a_newer_release_are_kept_when_the_task_is_written_again() -> None:
    record = ["send", {"a": 1}, 1.5, 0, None, None, None, None, {"color": "red"}, 7]
    newer = seal(b"\xa9\x01\x07msgpack\x00\x02t1" + MsgpackSerializer().dumps(record))
    task = READER.decode(newer, "q")
    assert task.kwargs == {"a": 1} and task.extra == ({"color": "red"}, 7)
    task.run_count = 1
    again = READER.decode(READER.encode(task), "q")
    assert again.extra == task.extra and again.run_count == 1


@pytest.mark.fault(60)
def test_a_huge_task_is_refused_when_it_is_pushed() -> None:
    blob = bytes(8 * MIB + 1)
    for compressor in (None, "zstd"):
        with pytest.raises(PayloadTooLarge, match="Nothing was sent"):
            codec("msgpack", compressor).encode(Task("t1", "q", "send", {"blob": blob}, 1.0))


@pytest.mark.fault(60)
def test_a_huge_message_is_dead_without_being_looked_at() -> None:
    huge = READER.encode(TASKS["small"]) + bytes(100 * MIB)
    started = time.process_time()
    error = refusal(huge)
    assert time.process_time() - started < 0.01
    assert not error.parkable
    assert str(error).endswith("more than the 1,048,576 that payload_limit allows; it was not decoded")


BOMB = """
import sys, time
from regiment.codec import Codec
from regiment.errors import DecodeError
from regiment_serializers.msgpack import MsgpackSerializer
import importlib

kind, compressor, limit = sys.argv[1:4]
module, _, name = kind.partition(":")
part = getattr(importlib.import_module(module), name)()
payload = sys.stdin.buffer.read()
reader = Codec(("msgpack", MsgpackSerializer()), (compressor, part), payload_limit=int(limit),
               find_serializer={}.__getitem__, find_compressor={}.__getitem__)

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status", "rb") if line.startswith(b"VmHWM")) * 1024

before, started = peak(), time.process_time()
try:
    reader.decode(payload, "q")
    print("accepted")
except DecodeError as error:
    seconds = time.process_time() - started
    print(peak() - before, seconds, error.parkable, error)
"""


def zlib_bomb(wbits: int) -> bytes:
    """10 MB that unpack to 10 GB: one megabyte of zeros, flushed so that it can be repeated 10,000 times."""
    packer = zlib.compressobj(9, wbits=wbits)
    start = packer.compress(b"x") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + block * 10_000


def zstd_bomb(claimed: int) -> bytes:
    """80,000 blocks of "128 KiB of A", 10 GB, in a frame that claims to hold `claimed` bytes."""
    block = ((1 << 20) | 2).to_bytes(3, "little") + b"A"
    last = ((1 << 20) | 3).to_bytes(3, "little") + b"A"
    return struct.pack("<IBQ", 0xFD2FB528, 0b1110_0000, claimed) + block * 79_999 + last


def bzip2_bomb() -> bytes:
    import bz2

    return bz2.compress(bytes(45 * MIB)) * 200


def lzma_bomb(preset: int) -> bytes:
    import lzma

    return lzma.compress(bytes(64 * MIB), preset=preset) * 160


def nested_bomb() -> bytes:
    """A bomb in a bomb: the outer one unpacks to a compressed one, of which nothing more is unpacked."""
    return zlib.compress(zlib_bomb(zlib.MAX_WBITS))


HOMES = {
    "zlib": "regiment_compressors.zlib:ZlibCompressor",
    "gzip": "regiment_compressors.zlib:GzipCompressor",
    "bzip2": "regiment_compressors.bzip2:Bzip2Compressor",
    "lzma": "regiment_compressors.lzma:LzmaCompressor",
    "zstd": "regiment_compressors.zstd:ZstdCompressor",
}
BOMBS = {
    "zlib": ("zlib", lambda: zlib_bomb(zlib.MAX_WBITS)),
    "zlib, nested": ("zlib", nested_bomb),
    "gzip": ("gzip", lambda: zlib_bomb(zlib.MAX_WBITS | 16)),
    "bzip2, concatenated": ("bzip2", bzip2_bomb),
    "lzma, concatenated": ("lzma", lambda: lzma_bomb(6)),
    "lzma with a window of 64 MiB": ("lzma", lambda: lzma_bomb(9)),
    "zstd, honest": ("zstd", lambda: zstd_bomb(80_000 * 131_072)),
    "zstd that claims the limit": ("zstd", lambda: zstd_bomb(8 * MIB)),
    "zstd that claims little": ("zstd", lambda: zstd_bomb(1000)),
}


@pytest.mark.fault(61)
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_at_the_limit_in_bounded_memory_and_time(bomb: str) -> None:
    compressor, make = BOMBS[bomb]
    packed = make()
    name = compressor.encode()
    payload = seal(b"\xa9\x01\x07msgpack" + bytes([len(name)]) + name + b"\x01i" + packed)
    # The limit is the row's 8 MiB, or a bomb of 10 MB would be refused for its own size before it is unpacked.
    limit = max(8 * MIB, len(payload) + 1)
    done = subprocess.run(
        [sys.executable, "-c", BOMB, HOMES[compressor], compressor, str(limit)],
        input=payload,
        capture_output=True,
        check=True,
    )
    held, seconds, parkable, error = done.stdout.decode().split(" ", 3)
    assert parkable == "False" and error
    # Beside the result itself, the copy of the body that the compressor reads counts as held.
    assert int(held) < limit + 16 * MIB
    # The promise is 0.1 s; 0.05 s of CPU were the most seen. Three times the promise, for machines that are shared.
    assert float(seconds) < 0.3


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


@pytest.mark.fault(62)
def test_a_forged_pickle_is_refused_before_it_is_read(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    bare = pickle.dumps(["send", {"a": Trap(str(mark))}, 1.0, 0, None, None, None])
    reader = codec("pickle", None)
    for body in (
        bare,
        bytes(32) + bare,
        PickleSerializer("another key of length").dumps(Trap(str(mark))),
    ):
        error = refusal(seal(b"\xa9\x01\x06pickle\x00\x01i" + body), reader)
        assert isinstance(error, Forged) and not error.parkable
        packed = seal(b"\xa9\x01\x06pickle\x04zlib\x01i" + zlib.compress(body))
        assert isinstance(refusal(packed, reader), Forged)
    assert not mark.exists()


@pytest.mark.fault(62)
def test_a_queue_that_does_not_use_pickle_never_reads_one(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    signed = SERIALIZERS["pickle"].dumps(["n", {"a": Trap(str(mark))}, 1.0, 0, None, None, None])
    error = refusal(seal(b"\xa9\x01\x06pickle\x00\x01i" + signed))
    assert not error.parkable and "it was refused unread" in str(error)
    assert not mark.exists()


def nested(kind: Any, levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = kind(value)
    return value


@pytest.mark.fault(64)
@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize(
    "value",
    [
        *(
            pytest.param(nested(kind, levels), id=f"{name} {levels} deep")
            for name, kind in [("lists", lambda x: [x]), ("tuples", lambda x: (x,)), ("dicts", lambda x: {"k": x})]
            for levels in (30, 500, 100_000)
        ),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param("\ud83d\ude00", id="two surrogates that would make one character"),
        pytest.param({"\udfff": 1}, id="a surrogate key"),
        pytest.param([float("inf"), -float("inf")], id="infinities"),
        pytest.param(dict.fromkeys(range(10**6)), id="a million int keys"),
        pytest.param({str(key): key for key in range(10**5)}, id="many keys"),
    ],
)
def test_extreme_values_come_back_or_are_refused_in_words(serializer: str, value: Any) -> None:
    one = codec(serializer, None)
    try:
        payload = one.encode(Task("t1", "q", "n", {"value": value}, 1.0))
    except EncodeError as error:
        assert str(error).startswith(('kwargs["value"]', "kwargs["))
        assert len(str(error)) < 1000
    except PayloadTooLarge:
        pass
    else:
        back = one.decode(payload, "q").kwargs["value"]
        assert one.encode(Task("t1", "q", "n", {"value": back}, 1.0)) == payload
        assert type(back) is type(value) and (isinstance(value, (list, tuple, dict)) or back == value)


@pytest.mark.fault(64)
@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_nan_comes_back_as_nan(serializer: str) -> None:
    one = codec(serializer, None)
    back = one.decode(one.encode(Task("t1", "q", "n", {"x": float("nan")}, 1.0)), "q").kwargs["x"]
    assert back != back and type(back) is float


@pytest.mark.fault(64)
def test_a_culprit_among_a_million_keys_is_found() -> None:
    with pytest.raises(EncodeError, match=r'^kwargs\["many"\]\["bad"\]: a value of type object'):
        READER.encode(Task("t1", "q", "n", {"many": {**dict.fromkeys(range(10**6)), "bad": object()}}, 1.0))


def test_the_fixtures_hold_every_type_of_the_table() -> None:
    kinds = {type(value) for value in EVERYTHING.values()} | {type(one) for one in EVERYTHING["sets"]}
    names = {kind.__name__ for kind in kinds} | {"float", "int", "bool", "frozenset", "set"}
    for name in (
        "NoneType",
        "str",
        "bytes",
        "tuple",
        "dict",
        "list",
        "datetime",
        "date",
        "UUID",
        "Decimal",
    ):
        assert name in names
