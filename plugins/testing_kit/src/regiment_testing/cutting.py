"""Runs that are cut short, as by `kill -9`, behind each step that a captured task makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOST = 100
"""Of one attempt so many runs are cut; what it does behind that is not."""


class Cut(BaseException):
    """The end of a run in the middle. No task is to catch it: a process that is killed catches nothing."""


class Cutter:
    """Of one attempt: which of its steps runs were cut behind, and whether the run of now is.

    A step is what a task does to a store: a push, an effect of `once` that is entered, a key that is set or deleted. The same
    step of two runs has the same name: the n-th push is the n-th push.
    """

    def __init__(self) -> None:
        self.behind: list[str] = []
        """The steps that runs were cut behind, in this order."""
        self.dead = False
        """True from the cut of a run to the begin of the next one."""
        self._number = Counter[str]()
        self._dies: Callable[[], None] = lambda: None

    def begin(self, dies: Callable[[], None]) -> None:
        """Another run; `dies` is called when it is cut."""
        self.dead, self._dies = False, dies
        self._number.clear()

    def check(self) -> None:
        """What is dead does nothing more."""
        if self.dead:
            raise Cut(self.behind[-1])

    def step(self, what: str, number: bool = True) -> None:
        """A step was made; `number` is True if its name is not its own."""
        if number:
            self._number[what] += 1
            what = f"{what} {self._number[what]}"
        if what not in self.behind and len(self.behind) < MOST:
            self.behind.append(what)
            self.dead = True
            self._dies()
            raise Cut(what)


@contextmanager
def step(cutter: Cutter | None, what: str, number: bool = True) -> Iterator[None]:
    """Around what a task does to its store; behind it a run may be cut. `what` is empty for what only looks."""
    if cutter is not None:
        cutter.check()
    yield
    if cutter is not None and what:
        cutter.step(what, number)
