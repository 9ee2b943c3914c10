"""One task, one notice on the board, workers that die: when the notice may be taken off (O1).

A worker reads the board with each exchange, so it knows of a notice that was posted before it leased. A notice that is posted while
the task runs is found by the keeper, or met when the task comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

READY, LEASED, RUNNING, DONE, AGAIN, OVER = (
    "ready",
    "leased",
    "running",
    "done, not settled",
    "again, not settled",
    "over",
)
LATE, STAYS = "it runs although it was leased after the notice", "without a death the notice stays for ever"


class State(NamedTuple):
    """Where the task is, whether its notice was posted and stands there, and what the worker that has it knows."""

    task: str = READY
    posted: bool = False
    stands: bool = False
    knows: bool = False
    """Whether the worker has read the notice, with the exchange by which it leased or settled."""
    after: bool = False
    """Whether it was leased after the notice was posted."""
    wrong: bool = False
    died: bool = False
    to_clear: bool = False
    retries: int = 1
    deaths: int = 2


Steps = Iterator[tuple[str, State]]


class Model:
    """`clears`: `settled` takes a notice off after the settlement of an end is answered (the rule), `before` as soon as the end
    is known, `any` after each settlement, that of a retry as well, `met` only where the notice was met before the run.
    """

    first = State()

    def __init__(self, clears: str = "settled") -> None:
        self._clears = clears

    def steps(self, s: State) -> Steps:
        """What can happen next."""
        if not s.posted and s.task != OVER:
            yield "post", s._replace(posted=True, stands=True)
        if s.to_clear:
            yield "clear", s._replace(stands=False, to_clear=False)
        if s.task == READY:
            yield "lease", s._replace(task=LEASED, knows=s.stands, after=s.posted)
        elif s.task == LEASED and s.knows:
            yield "met", self._ended(s)
        elif s.task == LEASED:
            yield "start", s._replace(task=RUNNING, wrong=s.after)
        elif s.task == RUNNING:
            yield "success", self._ended(s)
            if s.retries:
                yield "retry", s._replace(task=AGAIN, retries=s.retries - 1)
            if s.stands:
                yield "strike", self._ended(s)
        elif s.task in (DONE, AGAIN):
            yield "settle", self._settled(s)
        if s.deaths and (s.task in (LEASED, RUNNING, DONE, AGAIN) or s.to_clear):
            lost = READY if s.task != OVER and s.task != READY else s.task
            yield "death", s._replace(task=lost, knows=False, to_clear=False, died=True, deaths=s.deaths - 1)

    def _ended(self, s: State) -> State:
        return s._replace(task=DONE, to_clear=self._clears == "before" and s.stands)

    def _settled(self, s: State) -> State:
        """The answer of the exchange tells whether the board has changed, and then it is read."""
        clears = s.stands and (self._clears == "any" or (s.task == DONE and (s.knows or self._clears != "met")))
        return s._replace(task=READY if s.task == AGAIN else OVER, knows=False, to_clear=clears)

    def wrong(self, s: State) -> str:
        """What may not be."""
        return LATE if s.wrong else ""

    def ended(self, s: State) -> str:
        """What may not stay."""
        return STAYS if s.stands and not s.died else ""
