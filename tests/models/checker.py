"""A tiny explicit-state checker: breadth first, so that the trace it finds is a shortest one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)


class Found(NamedTuple):
    """What an exploration came to."""

    states: int
    problem: str
    """Empty if every state and every end is as it should be."""
    trace: tuple[str, ...]
    """The steps that lead there."""


def explore(
    first: S,
    steps: Callable[[S], Iterable[tuple[str, S]]],
    wrong: Callable[[S], str],
    ended: Callable[[S], str],
    most: int = 300_000,
) -> Found:
    """Visit every state that can be reached. `wrong` judges each, `ended` those from which no step leads on; both tell what
    is not as it should be, or nothing. From every state an end has to be within reach.
    """
    known = {first: 0}
    order, came = [first], [(-1, "")]
    back: list[list[int]] = [[]]
    ends: list[int] = []

    def found(problem: str, at: int) -> Found:
        trace: list[str] = []
        while at > 0:
            trace.append(came[at][1])
            at = came[at][0]
        return Found(len(order), problem, tuple(reversed(trace)))

    at = 0
    while at < len(order):
        if problem := wrong(order[at]):
            return found(problem, at)
        moves = list(steps(order[at]))
        for label, state in moves:
            number = known.setdefault(state, len(order))
            if number == len(order):
                order.append(state)
                came.append((at, label))
                back.append([])
            back[number].append(at)
        if not moves:
            if problem := ended(order[at]):
                return found(problem, at)
            ends.append(at)
        at += 1
        if len(order) > most:
            raise RuntimeError(f"more than {most:,} states; the model has to be smaller")
    reached, left = set(ends), list(ends)
    while left:
        left += (new := [one for one in back[left.pop()] if one not in reached])
        reached |= set(new)
    for number in range(len(order)):
        if number not in reached:
            return found("from here no end is within reach", number)
    return Found(len(order), "", ())
