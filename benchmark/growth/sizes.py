"""How large a measurement of growth becomes."""

from __future__ import annotations

from typing import NamedTuple


class Sizes(NamedTuple):
    """The greatest number of each; what is smaller is measured on the way."""

    tasks: int = 1_000_000
    """Tasks that wait, are delayed, are dead."""
    consumers: int = 5_000
    queues: int = 10_000
    pushes: int = 1_000_000
    """Pushes of one process, one by one, whose tokens are weighed; ids and lanes are a tenth of them."""
    seconds: float = 90.0
    """Filling one store ends after so long, and what has been reached counts."""

    def on(self, store: str) -> Sizes:
        """What is sensible there: MongoDB takes a tenth, for 1,000,000 tasks need minutes to get in; tokens are a matter of Redis."""
        if store != "mongo":
            return self
        return self._replace(tasks=self.tasks // 10, consumers=self.consumers // 5, queues=self.queues // 10)


TASKS = (1, 1_000, 10_000, 100_000, 1_000_000)
CONSUMERS = (1, 10, 100, 1_000, 5_000)
QUEUES = (1, 100, 1_000, 10_000)


def steps(all: tuple[int, ...], most: int) -> list[int]:
    """Those of the sizes that are below `most`, and `most`."""
    return [size for size in all if size < most] + [most]
