"""Shared by every compressor here: a checked level, and decompression that stops at a limit.

A message of 10 MB can unpack to 10 GB. So a compressor asks for its output in pieces and counts them. It accepts
exactly one complete stream: bytes after it are corruption or an attempt to hide something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Protocol

from regiment.errors import ConfigError, DecodeError

PIECE = 1 << 20
"""Bytes of output asked for at a time: the size of the buffer beside the result."""


class Unpacker(Protocol):
    """One stream of the standard library that is being unpacked."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


class Leveled:
    """A compressor with a `level`; `check` lists the problems of its options."""

    name = ""
    levels = (1, 9)
    why = ""

    def __init__(self, level: int) -> None:
        problems = self.check({"level": level})
        if problems:
            raise ConfigError(problems)
        self.level = level

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> list[str]:
        """All problems of these options, one sentence each."""
        first, last = cls.levels
        level = options.get("level", first)
        if isinstance(level, int) and not isinstance(level, bool) and first <= level <= last:
            return []
        return [f"{cls.name}: level is {level!r}; expected a whole number from {first} to {last}{cls.why}"]

    def unpack(self, stream: Unpacker, pull: Callable[[int], bytes], limit: int) -> bytes:
        """Everything that `pull(most)` gives until `stream` ends; `DecodeError` beyond `limit` bytes."""
        out = BytesIO()
        while not stream.eof:
            piece = pull(min(PIECE, limit + 1 - out.tell()))
            if out.tell() + len(piece) > limit:
                raise too_large(self.name, limit)
            if not piece and not stream.eof:
                raise DecodeError(f"{self.name}: the data end in the middle of the stream")
            out.write(piece)
        if stream.unused_data:
            raise trailing(self.name, len(stream.unused_data))
        return out.getvalue()


def too_large(name: str, limit: int) -> DecodeError:
    return DecodeError(f"{name}: unpacks to more than the {limit:,} bytes that payload_limit allows")


def trailing(name: str, count: int) -> DecodeError:
    return DecodeError(f"{name}: {count:,} bytes follow the end of the stream")


def corrupt(name: str, error: Exception) -> DecodeError:
    return DecodeError(f"{name}: the data are corrupt: {error}")
