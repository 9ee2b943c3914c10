"""The options of the extension, and what they may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment import bounds
from regiment.bounds import seen


class Choices:
    """The options as the extension of a queue has them; the documentation of `Results` tells what they mean."""

    ttl: float
    failure_ttl: float
    wait_ttl: float
    limit: int
    track: bool
    history: int
    by: str
    listed: bool


_PERIODS = {
    "ttl": "a result would be gone before anybody can read it",
    "failure_ttl": "a failure would be gone before anybody can read it",
    "wait_ttl": "a push would be forgotten before it runs",
}


def problems_of(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with these options, in words."""
    found = []
    for name, why in _PERIODS.items():
        if name in options and not bounds.limit(options[name]):
            found.append(
                f"{name} is {seen(options[name])}; expected seconds above 0, at most {bounds.YEARS} years, or {why}"
            )
    if "limit" in options and not bounds.whole(options["limit"], 1, bounds.LARGEST):
        found.append(f"limit is {seen(options['limit'])}; expected bytes, from 1 to {bounds.LARGEST:,}")
    if "history" in options and not bounds.whole(options["history"], 0, 1000):
        found.append(f"history is {seen(options['history'])}; expected a whole number of tries, from 0 to 1,000")
    for name in ("track", "listed"):
        if name in options and not isinstance(options[name], bool):
            found.append(f"{name} is {seen(options[name])}; expected True or False")
    if "by" in options and options["by"] not in ("queue", "push"):
        found.append(
            f'by is {seen(options["by"])}; expected "queue" (all pushes) or "push" (those with options(result=…))'
        )
    return [f"extension 'results': option {one}" for one in found]
