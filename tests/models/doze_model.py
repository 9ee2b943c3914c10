"""A worker that begins to work and a supervisor that begins to doze, each with a store buffer.

The worker asks its store (which stands on its page), gets tasks or none, looks whether the supervisor dozes, starts, ends, and asks
again. The supervisor writes that it dozes, waits, looks at the page, and sleeps if nothing is there. The word that it was told
comes through the kernel, and is not lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

UNTOLD = "a task runs, and its supervisor dozes without having been told"
ROUNDS = 2

WAITS, ASKED, GOT, LOOKED, RUNS, OVER = range(6)
AWAKE, WROTE, WAITED, DOZES = range(4)


class State(NamedTuple):
    """Memory (dozing, asking, running, how many were started), both buffers, and where each of the two is."""

    worker: int = WAITS
    supervisor: int = AWAKE
    rounds: int = 0
    dozing: bool = False
    asking: bool = False
    running: bool = False
    started: int = 0
    before: int = 0
    told: bool = False
    of_worker: tuple[str, ...] = ()
    of_supervisor: tuple[str, ...] = ()
    drain: int = 0
    """How many writes of the worker's buffer are older than the supervisor's in memory: the wait is longer than two buffers keep
    a write.
    """


class Model:
    """`waits`: whether the supervisor waits between its write and its look. `tells`: whether the page says that a worker asks."""

    first = State()

    def __init__(self, *, waits: bool = True, tells: bool = True) -> None:
        self._waits, self._tells = waits, tells

    def steps(self, s: State) -> Iterator[tuple[str, State]]:
        """What may come next."""
        if s.of_worker:
            yield (
                "its write arrives",
                _written(s, s.of_worker[0])._replace(of_worker=s.of_worker[1:], drain=max(0, s.drain - 1)),
            )
        if s.of_supervisor:
            yield "the supervisor's write arrives", s._replace(dozing=True, of_supervisor=(), drain=len(s.of_worker))
        yield from self._worker(s)
        yield from self._supervisor(s)

    def _worker(self, s: State) -> Iterator[tuple[str, State]]:
        if s.worker == WAITS:
            if s.rounds == ROUNDS:
                yield "it ends", s._replace(worker=OVER)
            else:
                yield "it asks", _write(s, "asks")._replace(worker=ASKED, rounds=s.rounds + 1)
        elif s.worker == ASKED:
            yield "it gets nothing", _write(s, "nothing")._replace(worker=WAITS)
            yield "it gets tasks", s._replace(worker=GOT)
        elif s.worker == GOT:
            yield "it looks", s._replace(worker=LOOKED, told=s.told or s.dozing)
        elif s.worker == LOOKED:
            yield "it starts", _write(s, "starts")._replace(worker=RUNS)
        elif s.worker == RUNS:
            yield "its task ends", _write(s, "done")._replace(worker=WAITS)

    def _supervisor(self, s: State) -> Iterator[tuple[str, State]]:
        if s.supervisor == AWAKE and not s.told:
            if not (s.running or (self._tells and s.asking)):
                yield "the supervisor writes", s._replace(supervisor=WROTE, before=s.started, of_supervisor=("dozing",))
        elif s.supervisor == WROTE and (not self._waits or not (s.of_supervisor or s.drain)):
            yield "it has waited", s._replace(supervisor=WAITED)
        elif s.supervisor == WAITED:
            calm = not s.running and s.started == s.before and not (self._tells and s.asking)
            yield "it has looked", s._replace(supervisor=DOZES if calm else AWAKE, told=s.told or not calm)

    def wrong(self, s: State) -> str:
        """What is not as it should be."""
        return UNTOLD if s.supervisor == DOZES and s.worker in (LOOKED, RUNS) and not s.told else ""

    def ended(self, s: State) -> str:
        """Nothing is left to do: all that could be wrong has been."""
        return ""


def _write(s: State, word: str) -> State:
    return s._replace(of_worker=(*s.of_worker, word))


def _written(s: State, word: str) -> State:
    if word == "starts":
        return s._replace(asking=False, running=True, started=s.started + 1)
    if word == "done":
        return s._replace(running=False)
    return s._replace(asking=word == "asks")
