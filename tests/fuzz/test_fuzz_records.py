"""Whatever lies in a store as a record: a value, or a `DecodeError`, soon, in bounded memory, and nothing is imported for it."""

from __future__ import annotations

import random
import sys
from typing import Any
from zlib import crc32

from harness.chance import spoiled, tries
from regiment.build import make_codec
from regiment.codec import Codec
from regiment.config import Use, WorkerConfig
from regiment.errors import DecodeError, EncodeError, PayloadTooLarge
from regiment.registry import registry

LIMIT = 1 << 20
KEY = "a key for fuzzing only"
PICKLE, SIGNED = Use("pickle", key=KEY), Use("signed", keys=(KEY,))
WHERE = ("q", "u:k")
VALUES: list[Any] = [
    None,
    7,
    "é🙂" * 20,
    [1, "success", {"a": (1, {2})}, None, 0, 1.5, 2.5, "w"],
    {"deep": [[[[[]]]]], "b": b"\x00\xff" * 200, "n": -(2**80)},
    "again " * 3000,
]


def codec(serializer: str | Use = "msgpack", **more: Any) -> Codec:
    return make_codec(WorkerConfig(name="q", serializer=serializer, payload_limit=LIMIT, **more), registry())


READERS = [codec(), codec("json"), codec(PICKLE), codec(SIGNED), codec(accept=("msgpack", PICKLE)), codec(accept=())]
WRITERS = [
    codec(one, compressor=packed) for one in ("msgpack", "json", PICKLE, SIGNED) for packed in (None, "zlib", "zstd")
]
CORPUS = [writer.pack(value, WHERE) for writer in WRITERS for value in VALUES]


def meet(data: bytes) -> None:
    """What must hold of any bytes, for each reader."""
    for reader in READERS:
        try:
            value = reader.unpack(data, WHERE)
        except DecodeError as error:
            assert 0 < len(str(error)) < 1000
            continue
        try:
            again = reader.unpack(reader.pack(value, WHERE), WHERE)
        except (EncodeError, PayloadTooLarge):
            continue  # said in words
        assert repr(again) == repr(value) or isinstance(value, (set, frozenset, dict, list, tuple))


def test_a_spoiled_record_is_a_value_or_a_decode_error_and_imports_nothing() -> None:
    for data in CORPUS:
        meet(data)  # loads what our own parts need
    before = set(sys.modules)

    def attempt(chance: random.Random) -> None:
        data = spoiled(chance, chance.choice(CORPUS)[:-4])
        if chance.random() < 0.2:
            other = chance.choice(CORPUS)
            data = data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other)) :]
        whole = chance.random() < 0.9
        meet(data + crc32(data).to_bytes(4, "little") if whole else data)

    tries(attempt)
    assert set(sys.modules) == before


def test_nobody_without_the_key_makes_a_record_that_a_signed_queue_reads() -> None:
    keen = [codec(SIGNED, accept=("signed",)), codec(PICKLE, accept=("pickle",))]

    def attempt(chance: random.Random) -> None:
        original = chance.choice(CORPUS)
        data, where = spoiled(chance, original[:-4]), chance.choice((WHERE, ("q", "u:other"), ("r", "u:k")))
        for reader in keen:
            try:
                value = reader.unpack(data + crc32(data).to_bytes(4, "little"), where)
            except DecodeError:
                continue
            assert where == WHERE and repr(value) in map(repr, VALUES)

    tries(attempt)
