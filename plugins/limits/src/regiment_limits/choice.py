"""What a queue names: its budgets, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment.config import Use
from regiment.errors import ConfigError
from regiment_limits.budgets import LANE, POOL, all_problems, problems_of

Rate = str | tuple[int, float]


class Lane(dict[str, Any]):
    """What each lane of a pool may have.

    `at_once`: tasks that run; `rate`: tasks that start in a time ("10/s", "100/m", "5/10s"), `burst` of them at once after a
    pause; `weight`: tasks of one turn; `waiting`: tasks that wait, beyond which a push is refused. None: no limit.
    """

    def __init__(
        self,
        *,
        at_once: int | None = None,
        rate: Rate | None = None,
        burst: int | None = None,
        weight: int | None = None,
        waiting: int | None = None,
    ) -> None:
        super().__init__(_given(at_once=at_once, rate=rate, burst=burst, weight=weight, waiting=waiting))
        _refuse(problems_of("Lane: ", self, LANE))


class Pool(dict[str, Any]):
    """What a pool may have: what a `Lane` may, all its lanes together; and what each of its lanes may have."""

    def __init__(
        self,
        *,
        at_once: int | None = None,
        rate: Rate | None = None,
        burst: int | None = None,
        weight: int | None = None,
        waiting: int | None = None,
        lane: Lane | None = None,
    ) -> None:
        own = _given(at_once=at_once, rate=rate, burst=burst, weight=weight, waiting=waiting, lane=lane)
        super().__init__(own)
        _refuse(problems_of("Pool: ", self, POOL))


class Limits(Use):
    """The budgets of a queue and of its pools: `Queue("crawl", plugins=[Limits(at_once=200, pools={"crm": Pool(rate="100/m")})])`.

    They hold for all workers of the queue together, wherever they run. `lane` is of each lane that is in no pool. `Limits()` bounds nothing, and gives tasks and
    pushes the options `pool`, `lane`, `unique`, `until`, `clash` and `longest`. `ConfigError` with all that is wrong.
    """

    __slots__ = ()

    def __init__(
        self,
        *,
        at_once: int | None = None,
        rate: Rate | None = None,
        burst: int | None = None,
        waiting: int | None = None,
        lane: Lane | None = None,
        pools: Mapping[str, Pool] | None = None,
    ) -> None:
        options = _given(at_once=at_once, rate=rate, burst=burst, waiting=waiting, lane=lane)
        if pools is not None:
            options["pools"] = dict(pools) if isinstance(pools, Mapping) else pools
        _refuse(all_problems(options))
        super().__init__("limits", **options)


def _given(**budgets: Any) -> dict[str, Any]:
    return {name: value for name, value in budgets.items() if value is not None}


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ConfigError(problems)
