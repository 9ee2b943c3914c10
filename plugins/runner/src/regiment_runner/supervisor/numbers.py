"""How many workers of which target: `module:Name=1..8`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class Target(NamedTuple):
    """A target and the range of its number of workers."""

    text: str
    low: int
    high: int


def parse(text: str, workers: tuple[int, int] = (1, 1)) -> Target:
    """`module:Name`, `module:Name=4`, `module:Name=1..8`; ValueError says what is wrong."""
    target, equals, number = text.partition("=")
    low, high = parse_range(number) if equals else workers
    return Target(target, low, high)


def parse_range(text: str) -> tuple[int, int]:
    """`4` or `1..8`."""
    match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no number of workers; expected a number such as 4, or a range such as 1..8")
    low = int(match[1])
    high = int(match[2]) if match[2] else low
    if high < low or high < 1:
        raise ValueError(f"{text!r} is no number of workers: the first number must not be above the second, nor 0")
    return low, high


def named_twice(targets: Iterable[Target]) -> str | None:
    """What is wrong where a worker is named twice, by itself or also by its module; None if none is."""
    seen: dict[str, str] = {}
    for target in targets:
        module, colon, _ = target.text.partition(":")
        if target.text in seen:
            return f'the target "{target.text}" is named twice; give it a number: {target.text}=2'
        clash = module if colon else next((text for text in seen if text.startswith(f"{module}:")), "")
        if clash in seen:
            alone = target.text if colon else clash
            return f'the target "{alone}" is named twice: "{module}" means all workers of that module'
        seen[target.text] = module
    return None
