"""Whatever lies in a store as compressed: bytes within the limit come out of it, or a `DecodeError`, and soon."""

from __future__ import annotations

import random
import resource
from typing import Any

import pytest

from harness.chance import spoiled, tries
from regiment.errors import DecodeError
from regiment_compressors.bzip2 import Bzip2Compressor
from regiment_compressors.lzma import LzmaCompressor
from regiment_compressors.zlib import GzipCompressor, ZlibCompressor
from regiment_compressors.zstd import ZstdCompressor

MIB = 1 << 20
KINDS = [ZlibCompressor, GzipCompressor, Bzip2Compressor, LzmaCompressor, ZstdCompressor]


def plain(chance: random.Random) -> bytes:
    """Something to compress: noise, text, or a bomb."""
    size = chance.choice((0, 1, 100, 5_000, 70_000))
    return chance.choice((chance.randbytes(size), b"na" * size, b"\0" * (size * 40)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_stream_of_any_bytes_is_read_or_refused(kind: Any) -> None:
    reader = kind()
    ready = [(data, kind().compress(data)) for data in map(plain, map(random.Random, range(40)))]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def attempt(chance: random.Random) -> None:
        whole, packed = chance.choice(ready)
        data = chance.choice((packed, packed, packed + chance.choice(ready)[1], chance.randbytes(200)))
        broken = spoiled(chance, data)
        limit = chance.choice((0, 1, len(whole), max(len(whole) - 1, 0), MIB, 8 * MIB))
        try:
            found = reader.decompress(broken, limit)
        except DecodeError as error:
            assert str(error) and "\n" not in str(error)
            # What was only read as it was written must be read; and a reader is as good as new after a refusal.
            assert broken != packed or len(whole) > limit
        else:
            assert isinstance(found, bytes) and len(found) <= limit
            assert broken != packed or found == whole

    tries(attempt)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 200, f"{grown:.0f} MiB for at most 8 MiB at a time"
