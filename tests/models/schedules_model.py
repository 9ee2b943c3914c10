"""Firing: one task for each tick, whoever sends, however late.

Two stewards, ticks 1 to 3. A request may arrive at any later time; stewards may die and come back with nothing in their heads; ids are
remembered for a window. The rule is one of:

- "id": the push bears an id of schedule and tick, remembered for the window; what was fired last is written afterwards.
- "until": the same, and the store refuses a push that comes later than half a window after its tick.
- "turn": the row has a version. In one step, if it is as it was read, the tick is pushed and the row moves on (T1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

TICKS, WINDOW, HORIZON = 3, 2, 6


class Steward(NamedTuple):
    at: str = "idle"
    version: int = 0
    tick: int = 0


class State(NamedTuple):
    time: int = 0
    version: int = 0
    last: int = 0
    ids: tuple[tuple[int, int], ...] = ()
    """(tick, until when its id is remembered)."""
    fired: tuple[int, ...] = ()
    sent: tuple[tuple[int, int, int], ...] = ()
    """Requests on their way: (who, version seen, tick)."""
    stewards: tuple[Steward, Steward] = (Steward(), Steward())
    deaths: int = 0


Steps = Callable[[State], Iterator[tuple[str, State]]]


def put(state: State, who: int, steward: Steward) -> State:
    both = list(state.stewards)
    both[who] = steward
    return state._replace(stewards=(both[0], both[1]))


def push(state: State, tick: int) -> State:
    """The store takes a push with an id."""
    live = tuple((known, until) for known, until in state.ids if until > state.time)
    if tick in dict(live):
        return state
    return state._replace(
        ids=tuple(sorted((*live, (tick, state.time + WINDOW)))), fired=tuple(sorted((*state.fired, tick)))
    )


def arrives(state: State, rule: str, version: int, tick: int) -> State:
    """What a request does at the store."""
    if rule == "turn":
        if version != state.version:
            return state
        return state._replace(version=version + 1, last=tick, fired=tuple(sorted((*state.fired, tick))))
    if rule == "until" and state.time > tick + WINDOW // 2:
        return state
    return push(state, tick)


def steps(rule: str) -> Steps:
    """All that may happen next."""

    def of(state: State) -> Iterator[tuple[str, State]]:
        if state.time < HORIZON:
            yield "time", state._replace(time=state.time + 1)
        for who, steward in enumerate(state.stewards):
            due = state.last + 1
            if steward.at == "idle" and due <= min(state.time, TICKS):
                yield f"{who} reads: {due} is due", put(state, who, Steward("send", state.version, due))
            if steward.at == "send":
                sent = tuple(sorted((*state.sent, (who, steward.version, steward.tick))))
                yield f"{who} sends {steward.tick}", put(state._replace(sent=sent), who, steward._replace(at="wait"))
            if steward.at == "answered":
                yield f"{who} writes {steward.tick}", put(state._replace(last=steward.tick), who, Steward())
            if state.deaths and steward.at != "idle":
                yield f"{who} dies", put(state._replace(deaths=state.deaths - 1), who, Steward())
        for place, (who, version, tick) in enumerate(state.sent):
            sent = state.sent[:place] + state.sent[place + 1 :]
            after = arrives(state, rule, version, tick)._replace(sent=sent)
            waits = state.stewards[who]
            if (waits.at, waits.version, waits.tick) == ("wait", version, tick):
                after = put(after, who, Steward() if rule == "turn" else Steward("answered", version, tick))
            yield f"{tick} of {who} arrives", after

    return of


def wrong(state: State) -> str:
    """No tick twice."""
    return next((f"tick {tick} was fired twice" for tick in state.fired if state.fired.count(tick) > 1), "")


def ended(state: State) -> str:
    """And none not at all."""
    lost = sorted({*range(1, TICKS + 1)} - {*state.fired})
    return f"ticks {lost} were never fired" if lost else ""
