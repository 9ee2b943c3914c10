"""Workers that wait at one Redis, tasks that become due, and who is told when.

A push that is due before all others tells `tells` of those who sleep; each other one knows what it was told last. A sleeper that
pops a mark looks, learns the first due time, and sleeps again; it leases what is ready, and then works. A worker may die at any
time; its keeper says so later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

UNGUARDED = "a task will be due, somebody sleeps, and nobody looks in time"
NEVER = 9
"""A due time that no task has: nothing is known."""

SLEEPS, WOKEN, WORKS, DEAD, CLOSED = "sleeps", "woken", "works", "dead", "closed"


class State(NamedTuple):
    """`workers`: what each does, and the due time that the store has of it while it is listed as one that waits (None: it is not).
    `delayed`: due times, the first one first. `pushes`: due times that may still be pushed; 0 is a task that is ready at once.
    """

    workers: tuple[tuple[str, int | None], ...] = ((SLEEPS, NEVER),) * 3
    marks: int = 0
    ready: int = 0
    delayed: tuple[int, ...] = ()
    pushes: tuple[int, ...] = (2, 0, 1)
    deaths: int = 1


Steps = Iterator[tuple[str, State]]


class Model:
    """`hands_over`: who stops waiting wakes another if nobody knows of the first due time. `passes_on`: so does the keeper for one
    that has died. `tells`: how many are woken at once.
    """

    first = State()

    def __init__(self, *, hands_over: bool = True, passes_on: bool = True, tells: int = 1) -> None:
        self._hands_over, self._passes_on, self._tells = hands_over, passes_on, tells

    def steps(self, s: State) -> Steps:
        """What can happen next."""
        for due in s.pushes:
            left = list(s.pushes)
            left.remove(due)
            yield f"push {due}", self._pushed(s._replace(pushes=tuple(left)), due)
        if s.delayed:
            yield "cancel", s._replace(delayed=s.delayed[1:])
        if not s.pushes and s.workers:
            yield "all is over", State((), 0, 0, (), (), 0)
        for number, (does, known) in enumerate(s.workers):
            if does == SLEEPS and s.marks:
                yield f"{number} pops", _set(s, number, WOKEN, known)._replace(marks=s.marks - 1)
            if does in (SLEEPS, WOKEN, WORKS):
                yield f"{number} looks", self._looked(s, number)
            if does in (SLEEPS, WOKEN, WORKS) and s.deaths:
                yield f"{number} dies", _set(s, number, DEAD, known)._replace(deaths=s.deaths - 1)
            if does == DEAD:
                left = _set(s, number, CLOSED, None)
                yield f"the keeper closes {number}", self._unlisted(left) if self._passes_on else left

    def _pushed(self, s: State, due: int) -> State:
        if not due:
            return _wake(s._replace(ready=s.ready + 1), 1)
        first = not s.delayed or due < s.delayed[0]
        s = s._replace(delayed=tuple(sorted((*s.delayed, due))))
        return _wake(s, self._tells) if first else s

    def _looked(self, s: State, number: int) -> State:
        if s.ready:
            listed = s.workers[number][1] is not None
            s = _set(s, number, WORKS, None)._replace(ready=s.ready - 1)
            return self._unlisted(s) if listed and self._hands_over else s
        return _set(s, number, SLEEPS, s.delayed[0] if s.delayed else NEVER)

    def _unlisted(self, s: State) -> State:
        waiting = _waiting(s)
        s = s._replace(marks=min(s.marks, len(waiting)))
        if s.delayed and waiting and min(waiting) > s.delayed[0]:
            s = _wake(s, self._tells)
        return _wake(s, s.ready)

    def wrong(self, s: State) -> str:
        """What is not as it should be: of a dead worker it is enough that its keeper has still to speak."""
        if not s.delayed or not any(does == SLEEPS for does, _ in s.workers) or s.marks:
            return ""
        for does, known in s.workers:
            listed = known is not None
            if does == WOKEN or (does == DEAD and listed) or (does == SLEEPS and (known or 0) <= s.delayed[0]):
                return ""
        return UNGUARDED

    def ended(self, s: State) -> str:
        """Nothing is left to do: all that could be wrong has been."""
        return ""


def _waiting(s: State) -> list[int]:
    return [known for _, known in s.workers if known is not None]


def _wake(s: State, most: int) -> State:
    return s._replace(marks=min(len(_waiting(s)), s.marks + most))


def _set(s: State, number: int, does: str, known: int | None) -> State:
    return s._replace(workers=(*s.workers[:number], (does, known), *s.workers[number + 1 :]))
