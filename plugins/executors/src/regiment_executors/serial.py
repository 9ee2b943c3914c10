"""One task at a time, in the main thread: only there can a soft strike interrupt any code."""

from __future__ import annotations

from typing import ClassVar

from regiment.contracts import Place, Source


class Serial:
    """Runs attempts one by one."""

    place: ClassVar[Place] = "main"
    default_killer: ClassVar[str] = "process"
    is_async: ClassVar[bool] = False

    def __init__(self) -> None:
        self.slots = 1

    def run(self, source: Source) -> None:
        """Run attempts until there are no more."""
        take = source.take
        while (attempt := take()) is not None:
            attempt.run_on()
