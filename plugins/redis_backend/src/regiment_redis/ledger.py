"""The extra `ledger`: entries beside a delivery, in the element itself (`scripts/enter.lua`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from regiment.contracts import LARGEST_LEDGER, MOST_ENTRIES, excess_of_entries
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
            raise ValueError(excess_of_entries(-found, found))  # below 0: how many they would be; above: their bytes
        return {name.decode(): value for name, value in zip(found[::2], found[1::2], strict=True)}
