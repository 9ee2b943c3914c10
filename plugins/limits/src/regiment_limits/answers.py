"""What a push with a ticket answers, and how it goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from regiment.broker import Pushed
from regiment.contracts import Met, Push
from regiment.task import Task, new_id


class Admitted(Pushed):
    """What a push answers on a queue with limits: `id` is that of the task that will run, this one or the holder of its key."""

    new: bool
    """True if this push has added a task; False if its key was held, or its id known."""
    did: str
    """ "new", "known", "kept" (left out, for its key is held) or "replaced" (taken in the place of the holder)."""
    state: str
    """Of what has `id`: "ready", "delayed", "leased"; "ended" if its key outlives it; empty if that is not known."""
    holder: str
    """The id of the task that has the key, or had it until this one replaced it; else empty."""

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if value != "")
        return f"Admitted(id={self.id!r}, queue={self.queue!r}, {said})"


class Sent:
    """Called in the place of `Broker.push`, to learn what the tickets of a push have met.

    `first`: True if what other plugins keep of a push comes after it and not in the same step, for what comes in one step with a
    push is not told who holds its key, nor bounded by what waits.
    """

    def __init__(self, push: Push, first: bool) -> None:
        self._push, self._first = push, first
        self.met: Sequence[Met] = ()

    def __call__(self, queue: str, tasks: Sequence[Task], *, effects: Sequence[Any] = (), **how: Any) -> Sequence[int]:
        broker = self._push.broker
        if not (effects and self._first):
            known: Any = broker.push(queue, tasks, effects=effects, **how)
        else:
            known = broker.push(queue, tasks, **how)
            if len(known) < len(tasks):  # of one push all are taken or one is left out; of many, those that were
                with broker.connector() as connector:
                    connector.apply(queue, effects, token=new_id())
        self.met = getattr(known, "met", ())
        return known  # type: ignore[no-any-return]


def answered(
    push: Push, sent: Sent, inner: Callable[[str, str, bool], Pushed], id: str, queue: str, existed: bool
) -> Pushed:
    """The answer of a push of one task, out of what another plugin, or nobody, would answer."""
    met: Met | None = sent.met[0] if sent.met else None
    did = "known" if met is None and existed else "new" if met is None else met.did
    if did == "kept" and met is not None and met.holder:
        id = met.holder
    made: Any = inner(id, queue, existed)
    if type(made) is Pushed:
        made = tuple.__new__(Admitted, made)
        later = bool(push.at) if push.at is not None else bool(push.delay)
        made.state = met.state if met is not None and did != "replaced" else "delayed" if later else "ready"
        if existed and met is None:
            made.state = ""
    with suppress(AttributeError):  # an answer of a stranger's that takes no attributes is left as it is
        made.new, made.did, made.holder = did == "new", did, "" if met is None else met.holder
    return made  # type: ignore[no-any-return]
