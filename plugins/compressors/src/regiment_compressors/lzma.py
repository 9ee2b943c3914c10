"""LZMA in the xz format: smallest and slowest."""

from __future__ import annotations

import lzma

from regiment_compressors.bounds import Leveled, corrupt

_MEMORY = 12 << 20
"""Bytes of memory that unpacking may use. A header can ask for gigabytes; level 6 needs 9 MiB."""


class LzmaCompressor(Leveled):
    """`level`: 0 to 6. Higher levels only widen the window, which a reader must hold in memory."""

    name = "lzma"
    levels = (0, 6)
    why = "; higher ones need more memory to unpack than a worker grants a message"

    def __init__(self, level: int = 3) -> None:
        super().__init__(level)

    def compress(self, data: bytes) -> bytes:
        return lzma.compress(data, lzma.FORMAT_XZ, lzma.CHECK_CRC32, self.level)

    def decompress(self, data: bytes, limit: int) -> bytes:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        rest = data

        def pull(most: int) -> bytes:
            nonlocal rest
            given, rest = rest, b""  # the stream keeps what it has not used yet
            return stream.decompress(given, most)

        try:
            return self.unpack(stream, pull, limit)
        except lzma.LZMAError as error:
            raise corrupt(self.name, error) from error
