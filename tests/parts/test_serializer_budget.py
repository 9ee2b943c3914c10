"""What a stranger's bytes may cost a reader: memory by elements, time by keys that hash alike. And what they may not cost us."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import zlib
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgpack
import pytest

from regiment.errors import DecodeError
from regiment_serializers.budget import ALIKE, ELEMENTS
from regiment_serializers.json import JsonSerializer
from regiment_serializers.msgpack import MsgpackSerializer

MSGPACK, JSON = MsgpackSerializer(), JsonSerializer()
BOTH = pytest.mark.parametrize("serializer", [MSGPACK, JSON], ids=["msgpack", "json"])
PRIME = sys.hash_info.modulus
MANY = 60_000
ALIKE_KEYS: dict[str, Any] = {
    "ints": lambda at: at * PRIME,
    "UUIDs": lambda at: UUID(int=at * PRIME + 1),
    "Decimals": lambda at: Decimal(at * PRIME),
    "tuples of them": lambda at: (at * PRIME, "x"),
}


def array(items: list[Any]) -> bytes:
    return b"\xdd" + len(items).to_bytes(4, "big") + b"".join(map(MSGPACK.dumps, items))


def as_dict(serializer: Any, keys: list[Any]) -> bytes:
    """A dict of these keys as a stranger writes it, without asking us."""
    if serializer is MSGPACK:
        return b"\xdf" + len(keys).to_bytes(4, "big") + b"".join(MSGPACK.dumps(k) + b"\x01" for k in keys)
    return b'{"!dict":[' + b",".join(b"[" + JSON.dumps(k) + b",1]" for k in keys) + b"]}"


def as_set(serializer: Any, items: list[Any]) -> bytes:
    if serializer is MSGPACK:
        inner = array(items)
        return b"\xc9" + len(inner).to_bytes(4, "big") + b"\x02" + inner
    return b'{"!set":[' + b",".join(map(JSON.dumps, items)) + b"]}"


@BOTH
@pytest.mark.parametrize("written", [as_dict, as_set])
@pytest.mark.parametrize("kind", ALIKE_KEYS)
def test_keys_that_hash_alike_are_refused_before_they_cost_anything(serializer: Any, written: Any, kind: str) -> None:
    data = written(serializer, [ALIKE_KEYS[kind](at) for at in range(1, MANY)])
    began = time.process_time()
    with pytest.raises(DecodeError, match=r"hash alike|more than 64 bits is a key"):
        serializer.loads(data)
    assert time.process_time() - began < 5, "unguarded these take from 25 s to minutes"


@BOTH
def test_an_integer_key_beyond_64_bits_is_refused_in_both_directions(serializer: Any) -> None:
    for key in (2**64, -(2**63) - 1, 10**30):
        with pytest.raises(ValueError, match="an integer of more than 64 bits is a key of a dict"):
            serializer.dumps({"a": [({"b": {key: 1}},)]})
        with pytest.raises(DecodeError, match="an integer of more than 64 bits is a key of a dict"):
            serializer.loads(as_dict(serializer, [key]))
        assert serializer.loads(serializer.dumps({"a": key, "b": {key}})) == {"a": key, "b": {key}}
    edges = {2**64 - 1: 1, -(2**63): 2}
    assert serializer.loads(serializer.dumps(edges)) == edges


@BOTH
@pytest.mark.parametrize(
    "value",
    [
        {2.0**power for power in range(-1000, 1000)},
        {UUID(int=at * 7919 << 60): at for at in range(5000)},
        {(at, str(at)): at for at in range(5000)},
        {Decimal(at) / 7 for at in range(1, 3000)},
        {at * PRIME + at % 97 for at in range(3000)},
        {at: {at} for at in range(5000)},
        {str(at): [at] for at in range(5000)},
        [{"id": UUID(int=at), "seen": {at, str(at)}, at: None} for at in range(20_000)],
        "ßüö" * 400_000,
        b"\xc7\xd4\x90\x80" * 300_000,
        ",[{" * 400_000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_large_honest_values_come_back(serializer: Any, value: Any) -> None:
    assert serializer.loads(serializer.dumps(value)) == value


@BOTH
@pytest.mark.parametrize("many", [ELEMENTS // 2 - 5, ELEMENTS // 2 + 5], ids=["fits", "too many"])
@pytest.mark.parametrize(
    "make",
    [
        lambda many: [[] for _ in range(many)],
        lambda many: ([{} for _ in range(many)],),
        lambda many: {"a": [[1] for _ in range(many)]},
        lambda many: list(range(2 * many)),
        lambda many: dict.fromkeys(map(str, range(2 * many))),
        lambda many: [{1} for _ in range(many // 2)],
    ],
    ids=["lists", "dicts in a tuple", "lists of one", "flat", "entries", "sets"],
)
def test_what_a_push_accepts_can_be_read(serializer: Any, make: Any, many: int) -> None:
    value = make(many)
    try:
        data = serializer.dumps(value)
    except ValueError as error:
        assert "has more than 1,048,576 elements; push where they are" in str(error)
        return
    assert serializer.loads(data) == value


EMPTIES = {
    "msgpack lists": lambda size: b"\xdd" + (size - 5).to_bytes(4, "big") + b"\x90" * (size - 5),
    "msgpack lists in lists": lambda size: (
        b"\xdc\x00\x80" + (b"\xdd" + ((size >> 7) - 6).to_bytes(4, "big") + b"\x90" * ((size >> 7) - 6)) * 128
    ),
    "msgpack sets": lambda size: b"\xdd" + (size // 3 - 5).to_bytes(4, "big") + b"\xd4\x02\x90" * (size // 3 - 5),
    "msgpack dicts": lambda size: b"\xdd" + (size - 5).to_bytes(4, "big") + b"\x80" * (size - 5),
    "json lists": lambda size: b"[" + b"[]," * (size // 3 - 2) + b"[]]",
    "json dicts": lambda size: b"[" + b"{}," * (size // 3 - 2) + b"{}]",
}

READ = """
import resource, sys, zlib
from regiment.errors import DecodeError
from regiment_serializers.json import JsonSerializer
from regiment_serializers.msgpack import MsgpackSerializer
kind, packed = sys.argv[1], sys.stdin.buffer.read()
serializer = JsonSerializer() if kind == "json" else MsgpackSerializer()
data = zlib.decompress(packed)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    serializer.loads(data)
except DecodeError as error:
    print(error)
else:
    print("read")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("name", EMPTIES)
@pytest.mark.parametrize("size", [8 << 20, 500 << 10], ids=["8 MiB", "500 KiB"])
def test_a_few_bytes_do_not_become_hundreds_of_mebibytes(name: str, size: int) -> None:
    packed = zlib.compress(zlib.compress(EMPTIES[name](size), 9), 9)
    done = subprocess.run(
        [sys.executable, "-c", READ, name.split()[0]],
        input=zlib.decompress(packed),
        capture_output=True,
        check=True,
    )
    said, kilobytes = done.stdout.decode().rsplit("\n", 2)[:2]
    if size > 1 << 20:
        assert "elements" in said or "exceeds" in said
    assert int(kilobytes) < 200 << 10, f"{said}: it was more than 500 MiB"


def test_lengths_that_are_only_claimed_reserve_nothing() -> None:
    claim = (b"\xdd" + ELEMENTS.to_bytes(4, "big")) * 400 + b"\xc0" * ELEMENTS
    maps = (b"\xdf" + (ELEMENTS // 2).to_bytes(4, "big") + b"\xa1x") * 400 + b"\xc0" * ELEMENTS
    for data in (claim, maps):
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        with pytest.raises(DecodeError):
            MSGPACK.loads(data)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
        assert time.process_time() - began < 5


def test_a_larger_payload_limit_allows_more_elements() -> None:
    value = ["x" * 7] * (ELEMENTS + 1000)
    with pytest.raises(ValueError, match="more than 1,048,576 elements"):
        MSGPACK.dumps(["x"] * (ELEMENTS + 1000))
    padded = [*value, b"y" * (1 << 20)]
    assert MSGPACK.loads(MSGPACK.dumps(padded)) == padded


def test_what_msgpack_itself_wrote_is_read_alike() -> None:
    for value in ([{"a": at, at: "x"} for at in range(40_000)], {str(at): at for at in range(90_000)}):
        assert MSGPACK.loads(msgpack.packb(value)) == value
        assert JSON.loads(json.dumps([1]).encode()) == [1]


def test_the_limit_of_alike_keys_is_for_enemies_only() -> None:
    few = {UUID(int=at * PRIME + 1): at for at in range(1, ALIKE)}
    assert MSGPACK.loads(MSGPACK.dumps(few)) == few
