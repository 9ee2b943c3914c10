"""The extra `ledger`: entries beside a delivery, in the element itself (`scripts/enter.lua`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from regiment.contracts import LARGEST_LEDGER, MOST_ENTRIES
from regiment_redis.link import Scripts
from regiment_redis.receipts import LARGEST
from regiment_redis.scripts import Script
from regiment_redis.wire import Part

_ENTER = Script("enter")
NO_ENTRIES: Mapping[str, bytes] = MappingProxyType({})


class Ledger:
    """The verb of one Redis. `stem` gives the first part of a queue's keys, `begin` gives a queue lanes."""

    def __init__(self, scripts: Scripts, stem: Callable[[str], str], begin: Callable[[str], None]) -> None:
        self._scripts, self._stem, self._begin = scripts, stem, begin

    def enter(self, queue: str, consumer: str, receipt: int, entries: Mapping[str, bytes]) -> dict[str, bytes] | None:
        args: list[Part] = [consumer, receipt & LARGEST, MOST_ENTRIES, LARGEST_LEDGER]
        for name, value in entries.items():
            args += (name.encode(), bytes(value))
        stem = self._stem(queue)
        found = self._scripts.run(_ENTER, stem, *args)
        if found == 0:
            # The task has an id of its own as well: a queue with lanes can keep both.
            self._begin(queue)
            found = self._scripts.run(_ENTER, stem, *args)
        if found is None:
            return None
        if isinstance(found, int):
            raise ValueError(_refusal(found))
        return {name.decode(): value for name, value in zip(found[::2], found[1::2], strict=True)}


def _refusal(found: int) -> str:
    if found < 0:
        return f"the task would have {-found} entries; a task has at most {MOST_ENTRIES}"
    return (
        f"the entries of the task would have {found:,} bytes with their names; at most {LARGEST_LEDGER:,} are kept: "
        "enter a short value, such as an id under which the other side finds the rest"
    )
