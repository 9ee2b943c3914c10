"""Two workers and a store, whose swift exchange compares what it finds with what the worker was told, and judges nothing else.

The worker settles all that it holds and leases the next task; its answers may be lost, its requests late. What the other worker holds
is overdue at some time, and given back by an ordinary exchange only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

LOST = "a task is settled that never ran"
UNFINISHED = "a task was never run"


class Request(NamedTuple):
    """What was sent: the turn and, if it is swift, the head that the worker was told."""

    turn: int
    told: tuple[int, int]
    swift: bool


class State(NamedTuple):
    """`head`: the turn that the store knows of the worker and the task that it lists for it (0: none). `fresh`: tasks that are ready.
    `other`: a task that the other worker was leased and died with. `late`: requests that may still arrive.
    """

    fresh: tuple[int, ...] = (1, 2)
    head: tuple[int, int] = (0, 0)
    other: int = 3
    fenced: bool = False
    told: tuple[int, int] = (0, 0)
    ran: frozenset[int] = frozenset()
    settled: frozenset[int] = frozenset()
    late: frozenset[Request] = frozenset()
    turn: int = 0
    asking: bool = False
    losses: int = 1
    stalls: int = 1


Steps = Iterator[tuple[str, State]]


class Model:
    """`compares`: what the store must look like: `head` (the rule: turn and tasks), `tasks` (whether the worker lists any),
    `nothing`. `repeats`: a swift request whose answer was lost is repeated as an ordinary one (the rule).
    That an ordinary exchange follows after a while (R8) is no choice here: the tasks end, and with them the swift exchanges.
    """

    first = State()

    def __init__(self, *, compares: str = "head", repeats: bool = True) -> None:
        self._compares, self._repeats = compares, repeats

    def steps(self, s: State) -> Steps:
        """What can happen next."""
        if s.stalls and s.head[1] and not s.fenced:
            # It was silent for a lease: an exchange of somebody else takes its task back.
            yield "take back", s._replace(stalls=0, fenced=True, head=(s.head[0], 0), fresh=(s.head[1], *s.fresh))
        for request in s.late:
            yield "late", self._carried(s._replace(late=s.late - {request}), request)[1]
        if s.fenced and not s.asking:
            fresh = s._replace(fenced=False, head=(s.turn, 0), told=(s.turn, 0))
            yield "join", fresh
            return
        if s.told[1] and s.told[1] not in s.ran:
            yield "run", s._replace(ran=s.ran | {s.told[1]})
            return
        if s.asking:
            yield from self._asks(s, s.turn, swift=not self._repeats)
        elif s.fresh or s.told[1] or s.other:
            if s.told[1]:
                yield from self._asks(s._replace(turn=s.turn + 1), s.turn + 1, swift=True)
            yield from self._asks(s._replace(turn=s.turn + 1), s.turn + 1, swift=False)

    def _asks(self, s: State, turn: int, swift: bool) -> Steps:
        request = Request(turn, s.told, swift)
        done, after = self._carried(s, request)
        if s.losses:
            lost = s._replace(losses=0, asking=True)
            yield "request is late", lost._replace(late=s.late | {request})
            yield "answer is lost", after._replace(losses=0, asking=True)
        if done:
            yield ("swift" if swift else "ordinary"), after._replace(told=after.head, asking=False)
        elif swift:
            yield "not swift", after._replace(asking=True)
        else:
            yield "refused", s._replace(asking=False, fenced=True, told=(turn, 0))

    def _carried(self, s: State, request: Request) -> tuple[bool, State]:
        """Whether the store does it, and what it looks like then."""
        if request.swift:
            same = {"head": s.head == request.told, "tasks": s.head[1] > 0, "nothing": True}[self._compares]
            return (True, self._moved(s, request.turn)) if same and s.fresh else (False, s)
        if s.fenced:
            return False, s
        if request.turn == s.head[0]:
            return True, s
        if request.turn != s.head[0] + 1:
            return False, s
        if s.other:
            s = s._replace(fresh=(*s.fresh, s.other), other=0)
        return True, self._moved(s, request.turn)

    def _moved(self, s: State, turn: int) -> State:
        settled = s.settled | {s.head[1]} if s.head[1] else s.settled
        task, fresh = (s.fresh[0], s.fresh[1:]) if s.fresh else (0, ())
        return s._replace(settled=settled, head=(turn, task), fresh=fresh)

    def wrong(self, s: State) -> str:
        """What is not as it should be."""
        return LOST if s.settled - s.ran else ""

    def ended(self, s: State) -> str:
        """What is not as it should be where nothing more happens."""
        return UNFINISHED if len(s.settled) < 3 else ""
