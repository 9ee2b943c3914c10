"""The options of the extension, and what they may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment import bounds
from regiment.bounds import seen


class Choices:
    """The options as the extension of a queue has them; the documentation of `Workflows` tells what they mean."""

    ttl: float
    keep: float
    limit: int
    tend: float


def problems_of(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with these options, in words."""
    found = []
    for name, why in (
        ("ttl", "a value would be gone before a later step can read it"),
        ("keep", "a flow would be gone before anybody can see how it ended"),
        ("tend", "nobody would look after a flow that stands still"),
    ):
        if name in options and not bounds.limit(options[name]):
            found.append(
                f"{name} is {seen(options[name])}; expected seconds above 0, at most {bounds.YEARS} years, or {why}"
            )
    if "limit" in options and not bounds.whole(options["limit"], 1, bounds.LARGEST):
        found.append(f"limit is {seen(options['limit'])}; expected bytes, from 1 to {bounds.LARGEST:,}")
    return [f"extension 'workflows': option {one}" for one in found]
