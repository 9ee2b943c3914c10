"""DEFLATE, in the wrapping of zlib or of gzip."""

from __future__ import annotations

import zlib
from typing import ClassVar

from regiment_compressors.bounds import Leveled, corrupt, trailing

_FED = 1 << 16


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
        at, rest = 0, b""

        def pull(most: int) -> bytes:
            # Feed it in small pieces, because each call copies the input that the stream has not used yet.
            nonlocal at, rest
            piece = b""
            while not piece and not stream.eof and (rest or at < len(data)):
                if not rest:
                    rest, at = data[at : at + _FED], at + _FED
                piece = stream.decompress(rest, most)
                rest = stream.unconsumed_tail
            return piece or stream.decompress(b"", most)

        try:
            result = self.unpack(stream, pull, limit)
        except zlib.error as error:
            raise corrupt(self.name, error) from error
        if at < len(data):
            raise trailing(self.name, len(data) - at)
        return result


class GzipCompressor(ZlibCompressor):
    """The same with a gzip header and checksum; no name, no time, so equal data give equal bytes."""

    name = "gzip"
    wbits = zlib.MAX_WBITS | 16
