"""The commands of exchanges with effects, and of those where some queues have lanes (extra `flow`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from regiment.contracts import Done, Settlement
from regiment.errors import StoreError
from regiment_redis.asking import EXCHANGE, Asking, whole
from regiment_redis.effective import LEAVING, Effects, Leaving
from regiment_redis.effects import charges
from regiment_redis.link import Scripts
from regiment_redis.scripts import Script


class Commands:
    """Which script an exchange runs, and the bytes that ask for it. `begin` gives a queue lanes, `asking` packs exchanges without."""

    def __init__(
        self, scripts: Scripts, stem: Callable[[str], str], begin: Callable[[str], None], asking: Asking
    ) -> None:
        self._scripts, self._stem, self._begin = scripts, stem, begin
        self._asking, self._in_lanes = asking, Asking(EXCHANGE.twin)
        self._slots: dict[tuple[str, str], int] = {}

    def joins(self, queue: str, consumer: str, slots: int) -> None:
        """A consumer joins here, with so many slots."""
        if len(self._slots) > 1000:
            self._slots.clear()
        self._slots[queue, consumer] = slots

    def of(
        self,
        leaving: Leaving,
        queue: str,
        consumer: str,
        number: tuple[int, int],
        bounds: tuple[int, int, int],
        settlements: Sequence[Settlement],
        effects: Effects,
    ) -> tuple[bytes, Script]:
        """The command of turn and base `number`, and its script."""
        stem, script, asking = self._stem(queue), LEAVING if effects else EXCHANGE, self._asking
        if effects and stem not in self._scripts.lanes and charges(effects):
            self._begin(queue)
        if stem in self._scripts.lanes:
            bounds = (bounds[0], bounds[1], bounds[2] + 4 * self._slots.get((queue, consumer), 1))
            script, asking = script.twin, self._in_lanes
        if effects:
            command = leaving.exchange(queue, stem, consumer, *number, bounds, settlements, effects)
        elif not settlements:
            command = asking.ordinary(stem, consumer, *number, bounds)
        elif len(settlements) == 1 and type(done := settlements[0]) is Done:
            command = asking.ordinary(stem, consumer, *number, bounds, done)
        else:
            command = whole(stem, consumer, *number, bounds, settlements, script)
        return command, script

    def learn(self, stem: str, script: Script, error: StoreError, before: StoreError | None) -> None:
        """A queue that was thought to have no lanes has some, or the other way round. Raises `before`: it was asked both ways."""
        (self._scripts.lanes.discard if script.flow else self._scripts.lanes.add)(stem)
        if before is not None:
            raise before from error
