"""What a task leaves behind, as a model: one worker with page and annex, the store with turns, the keeper after a death and live.

Smaller than the world: batches of two, one worker that may be killed and one that takes over after it, each answer may be
lost. Each run of a task has a number, and what it leaves is the pair of both; so what was left by a run that was not settled,
or by two runs of one task, is seen at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

UNSETTLED = "settled without what it left"
TWICE = "what it left is there twice"
EARLY = "what it left is there, and it is not settled"
LOST = "settled, and never finished"
AGAIN = "runs twice without need"
STUCK = "not settled in the end"

Pair = tuple[int, int]
"""A task and the number of its run."""
Held = tuple[tuple[int, int], ...]
"""Receipt and task."""


class Exchange(NamedTuple):
    """A request under way. `limit` 0 leases nothing."""

    turn: int
    done: tuple[int, ...]
    left: tuple[tuple[int, Pair], ...]
    limit: int
    first: int


class Release(NamedTuple):
    """What the keeper says; `close` after a death."""

    done: tuple[int, ...]
    left: tuple[tuple[int, Pair], ...]
    close: bool


class Store(NamedTuple):
    ready: tuple[int, ...]
    held: Held = ()
    turn: int = 0
    answer: Held = ()
    closed: bool = False
    settled: frozenset[int] = frozenset()
    left: tuple[Pair, ...] = ()


class Worker(NamedTuple):
    """`at` is what it does next; `batch` what it has leased and not finished, `done` what it will settle."""

    at: str = "idle"
    turn: int = 0
    next: int = 1
    batch: Held = ()
    done: tuple[int, ...] = ()
    run: int = 0
    request: Exchange | None = None
    answer: Held | None = None


class State(NamedTuple):
    store: Store
    worker: Worker = Worker()
    word: tuple[int, str] = (0, "done")
    """Number and phase of its slot."""
    annex: tuple[tuple[int, Pair], ...] = ()
    under_way: frozenset[Exchange | Release] = frozenset()
    runs: tuple[int, ...] = ()
    finished: frozenset[Pair] = frozenset()
    keeper: str = "idle"
    kills: int = 0
    losses: int = 0
    looks: int = 0
    full: int = 0
    dead: bool = False
    problem: str = ""


class Model:
    """The rules, each of which can be left out; and the faults that may happen."""

    def __init__(
        self,
        *,
        tasks: int = 2,
        record_first: bool = True,
        keeper_knows: bool = True,
        emptied: str = "answered",
        by_record: bool = True,
        held_only: bool = True,
        every: bool = False,
        alone: bool = True,
        kills: int = 0,
        losses: int = 0,
        looks: int = 0,
        unseen: bool = False,
        full: int = 0,
    ) -> None:
        self.tasks, self.record_first, self.keeper_knows = tasks, record_first, keeper_knows
        self.emptied, self.by_record, self.held_only, self.alone = emptied, by_record, held_only, alone
        self.every, self.unseen, self.most_kills = every, unseen, kills
        ready = tuple(range(1, tasks + 1))
        self.first = State(Store(ready), runs=(0,) * (tasks + 1), kills=kills, losses=losses, looks=looks, full=full)

    # The store

    def settle(self, state: State, done: tuple[int, ...], left: tuple[tuple[int, Pair], ...]) -> State:
        """E1: what was left by a receipt comes if this step takes the receipt."""
        store, problem = state.store, state.problem
        taken = {receipt: task for receipt, task in store.held if receipt in done}
        for task in taken.values():
            if not any(task == one for one, _ in state.finished):
                problem = problem or LOST
        come = tuple(pair for receipt, pair in left if receipt in taken or not self.held_only)
        store = store._replace(
            held=tuple(one for one in store.held if one[0] not in taken),
            settled=store.settled | set(taken.values()),
            left=tuple(sorted(store.left + come)),
        )
        return state._replace(store=store, problem=problem)

    def executed(self, state: State, request: Exchange | Release) -> tuple[State, Held | None]:
        store = state.store
        if isinstance(request, Release):
            if store.closed:
                return state, ()
            state = self.settle(state, request.done, request.left if self.keeper_knows else ())
            store = state.store
            if request.close:
                back = tuple(task for _, task in store.held)
                store = store._replace(ready=back + store.ready, held=(), closed=True)
            return state._replace(store=store), ()
        if store.closed or request.turn not in (store.turn, store.turn + 1):
            return state, None
        if request.turn == store.turn:
            return state, store.answer  # E6
        state = self.settle(state, request.done, request.left)
        store = state.store
        taken = store.ready[: request.limit]
        lease = tuple((request.first + index, task) for index, task in enumerate(taken))
        store = store._replace(
            ready=store.ready[request.limit :], held=store.held + lease, turn=request.turn, answer=lease
        )
        return state._replace(store=store), lease

    # What may happen

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        if state.problem:
            return
        yield from self._of_the_store(state)
        if not state.dead:
            yield from self._of_the_worker(state)
            if state.kills:
                dead = state._replace(dead=True, kills=state.kills - 1, worker=Worker("gone"))
                yield "killed", dead
        yield from self._of_the_keeper(state)
        if state.dead and state.keeper == "released":
            fresh = State(state.store._replace(closed=False, turn=0, answer=()), runs=state.runs)
            yield (
                "another takes its place",
                fresh._replace(finished=state.finished, kills=state.kills, losses=state.losses),
            )

    def _of_the_store(self, state: State) -> Iterator[tuple[str, State]]:
        for request in sorted(state.under_way, key=repr):
            after, answer = self.executed(state, request)
            after = after._replace(under_way=after.under_way - {request})
            if isinstance(request, Release):
                yield "released", after._replace(keeper="released" if request.close else "idle")
            elif after.worker.request == request:
                yield "executed", after._replace(worker=after.worker._replace(answer=answer))
                if state.losses and answer is not None:
                    yield "executed, its answer lost", after._replace(losses=state.losses - 1)
            else:
                yield "executed late", after

    def _of_the_worker(self, state: State) -> Iterator[tuple[str, State]]:
        worker = state.worker
        number, task = worker.batch[0] if worker.batch else (0, 0)
        if worker.at == "idle" and (worker.done or state.store.ready):
            yield "asks", self._sent(state, worker.done, (), 2)
        elif worker.at == "alone":
            yield "asks for one", self._sent(state, (*worker.done, number), ((number, (task, worker.run)),), 0)
        elif worker.at == "waits":
            if worker.answer is not None:
                yield "answered", self._answered(state, worker.answer)
            elif worker.request is not None and worker.request not in state.under_way:
                yield "asks again", state._replace(under_way=state.under_way | {worker.request})
        elif worker.at == "starts":
            runs = tuple(n + (one == task) for one, n in enumerate(state.runs))
            yield (
                "runs",
                state._replace(word=(number, "started"), runs=runs, worker=worker._replace(at="ends", run=runs[task])),
            )
        elif worker.at == "ends":
            ended = state._replace(word=(number, "ended"), finished=state.finished | {(task, worker.run)})
            yield "ends", ended._replace(worker=worker._replace(at="record" if self.record_first else "mark"))
            if state.full:
                at = "alone" if self.alone else "mark"
                yield "ends, and has no room", ended._replace(full=state.full - 1, worker=worker._replace(at=at))
        elif worker.at == "record":
            annex = (*state.annex, (number, (task, worker.run)))
            after = "mark" if self.record_first else "next"
            yield "records", state._replace(annex=annex, worker=worker._replace(at=after))
        elif worker.at == "mark":
            has = any(one == number for one, _ in state.annex) or self.record_first
            marked = worker._replace(at="next" if has else "record", done=(*worker.done, number))
            yield "marks it done", state._replace(word=(number, "done"), worker=marked)
        elif worker.at == "next":
            batch = worker.batch[1:]
            yield "goes on", state._replace(worker=worker._replace(at="starts" if batch else "idle", batch=batch))

    def _sent(self, state: State, done: tuple[int, ...], more: tuple[tuple[int, Pair], ...], limit: int) -> State:
        worker = state.worker
        left = tuple(one for one in state.annex if one[0] in done) + more
        request = Exchange(worker.turn + 1, done, left, limit, worker.next)
        worker = worker._replace(at="waits", turn=request.turn, request=request, answer=None)
        annex = () if self.emptied == "sent" else state.annex
        return state._replace(worker=worker, under_way=state.under_way | {request}, annex=annex)

    @staticmethod
    def _answered(state: State, answer: Held) -> State:
        worker = state.worker
        assert worker.request is not None
        if worker.request.limit == 0:
            number, batch = worker.batch[0][0], worker.batch[1:]
            state = state._replace(word=(number, "done"))
        else:
            number, batch = 0, answer
        following = max(worker.next, *(receipt + 1 for receipt, _ in answer)) if answer else worker.next
        worker = worker._replace(
            at="starts" if batch else "idle", batch=batch, done=(), next=following, request=None, answer=None
        )
        return state._replace(worker=worker, annex=())

    def _of_the_keeper(self, state: State) -> Iterator[tuple[str, State]]:
        if state.keeper != "idle":
            return
        if state.dead:
            done, left = self._read(state, state.annex)
            yield "the keeper releases", self._asked(state, Release(done, left, close=True))
        elif state.looks and state.worker.at not in ("idle", "waits"):
            seen = [state.annex] + ([state.annex[:-1]] if self.unseen and state.annex else [])
            for annex in seen:
                done, left = self._read(state, annex)
                if done:
                    asked = self._asked(state, Release(done, left, close=False))
                    yield "the keeper settles", asked._replace(looks=state.looks - 1)

    def _read(
        self, state: State, annex: tuple[tuple[int, Pair], ...]
    ) -> tuple[tuple[int, ...], tuple[tuple[int, Pair], ...]]:
        """E3, or R2: what the page says is done."""
        number, phase = state.word
        still = {number} if phase != "done" else set[int]()
        if self.by_record:
            done = tuple(one for one, _ in annex if one not in still)
        else:
            done = tuple(one for one in range(1, number + 1) if one not in still)
        return done, tuple(one for one in annex if one[0] in done or self.every)

    @staticmethod
    def _asked(state: State, request: Release) -> State:
        return state._replace(keeper="asks", under_way=state.under_way | {request})

    # What must hold

    def wrong(self, state: State) -> str:
        store = state.store
        tasks = [task for task, _ in store.left]
        if state.problem:
            return state.problem
        if len(set(tasks)) < len(tasks):
            return TWICE
        if set(tasks) - store.settled:
            return EARLY
        if store.settled - set(tasks):
            return UNSETTLED
        if sum(runs - 1 for runs in state.runs if runs) > self.most_kills:
            return AGAIN
        return ""

    def ended(self, state: State) -> str:
        return "" if len(state.store.settled) == self.tasks else STUCK
