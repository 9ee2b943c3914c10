"""The extension itself: what a worker reads before a step, and what it leaves behind with each end (W4, W5, W8)."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from regiment import log
from regiment.broker import Broker
from regiment.context import attempt_now
from regiment.contracts import Application, Arrive, Effect, Keep, Record, Service, Shut
from regiment.errors import Cancelled, EncodeError, PayloadTooLarge
from regiment.hooks import hookimpl
from regiment.outcome import RESPAWN, SUCCESS, Outcome
from regiment.task import Task
from regiment_results.errors import ResultTooLarge, ResultUnreadable
from regiment_results.keepers import keepers_of, weighed
from regiment_results.records import FINISHED, error_of, key_of, outcome_record
from regiment_workflows import keys
from regiment_workflows.keys import CHUNK, NAME
from regiment_workflows.plans import Plan, plan_of_id, read_plan
from regiment_workflows.reach import ask
from regiment_workflows.settings import Choices, problems_of
from regiment_workflows.values import Values

LOOK = 1.0
"""Seconds for which a worker remembers that a flow was not cancelled; one that has just started is not looked at."""
_REMEMBERED = 1000


class Working(Choices):
    """What a queue gets that names `Workflows(…)`. Each process builds its own."""

    needs = frozenset({"effects"})
    understands = frozenset({NAME})

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """All problems of the options, one sentence each."""
        return problems_of(options)

    def __init__(
        self, ttl: float = 604_800.0, keep: float = 86_400.0, limit: int = 1_048_576, tend: float = 600.0
    ) -> None:
        self.ttl, self.keep, self.limit, self.tend = ttl, keep, limit, tend
        self._configs: dict[str, Any] = {}
        self._brokers: dict[str, Broker] = {}
        self._looked: dict[tuple[str, str], float] = {}

    # Beside the keeper

    @hookimpl
    def regiment_services(self, spec: Mapping[str, Any], notes: Any) -> Mapping[str, Service]:
        """What looks after flows that stand still, and at deadlines."""
        return {NAME: Service("regiment_workflows.tending:Tending", {"every": self.tend})}

    # Where steps run

    @hookimpl
    def regiment_worker_started(self, worker: Any) -> None:
        """Learn how this worker's queue reads and writes."""
        config = worker.config
        if self._configs.get(config.name) is not config:
            self._configs[config.name] = config
            self._brokers.pop(config.name, None)
            self._looked.clear()
        self._broker(worker.config.name)

    def _broker(self, queue: str) -> Broker:
        from regiment import pushing  # what only workers need is loaded in workers only

        config = self._configs.get(queue) or next(iter(self._configs.values()))
        if pushing.override is not None:
            return pushing.override(config)
        found = self._brokers.get(config.name)
        if found is None:
            from regiment.build import make_broker

            found = self._brokers[config.name] = make_broker(config)
        return found

    @hookimpl
    def regiment_worker_stopping(self, worker: Any) -> None:
        """Close what was opened here."""
        for broker in self._brokers.values():
            broker.close()
        self._brokers.clear()

    @hookimpl
    def regiment_work(self, app: Application, name: str) -> tuple[Callable[[Task], Any], Any] | None:
        """What runs the chunks of a map."""
        from regiment_workflows.pieces import call_over

        kind, _, task = name.partition(":")
        function = getattr(app, "works", {}).get(task) if kind == "map" else None
        return None if function is None else (lambda one: call_over(function, one.kwargs), app.config_of(task))

    @hookimpl
    def regiment_prepare(self, task: Task) -> None:
        """Give a step the values of those before it; one of a flow that was cancelled does not run."""
        mark = task.tags.get(NAME) if task.tags else None
        if mark is None:
            return
        self._refuse_cancelled(task.queue, mark["f"])
        if refs := mark.get("n"):
            task.kwargs = {**self._values(task.queue).of(refs), **task.kwargs}

    def _refuse_cancelled(self, queue: str, flow: str) -> None:
        """Looked at once a second for each flow: members of a large group, and short flows, cost no request each."""
        now, where = time.monotonic(), (queue, flow)
        if self._looked.get(where, 0.0) > now:
            return
        if self._records(queue, [keys.cancelled_key(flow)])[0] is not None:
            raise Cancelled(reason=f"the flow {flow} was cancelled")
        if len(self._looked) >= _REMEMBERED:
            self._looked.clear()
        self._looked[where] = now + LOOK

    def _records(self, queue: str, names: Sequence[str], own: str | None = None) -> Sequence[Record | None]:
        return ask(self._broker(own or queue), lambda store: store.records(queue, names))

    def _values(self, queue: str) -> Values:
        broker = self._broker(queue)
        return Values(partial(self._records, own=queue), broker.codec, broker.config)

    # What they leave behind

    @hookimpl
    def regiment_effects(self, task: Task | None, task_id: str, outcome: Outcome, settles: str) -> Iterable[Effect]:
        """Keep how a step has ended, and let it arrive; or say that the flow has failed."""
        if task is None:
            return self._unreadable(task_id, outcome)
        mark = task.tags.get(NAME) if task.tags else None
        if mark is None or settles == "again":
            return ()
        if settles == "done" and outcome.kind in FINISHED:
            return self._succeeded(task, mark, outcome)
        if settles == "done" and outcome.kind == RESPAWN:  # the task has said that it is done
            return self._succeeded(task, mark, Outcome(SUCCESS))
        # A dead letter's task has its last run counted already.
        return self._failed(task.queue, task_id, mark, outcome, task.date, task.run_count)

    def _succeeded(self, task: Task, mark: dict[str, Any], outcome: Outcome) -> list[Effect]:
        key, queue, arrivals = key_of(task.id), task.queue, arrivals_of(task.id, mark)
        if not is_piece(outcome.value):
            make = partial(outcome_record, task.run_count + 1, outcome, time.time(), ran())
            value = self._packed((queue, key), make, outcome.value, mark)
            return [Keep(key, value, mark["t"], keys.step_rank(task.date, keys.YES)), *arrivals]
        ref, grown = self._grown(outcome.value, queue, task.id, mark, arrivals)
        record = outcome_record(task.run_count + 1, outcome, time.time(), ran(), ("piece", ref))
        value = self._broker(queue).codec.pack(record, (queue, key))
        return [Keep(key, value, mark["t"], keys.step_rank(task.date, keys.GROWN)), *grown]

    def _packed(
        self, where: tuple[str, str], make: Callable[..., list[Any]], returned: Any, mark: dict[str, Any]
    ) -> bytes:
        """The bytes of an outcome. A value that cannot be kept fails the step that made it, where a later one wants it (W13)."""
        lack: tuple[Any, ...]
        broker, wanted = self._broker(where[0]), bool(mark["w"])
        codec, config = broker.codec, broker.config
        try:
            value, lack = weighed(keepers_of(config), codec, make, where, returned, mark["t"], config)
        except (EncodeError, PayloadTooLarge) as error:
            if wanted:
                raise ResultUnreadable(f"what the step returned cannot be kept for the next one: {error}") from error
            lack = ("refused", str(error)[:500])
        else:
            if lack:
                return codec.pack(make(lack), where)
            if len(value) <= self.limit:
                return value
            lack = ("large", len(value), self.limit)
            if wanted:
                raise ResultTooLarge(
                    f"what the step returned has {len(value):,} bytes when packed; limit is {self.limit:,}. Keep it elsewhere "
                    f"and return where it is, or raise Workflows(limit=…)"
                )
        log.event(logging.WARNING, "flow.value_not_kept", why=str(lack), **log.attempt_fields())
        return codec.pack(make(lack), where)

    def _grown(
        self, piece: Any, queue: str, task_id: str, mark: dict[str, Any], arrivals: Sequence[Arrive]
    ) -> tuple[Any, list[Effect]]:
        """A step that returns a piece is continued by it: the piece's end arrives in its place (W8)."""
        from regiment_workflows.compiling import Compiled
        from regiment_workflows.graph import Flow
        from regiment_workflows.starting import plan_effects

        member = int(task_id.rpartition(".")[2]) if "c" in mark else None
        part = Flow(on_error=mark["p"], inside=keys.inside(mark["s"], member), above=(mark["s"], member))
        part.take(piece)
        part.settle()
        made = Compiled(part, mark["f"], [(one.queue, one.join, one.member) for one in arrivals], mark["h"], mark["e"])
        return made.value, [*plan_effects(made, [queue]), *made.effects]

    def _failed(
        self, queue: str, task_id: str, mark: dict[str, Any], outcome: Outcome, date: float, runs: int
    ) -> list[Effect]:
        """The end of a step that has failed for good, by its policy."""
        flow, home = mark["f"], mark["h"]
        where = queue, key_of(task_id)
        value = self._broker(queue).codec.pack(outcome_record(runs, outcome, time.time(), ran()), where)
        made: list[Effect] = [Keep(where[1], value, mark["t"], keys.step_rank(date, keys.NO))]
        if mark["s"] == "!":
            return made
        arrivals = arrivals_of(task_id, mark)
        if mark["p"] == "continue":
            return [*made, *arrivals]
        if mark["p"] == "skip":
            return [*made, *self._skipped(queue, mark, arrivals)]
        error = error_of(outcome) or ["", [], outcome.kind, "", []]
        told = {
            "state": "failed",
            "step": mark["s"],
            "id": task_id,
            "queue": queue,
            "kind": outcome.kind,
            "type": error[0],
            "message": error[2],
        }
        state = Keep(keys.flow_key(flow), json.dumps(told).encode(), mark["t"], keys.FAILED, True, home)
        return [*made, state, Arrive(home, keys.latch(flow, mark["e"]), 0)]

    def _skipped(self, queue: str, mark: dict[str, Any], arrivals: Sequence[Arrive]) -> list[Effect]:
        """Shut the joins of all that depends on it, and let what ends the flow arrive in their place."""
        flow, home = mark["f"], mark["h"]
        records = partial(self._records, own=queue)
        plan = read_plan(records, queue, flow, mark["s"], home)
        gone, member = plan.dependents(mark["s"]), "c" in mark
        made: list[Effect] = [Shut(node["j"][0], node["j"][1], mark["t"]) for node in gone]
        ends = [Arrive(*target) for node in gone for target in node["a"] if target[1] not in plan.joins]
        ends += [one for one in arrivals if member or one.join not in plan.joins]
        if plan.data["above"]:  # the piece that a step has returned cannot end, so what depends on that step is skipped
            name, index = plan.data["above"]
            above = read_plan(records, queue, flow, name, home)
            whose = mark_of(above, above.nodes[name], index)
            ended = arrivals_of(keys.task_id(flow, name, index), whose)
            return [*made, *(arrivals if member else ()), *self._skipped(queue, whose, ended)]
        note = json.dumps([node["n"] for node in gone]).encode()
        return [*made, *ends, Keep(keys.skipped_key(flow), note, mark["t"], 0, False, home)]

    def _unreadable(self, task_id: str, outcome: Outcome) -> Iterable[Effect]:
        """The end of a message that cannot be read: its id says whose it is (W3)."""
        queue = next(iter(self._configs), "")
        if not queue or "." not in task_id:
            return ()
        found = plan_of_id(partial(self._records, own=queue), queue, task_id)
        if found is None:
            return ()
        plan, node, member = found
        return self._failed(queue, task_id, mark_of(plan, node, member), outcome, plan.data["started"], 0)


def is_piece(value: object) -> bool:
    """Whether a step has returned a piece; who has one has loaded what it is made of."""
    pieces = sys.modules.get("regiment_workflows.pieces")
    return pieces is not None and isinstance(value, pieces.Piece)


def ran() -> float:
    """Seconds since the attempt that runs here has started."""
    started = getattr(attempt_now.get(None), "started", 0)
    return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - started) / 1e9 if started else 0.0


def mark_of(plan: Plan, node: Mapping[str, Any], member: int | None) -> dict[str, Any]:
    """What the message of a step carried, as far as its plan tells."""
    flow = plan.data["id"]
    mark = {
        "f": flow,
        "h": plan.data["home"],
        "s": node["n"],
        "p": node["p"],
        "a": node["a"],
        "w": False,
        "e": 1,
        "t": plan.data["ttl"],
    }
    if member is not None:
        chunk = member // CHUNK
        mark["c"] = [node["q"], keys.chunk_join(flow, node["n"], chunk), chunk * CHUNK]
    return mark


def arrivals_of(task_id: str, mark: Mapping[str, Any]) -> list[Arrive]:
    """Where a step arrives."""
    chunk = mark.get("c")
    if chunk is not None:
        queue, join, base = chunk
        return [Arrive(queue, join, int(task_id.rpartition(".")[2]) - base)]
    return [Arrive(*target) for target in mark["a"]]
