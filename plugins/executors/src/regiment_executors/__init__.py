"""serial, threaded and asyncio: where attempts run, and how many at once.

The names here are the typed way to choose one: `WorkerConfig(executor=Threaded(threads=50))`.
"""

from __future__ import annotations

from regiment import Use

__all__ = ["Asyncio", "Serial", "Threaded"]


class Serial(Use):
    """One task at a time, in the main thread."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("serial")


class Threaded(Use):
    """`threads` tasks at once (1 to 1,024), each in a thread."""

    __slots__ = ()

    def __init__(self, *, threads: int = 8) -> None:
        super().__init__("threaded", threads=threads)


class Asyncio(Use):
    """`concurrency` tasks at once (1 to 1,024) on one event loop; plain `def work` runs in a thread."""

    __slots__ = ()

    def __init__(self, *, concurrency: int = 100) -> None:
        super().__init__("asyncio", concurrency=concurrency)
