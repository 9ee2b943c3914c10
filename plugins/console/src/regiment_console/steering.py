"""Looking through the queues of a store that keeps `steer`: task by task, or for those with certain ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, cast

from regiment.broker import refuse_without
from regiment.codec import read_head
from regiment.contracts import Connector
from regiment.contracts.steer import LOOKED_AT, STEER, Seen, Steered
from regiment.errors import DecodeError
from regiment.registry import registry
from regiment_console.store import Store

State = Literal["ready", "delayed", "leased"]
STATES: tuple[State, ...] = ("leased", "ready", "delayed")
"""Where a task may be, in the order in which it is looked for: the fewest first."""
SHORTEST = 8
"""Characters that ids must have in common to be looked for together."""


class Found(NamedTuple):
    """A task and the queue in which it was seen."""

    queue: str
    seen: Seen


def steered(connector: Connector, wanted: str) -> Steered:
    """The connector as one that keeps `steer`; `ConfigError` that names the stores that do, if it does not."""
    refuse_without(STEER, f"{wanted} needs", connector, registry())
    return cast("Steered", connector)


def walk(store: Steered, queue: str, state: State, holding: bytes = b"") -> Iterator[Seen]:
    """The tasks of a state, one after the other; with `holding` those whose bytes hold these."""
    after: str | None = None
    while True:
        glance = store.look(queue, state, LOOKED_AT if holding else 1000, after=after, holding=holding)
        yield from glance.tasks
        after = glance.after
        if after is None:
            return


def id_of(payload: bytes) -> str:
    """The id in the head of a message; empty if it cannot be read."""
    try:
        return read_head(payload).task_id
    except DecodeError:
        return ""


def find(store: Steered, queues: Sequence[str], ids: Sequence[str]) -> list[Found]:
    """The tasks with these ids, wherever they wait or run. An id stands in a message as it is, so the store looks for it.

    No task has an empty id, and messages that nobody can read are not meant by one.
    """
    wanted = list(dict.fromkeys(filter(None, ids)))
    common = _common(wanted)
    if len(wanted) > 1 and len(common) >= SHORTEST:
        return [one for queue in queues for one in _in(store, queue, common, set(wanted))]
    return [one for id in wanted for queue in queues for one in _in(store, queue, id, {id})]


def _common(texts: Sequence[str]) -> str:
    """What all of them begin with."""
    first, last = min(texts, default=""), max(texts, default="")
    same = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(same, min(len(first), len(last)))]


def _in(store: Steered, queue: str, text: str, wanted: set[str]) -> Iterator[Found]:
    left = set(wanted)
    for state in STATES:
        for seen in walk(store, queue, state, text.encode()):
            id = id_of(seen.payload)
            if id in wanted:
                left.discard(id)
                yield Found(queue, seen)
        if not left:
            return


def chosen(store: Store, queue: str | None) -> list[str]:
    """The queue, if one is named and known; else all."""
    return [store.known(queue)] if queue else list(store.looking.queues())
