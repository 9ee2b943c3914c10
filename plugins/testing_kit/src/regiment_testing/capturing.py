"""`capture`: holds what an application pushes and runs it inside its tests, without a store and without a worker."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from regiment import outcome as outcomes
from regiment import pushing
from regiment.broker import Broker, Pushed
from regiment.build import heard, make_codec
from regiment.config import WorkerConfig
from regiment.contracts import Again, Back, Connector, Dead, Done, Park, Settlement
from regiment.errors import ConfigError
from regiment.outcome import Outcome
from regiment.queue import Queue, TaskFunction
from regiment.registry import registry
from regiment.worker import Worker
from regiment_testing.bench import Bench, Face, find_face
from regiment_testing.cutting import Cutter
from regiment_testing.heap import Captured, Entry, Heap, Port

__all__ = ["Capture", "Captured", "DeadTask", "capture"]

What = TaskFunction[..., Any] | Queue | type[Worker] | str
"""What was pushed: a task function, a Worker class, a Queue (any task of it), or a queue's name."""


class DeadTask:
    """A captured task that ended as a dead letter. `reason` is what `regiment dead show` would print, `cut` the steps behind
    which runs before the last one were cut.
    """

    def __init__(self, captured: Captured, reason: dict[str, Any], cut: Sequence[str] = ()) -> None:
        self.task, self.reason, self.cut = captured, reason, cut
        self.kind, self.error = str(reason.get("kind")), str(reason.get("error", ""))

    def __repr__(self) -> str:
        why = self.reason.get("error_type") or self.kind
        cut = f"; runs before this one were cut behind: {', '.join(self.cut)}" if self.cut else ""
        return f"<dead: {self.task!r}: {why}: {self.error[:200]}{cut}>"


@contextmanager
def capture(*workers: Face, twice: bool = False, cut: bool = False) -> Iterator[Capture]:
    """Hold every push of this process until the end of the block, whatever connector its worker has.

    Arguments are encoded and decoded as for a store, so a value that cannot be serialized fails at its push. Nothing
    runs by itself: `drain()`, `advance(seconds)` and `run(task)` run the pushed tasks in this thread, with the handlers
    and retries of a worker and a clock that only they move. Time limits are not enforced, locks and keys live in the
    block, and nothing tests how workers die. Give `workers` (Worker classes, Queues) only if several have the same
    queue.

    `twice`: True if each run that succeeds is followed by another one of the same task, as after the death of a worker between
    the end of a task and its settlement. What the first run left for its settlement is given up; what it has entered
    (`once`), and all else that it did, counts. AssertionError if the second run does not succeed.

    `cut`: True if each attempt runs once for each step that it makes (a push, an effect of `once`, a key that is set or deleted), cut behind
    that as by the death of its worker, and then to its end, which counts: k + 1 runs for k steps, of which 100 at most are cut. A dead
    letter says where the runs before its last one were cut.
    """
    if twice and cut:
        raise ValueError("capture got twice and cut; expected one of them: the last run of a cut one is a second run")
    before, made = pushing.override, Capture(workers, twice, cut)
    pushing.override = made._broker
    try:
        yield made
    finally:
        pushing.override = before
        made._close()


class Capture:
    """The pushed tasks, and the means to run them. Times are seconds of a clock that starts at 0."""

    def __init__(self, workers: tuple[Face, ...] = (), twice: bool = False, cut: bool = False) -> None:
        self.dead: list[DeadTask] = []
        """Dead letters, oldest first."""
        self._given, self._heap, self._twice, self._cut = workers, Heap(), twice, cut
        self._brokers: dict[int, Broker] = {}
        self._pushers: dict[str, WorkerConfig] = {}
        self._benches: dict[str, Bench | None] = {}

    @property
    def pushed(self) -> list[Captured]:
        """All pushes in order, also those of tasks; retries of a task are not pushes."""
        return list(self._heap.pushed)

    @property
    def waiting(self) -> list[Captured]:
        """Tasks that have not ended, in the order of their due times; tasks for workers that are not imported here
        stay.
        """
        return [entry.captured for entry in self._heap.waiting()]

    @property
    def now(self) -> float:
        """The time: the seconds that `advance` and `drain` let pass."""
        return self._heap.now

    # Asserting

    def assert_pushed(self, what: What, /, **kwargs: Any) -> Captured:
        """The first push of `what` with (at least) these arguments; AssertionError says what was pushed instead."""
        of_it = [one for one in self.pushed if _is(one, what)]
        for one in of_it:
            if not _differences(one, kwargs):
                return one
        lines = [f"{_shown(what)} was not pushed{_with(kwargs)}"]
        if of_it:
            closest = min(of_it, key=lambda one: len(_differences(one, kwargs)))
            lines.append(f"nearest: {closest!r}: {'; '.join(_differences(closest, kwargs))}")
        raise AssertionError("\n".join([*lines, *self._listed()]))

    def assert_not_pushed(self, what: What, /, **kwargs: Any) -> None:
        """AssertionError if `what` was pushed with these arguments."""
        for one in self.pushed:
            if _is(one, what) and not _differences(one, kwargs):
                raise AssertionError(f"{_shown(what)} was pushed{_with(kwargs)}: {one!r}")

    def assert_none_dead(self) -> None:
        """AssertionError, with the reasons and the first traceback, if a task ended as a dead letter."""
        if self.dead:
            lines = [f"{len(self.dead)} of the captured tasks are dead letters:"]
            lines += [f"  {one!r}" for one in self.dead[:20]]
            raise AssertionError("\n".join([*lines, self.dead[0].reason.get("traceback", "")]))

    def _listed(self) -> list[str]:
        found = self.pushed
        lines = [f"captured: {len(found) or 'nothing'}"]
        lines += [f"  {number}. {one!r}" for number, one in enumerate(found[:20], 1)]
        return lines + ([f"  … and {len(found) - 20} more"] if len(found) > 20 else [])

    # Running

    def drain(self, limit: int = 10_000) -> int:
        """Run all tasks, also those pushed meanwhile, and jump over delays; returns the number of attempts.

        RuntimeError after `limit` attempts: some task retries or pushes itself without end.
        """
        return self._run_until(float("inf"), limit)

    def advance(self, seconds: float, limit: int = 10_000) -> int:
        """Let `seconds` pass and run the tasks that are due until then; returns the number of attempts."""
        until = self._heap.now + seconds
        attempts = self._run_until(until, limit)
        self._heap.now = until
        return attempts

    def run(self, task: Captured | Pushed) -> Outcome:
        """Run one waiting task now, due or not, and return how it ended (`.kind`, `.value`, `.error`).

        LookupError if it does not wait, or if no worker here serves its queue.
        """
        entry = self._heap.entries.get((task.queue, task.id))
        if entry is None:
            raise LookupError(f"{task!r} is not waiting: it has ended, or was not pushed in this capture")
        self._look_again()
        if self._bench(task.queue) is None:
            raise LookupError(
                f'no worker of the queue "{task.queue}" is imported here; import its module, or name it: capture(Worker)'
            )
        self._heap.remove(entry)
        return self._attempt(entry)

    def _run_until(self, until: float, limit: int) -> int:
        heap, attempts = self._heap, 0
        self._look_again()
        while True:
            entry = heap.take(self._runs)
            if entry is None:
                due = heap.next_due(self._runs)
                if due is None or due > until:
                    return attempts
                heap.now = max(heap.now, due)
                continue
            if attempts == limit:
                heap.place(entry, front=True)
                raise RuntimeError(
                    f"{limit:,} attempts and no end; the next would be {entry.captured!r}, pushed or retried without end?"
                )
            attempts += 1
            self._attempt(entry)

    def _runs(self, queue: str) -> bool:
        bench = self._bench(queue)
        return bench is not None and not bench.stopped

    def _attempt(self, entry: Entry) -> Outcome:
        heap = self._heap
        bench = self._bench(entry.captured.queue)
        assert bench is not None
        if entry.expires is not None and heap.now >= entry.expires:
            bench.expire(entry)
            heap.uniques.ended(entry)
            heap.left.apply(entry.captured.queue, bench.left)
            return Outcome(outcomes.EXPIRED)
        heap.uniques.started(entry)
        parked = 0.0 if entry.parked is None else heap.now - entry.parked
        before, above, heap.running = len(heap.pushed), heap.running, entry
        cutter = Cutter()
        try:
            outcome, settled = self._cut_runs(bench, entry, parked, cutter) if self._cut else bench.run(entry, parked)
            if self._twice and outcome.kind == outcomes.SUCCESS:
                outcome, settled = bench.run(entry, parked)
                if outcome.kind != outcomes.SUCCESS:
                    raise _not_again(entry.captured, outcome)
        except BaseException:
            heap.place(entry, front=True)
            raise
        finally:
            heap.running = above
        match settled:
            case Back():
                heap.place(entry, front=True)
            case Again(_, payload, delay, priority):
                entry.payload = payload
                entry.priority = entry.priority if priority is None else priority
                heap.place(entry, delay)
            case Park(_, delay):
                entry.parked = heap.now if entry.parked is None else entry.parked
                heap.place(entry, delay)
            case Dead():
                self.dead.append(DeadTask(entry.captured, json.loads(settled.reason), cutter.behind))
            case Done():
                pass
        if isinstance(settled, (Done, Dead)):
            heap.uniques.ended(entry)
        heap.left.apply(entry.captured.queue, bench.left)
        for pushed in heap.pushed[before:]:
            pushed.by = entry.captured
        return outcome

    def _cut_runs(self, bench: Bench, entry: Entry, parked: float, cutter: Cutter) -> tuple[Outcome, Settlement]:
        """Run it until a run has no step any more behind which none was cut."""
        above, self._heap.cutter = self._heap.cutter, cutter
        try:
            while (ended := bench.cut_run(entry, parked, cutter)) is None:
                pass
        finally:
            self._heap.cutter = above
        return ended

    # Parts

    def _broker(self, config: WorkerConfig) -> Broker:
        """The broker of a face, as `regiment.pushing` asks for it."""
        self._pushers[config.name] = config
        found = self._brokers.get(id(config))
        if found is None or found.config is not config:
            problems = config.check()
            if problems:
                raise ConfigError(problems)
            reg = registry().scope(config.plugins)
            reg.refuse()
            codec = self._heap.codecs[config.name] = make_codec(config, reg)
            # A port has the verbs that pushers call; the others are for workers, and there are none here.
            port: Any = Port(self._heap, codec)

            def make() -> Connector:
                return port  # type: ignore[no-any-return]

            found = self._brokers[id(config)] = heard(Broker(make, codec, config), reg)
        return found

    def _look_again(self) -> None:
        """Workers that were not found may have been imported meanwhile."""
        self._benches = {queue: bench for queue, bench in self._benches.items() if bench}

    def _bench(self, queue: str) -> Bench | None:
        if queue not in self._benches:
            face = find_face(queue, self._given, self._pushers.get(queue))
            if isinstance(face, Queue):
                face.load()
            if face is None:
                self._benches[queue] = None
            else:
                config = face.config if isinstance(face, Queue) else face.configuration()
                self._benches[queue] = Bench(face, self._broker(config))
        return self._benches[queue]

    def _close(self) -> None:
        for bench in self._benches.values():
            if bench is not None:
                bench.close()


def _not_again(captured: Captured, outcome: Outcome) -> AssertionError:
    made = AssertionError(
        f"{captured!r} succeeded, and ended as {outcome.kind} when it ran a second time: {outcome.error!r}\n"
        "a worker that dies between the end of a task and its settlement has it run again, so a second run must do no harm"
    )
    made.__cause__ = outcome.error
    return made


def _is(one: Captured, what: What) -> bool:
    if isinstance(what, TaskFunction):
        return (one.queue, one.name) == (what.queue.name, what.name)
    if isinstance(what, str):
        return one.queue == what
    if isinstance(what, Queue):
        return one.queue == what.name
    if isinstance(what, type) and issubclass(what, Worker):
        return one.queue == what.configuration().name
    raise TypeError(
        f"{what!r} is nothing that is pushed; expected a task function, a Worker class, a Queue or a queue's name"
    )


def _shown(what: What) -> str:
    if isinstance(what, TaskFunction):
        return what.name
    return what if isinstance(what, str) else str(getattr(what, "name", None) or what.__name__)  # type: ignore[union-attr]


def _with(kwargs: dict[str, Any]) -> str:
    listed = ", ".join(f"{name}={value!r}" for name, value in kwargs.items())
    return f" with {listed}" if listed else ""


def _differences(one: Captured, kwargs: dict[str, Any]) -> list[str]:
    found = []
    for name, expected in kwargs.items():
        if name not in one.kwargs:
            found.append(f"it has no {name}, expected {expected!r}")
        elif one.kwargs[name] != expected:
            found.append(f"{name} is {one.kwargs[name]!r}, expected {expected!r}")
    return found
