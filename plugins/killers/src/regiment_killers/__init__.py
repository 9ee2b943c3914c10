"""process, thread and coroutine: they stop a task that hangs.

The names here are the typed way to choose one: `WorkerConfig(killer=Thread(grace=5))`. `docs/killers.md` says what each
of them can end.
"""

from __future__ import annotations

from regiment import Use

__all__ = ["Coroutine", "Process", "Thread"]


class Process(Use):
    """Ends anything: a soft strike in the main thread, then SIGKILL. For any executor."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("process")


class Thread(Use):
    """Soft limits for the threaded executor; a thread that still runs `grace` seconds after a strike is written off."""

    __slots__ = ()

    def __init__(self, *, grace: float = 1.0) -> None:
        super().__init__("thread", grace=grace)


class Coroutine(Use):
    """Cancels the coroutine at the soft limit; SIGKILL at the hard limit. For the asyncio executor."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("coroutine")
