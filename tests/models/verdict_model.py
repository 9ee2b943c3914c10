"""Tasks that share a worker, of which one blocks all others: who is condemned when limits pass.

While the guilty one blocks, no other ends, and limits pass in any order: one by one, each in a look of its own, or several
before the supervisor looks. A look at something late ends the worker. What the supervisor cannot see is who is guilty; what it
can see is who is late, who runs beside it, and that the worker stands still. Task 0 is the guilty one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

WAITING, SUSPECT, RUNNING, ALONE, DONE, DEAD = "waiting", "suspect", "running", "alone", "done", "dead"
INNOCENT, ENDLESS = "an innocent is condemned", "the guilty one runs without end"


class State(NamedTuple):
    """Where each task is, which of them are late, whether the worker stands still, how often the guilty one has begun."""

    tasks: tuple[str, ...]
    late: frozenset[int] = frozenset()
    stands: bool = False
    begun: int = 0


Steps = Iterator[tuple[str, State]]


class Model:
    """`verdict`: `first` condemns the first that is late; `late` has no verdict where several are late in one look; `beside`
    (the rule) has none either where others run beside one on a worker that stands still. `alone`: a suspect runs alone.
    """

    def __init__(self, *, verdict: str = "beside", alone: bool = True, tasks: int = 4, bound: int = 2) -> None:
        self._verdict, self._alone, self._bound = verdict, alone, bound
        self.first = State((WAITING,) * tasks)

    def steps(self, state: State) -> Steps:
        """What can happen next."""
        tasks = state.tasks
        running = [n for n, at in enumerate(tasks) if at in (RUNNING, ALONE)]
        if not state.stands:
            yield from self._starts(state, running)
            for n in running:
                if n == 0:
                    yield "0 blocks", state._replace(stands=True)
                else:
                    yield f"{n} ends", state._replace(tasks=_put(tasks, n, DONE))
            return
        for n in running:
            if n not in state.late:
                yield f"the limit of {n} passes", state._replace(late=state.late | {n})
        if state.late:
            yield "the supervisor looks", self._look(state, running)

    def _starts(self, state: State, running: list[int]) -> Steps:
        if any(state.tasks[n] == ALONE for n in running) or state.begun > self._bound:
            return
        for n, at in enumerate(state.tasks):
            alone = at == SUSPECT and self._alone
            if at in (WAITING, SUSPECT) and not (alone and running):
                after = _put(state.tasks, n, ALONE if alone else RUNNING)
                yield f"{n} starts", state._replace(tasks=after, begun=state.begun + (n == 0))

    def _look(self, state: State, running: list[int]) -> State:
        tasks, late = state.tasks, sorted(state.late)
        if self._verdict == "first":
            judged, suspects = late[:1], []
        elif self._verdict == "late":
            judged, suspects = (late, []) if len(late) == 1 else ([], late)
        else:
            judged, suspects = (late, []) if len(running) == 1 else ([], running)
        for n in running:
            where = DEAD if n in judged else SUSPECT if n in suspects else WAITING
            tasks = _put(tasks, n, where)
        return State(tasks, begun=state.begun)

    def wrong(self, state: State) -> str:
        """What must not be in any state."""
        if DEAD in state.tasks[1:]:
            return INNOCENT
        return ENDLESS if state.begun > self._bound else ""

    def ended(self, state: State) -> str:
        """What must not be at an end."""
        whole = (DEAD,) + (DONE,) * (len(state.tasks) - 1)
        return "" if state.tasks == whole else f"left as {state.tasks}"


def _put(tasks: tuple[str, ...], n: int, at: str) -> tuple[str, ...]:
    return (*tasks[:n], at, *tasks[n + 1 :])
