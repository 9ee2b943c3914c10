"""DEFLATE, in the wrapping of zlib or of gzip."""

from __future__ import annotations

import zlib
from typing import ClassVar

from garrison_compressors.bounds import Leveled, corrupt


class ZlibCompressor(Leveled):
    """`level`: 0 (stored) to 9 (smallest)."""

    name = "zlib"
    levels = (0, 9)
    wbits: ClassVar[int] = zlib.MAX_WBITS

    def __init__(self, level: int = 6) -> None:
        super().__init__(level)

    def compress(self, data: bytes) -> bytes:
        return zlib.compress(data, self.level, self.wbits)

    def decompress(self, data: bytes, limit: int) -> bytes:
        stream = zlib.decompressobj(self.wbits)
        rest = data

        def pull(most: int) -> bytes:
            nonlocal rest
            piece = stream.decompress(rest, most)
            rest = stream.unconsumed_tail
            return piece

        try:
            return self.unpack(stream, pull, limit)
        except zlib.error as error:
            raise corrupt(self.name, error) from error


class GzipCompressor(ZlibCompressor):
    """The same with a gzip header and checksum; no name, no time, so equal data give equal bytes."""

    name = "gzip"
    wbits = zlib.MAX_WBITS | 16
