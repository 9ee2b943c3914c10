"""A flow as joins: members 1 and 2 in one place, their join there, the callback in another, end and record at home.

What crosses places is late by any time. Cancel and retry are rows of steps of a program that may die between any two of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

RUNNING, FAILED, CANCELLED, SUCCESS = 0, 1, 2, 3
FALSE_SUCCESS, LATE_END, FORGOTTEN, DEAD_STEP, LOST_CANCEL, STILL, OFTEN = (
    "it says success, and not all is done",
    "the end of a cancelled flow came",
    "all is done, and the record does not say so",
    "a step is dead, and the record says running",
    "it was cancelled, and the record does not say so",
    "it stands still",
    "it was told more often than it has failed",
)


class Left(NamedTuple):
    """What may still happen."""

    fails: int
    cancels: int
    retries: int
    deaths: int
    callback_fails: int


class State(NamedTuple):
    """Everything."""

    tasks: tuple[tuple[str, int], ...]
    """Of the members and the callback: how it stands, and the latch that its message names."""
    left: Left
    joined: frozenset[int] = frozenset()
    join_open: bool = True
    called: bool = False
    end: bool = False
    end_open: bool = True
    latches: frozenset[int] = frozenset()
    record: int = RUNNING
    told: int = 0
    board: bool = False
    out: frozenset[tuple[str, int]] = frozenset()
    cancelling: int = 0
    retrying: int = 0
    episode: int = 1
    cancelled: bool = False
    broken: str = ""


class Model:
    """The rules, each of which may be read in a weaker way."""

    def __init__(
        self,
        *,
        success_overrides: bool = True,
        failure_keeps: bool = True,
        cancel_shuts: bool = True,
        drops: str = "",
        fails: int = 1,
        cancels: int = 0,
        retries: int = 0,
        deaths: int = 0,
        callback_fails: int = 0,
    ) -> None:
        """`drops`: when a retry drops the record of the flow, "first" or "last"; W10 says never."""
        self.success_overrides, self.failure_keeps, self.cancel_shuts = success_overrides, failure_keeps, cancel_shuts
        self.drops = drops
        left = Left(fails, cancels, retries, deaths, callback_fails)
        self.first = State((("ready", 1), ("ready", 1), ("none", 1)), left)

    def steps(self, s: State) -> Iterator[tuple[str, State]]:
        """All that may come next."""
        for at in range(3):
            yield from self._task(s, at)
        for entry in sorted(s.out):
            yield f"relay {entry}", self._relay(s._replace(out=s.out - {entry}), *entry)
        yield from self._cancel(s)
        yield from self._retry(s)
        if s.left.deaths and (s.cancelling or s.retrying):
            left = s.left._replace(deaths=s.left.deaths - 1)
            yield "the program dies", s._replace(left=left, cancelling=0, retrying=0)

    def _task(self, s: State, at: int) -> Iterator[tuple[str, State]]:
        how, latch = s.tasks[at]
        if how == "ready":
            yield f"{at} starts", _become(s, at, "dropped" if s.board else "runs", latch)
        if how != "runs":
            return
        done = _become(s, at, "done", latch)
        if at == 2:
            done = done._replace(out=done.out | {("end", 0)})
        elif s.join_open:
            done = done._replace(joined=s.joined | {at})
            if len(done.joined) == 2 and not s.called:
                done = done._replace(called=True, out=done.out | {("call", 0)})
        yield f"{at} is done", done
        may = s.left.callback_fails if at == 2 else s.left.fails
        if may:
            name = "callback_fails" if at == 2 else "fails"
            dead = _become(s, at, "dead", latch)._replace(left=s.left._replace(**{name: may - 1}))
            out = dead.out | {("latch", latch)}
            yield f"{at} fails for good", dead._replace(out=out | {("failed", at)} if self.failure_keeps else out)

    def _relay(self, s: State, what: str, number: int) -> State:
        if what == "call":
            return _become(s, 2, "ready", 1)
        if what == "failed":
            return self._keep(s, FAILED)
        if what == "end":
            if s.end or not s.end_open:
                return s
            broken = LATE_END if s.cancelled and self.cancel_shuts else ""
            return self._keep(s._replace(end=True, broken=broken), SUCCESS)
        if number in s.latches or (not s.end_open and self.cancel_shuts):
            return s
        s = s._replace(latches=s.latches | {number}, told=s.told + 1)
        return s if self.failure_keeps else self._keep(s, FAILED)

    def _keep(self, s: State, rank: int) -> State:
        if not self.success_overrides and s.record:
            return s
        return s._replace(record=rank) if rank >= s.record else s

    def _cancel(self, s: State) -> Iterator[tuple[str, State]]:
        if not s.left.cancels or s.record == SUCCESS:
            if s.cancelling:
                yield (
                    "there is nothing more to cancel",
                    s._replace(cancelling=0, left=s.left._replace(cancels=s.left.cancels - 1)),
                )
            return
        if s.cancelling == 0:
            if self.cancel_shuts:
                s = s._replace(end_open=s.end, cancelled=not s.end)
            yield "cancel: home", self._keep(s._replace(cancelled=not s.end), CANCELLED)._replace(cancelling=1)
        elif s.cancelling == 1:
            yield "cancel: joins", s._replace(join_open=not self.cancel_shuts and s.join_open, cancelling=2)
        else:
            left = s.left._replace(cancels=s.left.cancels - 1)
            yield "cancel: boards", s._replace(board=True, cancelling=0, left=left)

    def _retry(self, s: State) -> Iterator[tuple[str, State]]:
        dead = [at for at in range(3) if s.tasks[at][0] == "dead"]
        if s.left.retries and s.record == FAILED and dead and not s.retrying and not s.cancelling:
            yield "retry begins", s._replace(record=RUNNING if self.drops == "first" else s.record, retrying=1)
        if s.retrying == 1:
            revived = s
            for at in dead:
                revived = _become(revived, at, "ready", s.episode + 1)
            revived = revived._replace(episode=s.episode + 1, retrying=2 if self.drops == "last" else 0)
            if self.drops != "last":
                revived = revived._replace(left=s.left._replace(retries=s.left.retries - 1))
            yield "retry: letters are revived", revived
        if s.retrying == 2:
            left = s.left._replace(retries=s.left.retries - 1)
            record = RUNNING if s.record == FAILED else s.record
            yield "retry: the record is dropped", s._replace(record=record, retrying=0, left=left)

    def wrong(self, s: State) -> str:
        """What may never be."""
        if s.broken:
            return s.broken
        if s.record == SUCCESS and any(how != "done" for how, _ in s.tasks):
            return FALSE_SUCCESS
        return OFTEN if s.told > s.episode else ""

    def ended(self, s: State) -> str:
        """What may not be when nothing more happens."""
        states = [how for how, _ in s.tasks]
        whole = states == ["done"] * 3
        if s.cancelled:
            return "" if s.record == CANCELLED else LOST_CANCEL
        if whole:
            return "" if s.record == SUCCESS else FORGOTTEN
        if "dead" in states:
            return DEAD_STEP if s.record == RUNNING else ""
        return STILL


def _become(s: State, at: int, how: str, latch: int) -> State:
    return s._replace(tasks=(*s.tasks[:at], (how, latch), *s.tasks[at + 1 :]))
