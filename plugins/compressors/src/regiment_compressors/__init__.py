"""zlib, gzip, bzip2, lzma and zstd: how regiment makes large tasks small.

The names here are the typed way to choose one: `WorkerConfig(compressor=Zstd(level=9))`.
"""

from __future__ import annotations

from regiment import Use

__all__ = ["Bzip2", "Gzip", "Lzma", "Zlib", "Zstd"]


class Zlib(Use):
    """Fast enough everywhere; `level` 0 (none) to 9 (smallest)."""

    __slots__ = ()

    def __init__(self, *, level: int = 6) -> None:
        super().__init__("zlib", level=level)


class Gzip(Use):
    """zlib in the format of gzip files; `level` 0 to 9."""

    __slots__ = ()

    def __init__(self, *, level: int = 6) -> None:
        super().__init__("gzip", level=level)


class Bzip2(Use):
    """Small and slow; `level` 1 to 9."""

    __slots__ = ()

    def __init__(self, *, level: int = 9) -> None:
        super().__init__("bzip2", level=level)


class Lzma(Use):
    """Smallest and slowest (xz); `level` 0 to 6."""

    __slots__ = ()

    def __init__(self, *, level: int = 3) -> None:
        super().__init__("lzma", level=level)


class Zstd(Use):
    """The best trade of size for time; `level` 1 to 19."""

    __slots__ = ()

    def __init__(self, *, level: int = 3) -> None:
        super().__init__("zstd", level=level)
