"""One task, two workers, and a server that forgets what it had answered and not written down yet.

A claim lists the task in its worker's document; the removal that follows takes it out of the waiting ones. Both are
acknowledged (w:1) before they are in the journal or on another member. A kill, or another primary, undoes an unwritten tail
of them. What ties the two together is the rule under trial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

TASK, COPY = "task", "copy"
"""What can be waiting: the task as it was pushed, and what a giving back makes of it (another `_id`)."""


class Store(NamedTuple):
    """What the server shows."""

    waiting: frozenset[str] = frozenset({TASK})
    holder: int = -1
    held: str = ""
    v: int = 0
    """The guard of the documents, one for both."""


class Worker(NamedTuple):
    """Where a worker is, what it knows, over which connection it learned that."""

    at: str = "idle"
    what: str = ""
    v: int = -1
    connection: int = -1
    sent: bool = False
    """Whether a removal may have happened whose answer did not come."""


class State(NamedTuple):
    """All of it. `written` outlives everything; `tail` is what was answered since, oldest first."""

    written: Store = Store()
    tail: tuple[Store, ...] = ()
    connection: int = 0
    """Which connections the server has: all others are closed."""
    workers: tuple[Worker, ...] = (Worker(), Worker())
    runs: int = 0
    kills: int = 0
    deaths: int = 0
    backs: int = 0
    losses: int = 0

    @property
    def store(self) -> Store:
        return self.tail[-1] if self.tail else self.written


Steps = Iterator[tuple[str, State]]
To = Callable[..., State]
"""The state in which this worker stands elsewhere, knows something else, has written something."""

ANY = -2
"""A request over whichever connection there is."""


class Model:
    """`tied`: a removal is sent only over the connection that showed its claim, and so is each link of a giving back.
    `affirmed`: a repeat first writes to the document over that connection; else it has merely read it.
    `closes`: who undoes writes closes its connections. `claim_lasts`, `removal_lasts`: the worker goes on when the claim, or the
    removal, is written down, and so with its settlement. `once`: that it runs twice is wrong.
    """

    def __init__(
        self,
        *,
        tied: bool = True,
        affirmed: bool = True,
        closes: bool = True,
        claim_lasts: bool = False,
        removal_lasts: bool = False,
        once: bool = False,
        workers: int = 2,
        kills: int = 1,
        deaths: int = 0,
        backs: int = 0,
        losses: int = 0,
    ) -> None:
        self.tied, self.affirmed, self.closes = tied, affirmed, closes
        self.claim_lasts, self.removal_lasts = claim_lasts, removal_lasts
        self.once = once
        self.first = State(workers=(Worker(),) * workers, kills=kills, deaths=deaths, backs=backs, losses=losses)

    def steps(self, state: State) -> Steps:
        if state.tail:
            yield "written down", state._replace(written=state.tail[0], tail=state.tail[1:])
        if state.kills:
            gone = state._replace(tail=(), kills=state.kills - 1)
            yield "server killed and back", gone._replace(connection=state.connection + self.closes)
        for number, worker in enumerate(state.workers):
            for label, after in self._worker(state, number, worker):
                yield f"{number} {label}", after
            if state.deaths and worker.at != "dead":
                dead = self._at(state, number, Worker("dead"))
                yield f"{number} dies", dead._replace(deaths=state.deaths - 1)

    def _at(self, state: State, number: int, worker: Worker) -> State:
        workers = list(state.workers)
        workers[number] = worker
        return state._replace(workers=tuple(workers))

    def _worker(self, state: State, number: int, worker: Worker) -> Steps:
        store = state.store
        mine = store.holder == number

        def to(at: str, wrote: Store | None = None, **known: object) -> State:
            after = self._at(state, number, worker._replace(at=at, **known))  # type: ignore[arg-type]
            return after if wrote is None else after._replace(tail=(*state.tail, wrote))

        torn = self.tied and worker.connection not in (ANY, state.connection)
        if worker.at in ("dead", "idle") and mine:
            # Its keeper gives back what a dead worker holds; who holds nothing says so (R3).
            free = store.waiting - {store.held} | {COPY}
            yield "gives back what is listed", to(worker.at, Store(free, -1, "", store.v + 1))
        elif worker.at == "idle":
            for what in store.waiting:
                yield f"reads the {what}", to("claim", what=what, sent=False)
        elif worker.at == "claim":
            if store.holder >= 0:
                yield "is refused: another holds it", to("idle")
            else:
                claim = Store(store.waiting, number, worker.what, store.v + 1)
                after = "claimed" if self.claim_lasts else "remove"
                yield "claims", to(after, claim, v=claim.v, connection=state.connection)
        elif worker.at == "claimed":
            if torn:
                yield "finds its connection closed", to("repeat")
            elif not state.tail:
                yield "knows its claim written down", to("remove")
        elif worker.at == "remove":
            yield from self._remove(state, worker, torn, to)
        elif worker.at == "removed":
            if torn:
                yield "finds its connection closed", to("repeat", sent=True)
            elif not state.tail:
                yield "knows all written down", to("run")
        elif worker.at == "repeat":
            if not mine:
                yield "reads that it holds nothing", to("idle")
            else:
                at = "affirm" if self.affirmed else "remove"
                yield "reads its claim", to(at, v=store.v, connection=ANY)
        elif worker.at == "affirm":
            if mine and store.v == worker.v:
                wrote = store._replace(v=store.v + 1)
                yield "affirms", to("remove", wrote, v=wrote.v, connection=state.connection)
            else:
                yield "is refused: changed", to("repeat")
        elif worker.at == "run":
            if not mine or store.v != worker.v:
                yield "is fenced before it starts it", to("idle")
            yield "runs it", to("settle")._replace(runs=state.runs + 1)
            if state.backs:
                yield "gives it back", to("copy")._replace(backs=state.backs - 1)
        elif worker.at in ("settle", "settled"):
            yield from self._settle(state, worker, mine, to)
        elif worker.at in ("copy", "forget", "document"):
            yield from self._back(state, worker, mine, torn, to)

    def _remove(self, state: State, worker: Worker, torn: bool, to: To) -> Steps:
        store = state.store
        if torn:
            yield "finds its connection closed", to("repeat", sent=True)
            return
        wrote = store._replace(waiting=store.waiting - {worker.what})
        if worker.what in store.waiting:
            yield "removes", to("removed" if self.removal_lasts else "run", wrote)
            if state.losses:
                yield (
                    "removes and hears no answer",
                    to("repeat", wrote, sent=True)._replace(losses=state.losses - 1),
                )
        elif worker.sent:
            yield "removed it before", to("removed" if self.removal_lasts else "run")
        elif store.v == worker.v:
            yield "strikes what had been finished", to("idle", Store(store.waiting, v=store.v + 1))
        else:
            yield "is refused: changed", to("repeat")

    def _settle(self, state: State, worker: Worker, mine: bool, to: To) -> Steps:
        store = state.store
        if worker.at == "settled":
            # What a kill undid is repeated, until it is written down.
            if mine:
                yield "settles again", to("settle", v=store.v)
            elif not state.tail:
                yield "knows it settled", to("idle")
        elif mine and store.v == worker.v:
            lasts = self.removal_lasts or self.claim_lasts
            yield "settles", to("settled" if lasts else "idle", Store(store.waiting, v=store.v + 1))
        else:
            yield "is fenced: changed", to("idle")

    def _back(self, state: State, worker: Worker, mine: bool, torn: bool, to: To) -> Steps:
        """A stand-alone server's giving back: copy, removal, document."""
        store = state.store
        if worker.at == "copy":
            if mine and store.v == worker.v:
                wrote = store._replace(waiting=store.waiting | {COPY})
                yield "copies", to("forget", wrote, connection=state.connection)
            else:
                yield "is fenced: changed", to("idle")
        elif torn:
            yield "finds its connection closed", to("repeat", sent=True)
        elif worker.at == "forget":
            wrote = store._replace(waiting=store.waiting - {TASK})
            yield "removes the original", to("document", wrote)
        elif mine and store.v == worker.v:
            yield "strikes it from its document", to("idle", Store(store.waiting, v=store.v + 1))
        else:
            yield "is fenced: changed", to("idle")

    def wrong(self, state: State) -> str:
        return "runs twice" if self.once and state.runs > 1 else ""

    def ended(self, state: State) -> str:
        return "" if state.runs or state.store.waiting else "lost: it never runs"
