"""What a queue names: its budgets, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Never

from regiment.config import Use
from regiment.errors import ConfigError
from regiment_limits.budgets import LANE, POOL, all_problems, breaker_problems, problems_of

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
        **unknown: Never,
    ) -> None:
        super().__init__(_given(at_once=at_once, rate=rate, burst=burst, weight=weight, waiting=waiting, **unknown))
        _refuse(problems_of("Lane: ", self, LANE))


class Breaker(dict[str, Any]):
    """When a pool is closed because its tasks fail, and for how long.

    It opens when at least `least` tasks (10) ended within `window` seconds (60), and the `share` of them (0.5) failed. Then nothing of the pool is leased for
    `pause` seconds (30), then one task at a time: if that fails, the pause is doubled, up to `longest` (3600); if it succeeds, all is as before. Exceptions,
    time limits and `Retry` are failures.
    """

    def __init__(
        self,
        *,
        share: float | None = None,
        least: int | None = None,
        window: float | None = None,
        pause: float | None = None,
        longest: float | None = None,
    ) -> None:
        super().__init__(_given(share=share, least=least, window=window, pause=pause, longest=longest))
        _refuse(breaker_problems("Breaker: ", self))


class Pool(dict[str, Any]):
    """What a pool may have: what a `Lane` may, all its lanes together; what each of its lanes may have; and a `Breaker`,
    or True for one as it comes.
    """

    def __init__(
        self,
        *,
        at_once: int | None = None,
        rate: Rate | None = None,
        burst: int | None = None,
        weight: int | None = None,
        waiting: int | None = None,
        lane: Lane | None = None,
        breaker: Breaker | bool = False,
        **unknown: Never,
    ) -> None:
        own = _given(at_once=at_once, rate=rate, burst=burst, weight=weight, waiting=waiting, lane=lane, **unknown)
        if breaker is not False:
            own["breaker"] = breaker
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
        **unknown: Never,
    ) -> None:
        options = _given(at_once=at_once, rate=rate, burst=burst, waiting=waiting, lane=lane, **unknown)
        if pools is not None:
            options["pools"] = dict(pools) if isinstance(pools, Mapping) else pools
        _refuse(all_problems(options))
        super().__init__("limits", **options)


def _given(**budgets: Any) -> dict[str, Any]:
    return {name: value for name, value in budgets.items() if value is not None}


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ConfigError(problems)
