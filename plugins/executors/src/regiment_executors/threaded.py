"""Several tasks at once, in threads; the main thread takes them from the source and receives the signals."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from regiment.contracts import Place, Source
from regiment_executors.crew import Crew, count_problem


class Threaded:
    """Runs up to `threads` attempts at once. A slot takes the next attempt as soon as its attempt has ended."""

    place: ClassVar[Place] = "threads"
    default_killer: ClassVar[str] = "process"
    is_async: ClassVar[bool] = False

    def __init__(self, threads: int = 8) -> None:
        self.slots = threads

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """The problems of these options."""
        return count_problem("threads", options.get("threads", 1))

    def run(self, source: Source) -> None:
        """Run attempts until there are no more and all have ended, except those that the source has written off."""
        take, crew = source.take, Crew(self.slots, "regiment-task")
        while (attempt := take()) is not None:
            crew.run(attempt.run)
        while crew.busy > getattr(source, "written_off", 0):
            time.sleep(0.002)
