"""Zstandard: the best trade of size for time."""

from __future__ import annotations

from typing import Any

import zstandard

from regiment.errors import DecodeError
from regiment_compressors.bounds import Leveled, corrupt, too_large

_WINDOW = 8 << 20
"""Bytes of history that unpacking may hold; level 19 needs this much, a hostile header can ask for 128 MiB."""

_EMPTY = 25
"""Bytes of the longest frame around nothing: magic 4, header 14, block 3, checksum 4."""


class ZstdCompressor(Leveled):
    """`level`: 1 to 19. Safe in any thread: each call takes a context from a pool; an interrupted call drops it."""

    name = "zstd"
    levels = (1, 19)
    why = "; higher ones need more memory to unpack than a worker grants a message"

    def __init__(self, level: int = 3) -> None:
        super().__init__(level)
        self._packers: list[Any] = []
        self._unpackers: list[Any] = []

    def compress(self, data: bytes) -> bytes:
        try:
            packer = self._packers.pop()
        except IndexError:
            packer = zstandard.ZstdCompressor(level=self.level, write_checksum=True)
        packed: bytes = packer.compress(data)
        self._packers.append(packer)
        return packed

    def decompress(self, data: bytes, limit: int) -> bytes:
        try:
            unpacker = self._unpackers.pop()
        except IndexError:
            unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        try:
            # The size in the header is needed but not trusted: the result gets that much room, at most `limit`, and
            # zstd refuses a frame that holds more or less.
            size = zstandard.frame_content_size(data)
            if size < 0:
                raise DecodeError("zstd: the frame does not say its size; write it with the size known")
            if size > limit:
                raise too_large(self.name, limit)
            result: bytes = b""
            if size:
                result = unpacker.decompress(data, read_across_frames=False, allow_extra_data=False)
            else:
                _expect_empty(unpacker, data)
        except zstandard.ZstdError as error:
            raise corrupt(self.name, error) from error
        self._unpackers.append(unpacker)
        return result


def _expect_empty(unpacker: Any, data: bytes) -> None:
    """Check a frame that claims to be empty; zstandard itself would believe it without a look."""
    stream = unpacker.decompressobj()
    if len(data) > _EMPTY or stream.decompress(data) or not stream.eof or stream.unused_data:
        raise DecodeError("zstd: the frame says that it is empty, and is not, or is not complete")
