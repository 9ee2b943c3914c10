"""bzip2: small and slow."""

from __future__ import annotations

import bz2

from regiment_compressors.bounds import Leveled, corrupt


class Bzip2Compressor(Leveled):
    """`level`: 1 to 9, the size of a block in units of 100 kB."""

    name = "bzip2"
    levels = (1, 9)

    def __init__(self, level: int = 9) -> None:
        super().__init__(level)

    def compress(self, data: bytes) -> bytes:
        return bz2.compress(data, self.level)

    def decompress(self, data: bytes, limit: int) -> bytes:
        stream = bz2.BZ2Decompressor()
        rest = data

        def pull(most: int) -> bytes:
            nonlocal rest
            given, rest = rest, b""  # the stream keeps what it has not used yet
            return stream.decompress(given, most)

        try:
            return self.unpack(stream, pull, limit)
        except (OSError, ValueError) as error:
            raise corrupt(self.name, error) from error
