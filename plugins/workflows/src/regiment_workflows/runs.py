"""The handle of a flow that was started: its result, waited for or looked up, from any process; and what may be asked of it."""

from __future__ import annotations

import json
import time
from _thread import allocate_lock
from collections.abc import Callable, Mapping, Sequence
from threading import TIMEOUT_MAX
from typing import Any, Generic, NoReturn, TypeVar

from regiment import pushing
from regiment.broker import Broker
from regiment.context import attempt_now
from regiment.contracts import Record
from regiment_results.errors import CLASSES, TaskDead, WouldBlock
from regiment_results.finding import broker_of, call_on, refuse_timeout
from regiment_results.listening import Answer, Want, listen
from regiment_results.records import FINAL, key_of
from regiment_workflows import changing, keys, picture, tending
from regiment_workflows.errors import FlowCancelled, FlowFailed, FlowGone, FlowTimeout
from regiment_workflows.keys import CHUNK
from regiment_workflows.reach import Reached
from regiment_workflows.states import Progress, Step
from regiment_workflows.values import Values

R = TypeVar("R")
T = TypeVar("T")


class Run(Reached, Generic[R]):
    """A flow that was started. `existed` is True if it was there already and this start has added nothing."""

    def __init__(self, broker: Broker, home: str, id: str, *, existed: bool = False, after: int = 0) -> None:
        super().__init__(broker, home, id)
        self.existed, self._after = existed, after
        """`after`: the version of a failure that is passed over, for the flow was retried since."""

    def __repr__(self) -> str:
        return f"<Run {self.id} at queue {self.home}>"

    # Waiting

    def result(self, timeout: float | None = None) -> R:
        """The value of the flow, waited for up to `timeout` seconds (None: without end): that of its last step; of a graph
        with several, a dictionary by name. Raises `FlowFailed`, `FlowCancelled`, `FlowTimeout` or `FlowGone`.
        """
        return self._value(self._early(timeout) or self._wait(timeout))

    async def aresult(self, timeout: float | None = None) -> R:
        """`result` without blocking the event loop."""
        import asyncio

        found = await asyncio.to_thread(self._early, timeout)
        record = found or await self._await(timeout)
        return await asyncio.to_thread(self._value, record)

    # Looking

    def state(self) -> str:
        """running, filling (a large group is still being sent), success, partly (steps were skipped), failed, cancelled; unknown
        if nothing is known of it.
        """
        names = [keys.flow_key(self.id), keys.skipped_key(self.id)]
        record, skipped = self.records(self.home, names)
        if record is None:
            return "unknown"
        if record.rank == keys.SUCCESS:
            return "partly" if skipped is not None else "success"
        if record.rank == keys.RUNNING or (record.rank == keys.FAILED and record.version <= self._after):
            return "filling" if self._filling() else "running"
        return keys.STATES.get(record.rank, "unknown")

    def _filling(self) -> bool:
        plan = self.plan()
        streamed = [node for node in plan.nodes.values() if node["k"] == "group" and node["m"] is None]
        return any(self.records(node["q"], [keys.count_key(self.id, node["n"])])[0] is None for node in streamed)

    def progress(self) -> Progress:
        """How far it is, in steps and in members of groups."""
        steps = self.steps()
        done = sum(one.state in ("success", "skipped") for one in steps)
        failed = sum(one.failed or one.state == "failed" for one in steps)
        groups = [one for one in steps if one.kind == "group"]
        return Progress(
            done, len(steps), sum(one.arrived for one in groups), sum(one.members or 0 for one in groups), failed
        )

    def steps(self) -> list[Step]:
        """How each step stands."""
        return [self._step(node) for plan in self.plans() for node in plan.nodes.values()]

    def _step(self, node: Mapping[str, Any]) -> Step:
        name, queue = node["n"], node["q"]
        begun = True
        if node["j"]:
            waits = self.tallies(node["j"][0], [node["j"][1]])[0]
            begun = waits is not None and waits.complete
            if waits is not None and waits.shut:
                return Step(name, node["k"], node.get("t", ""), queue, "skipped", node["d"])
        how = (name, node["k"], node.get("t", ""), queue)
        if node["k"] == "group":
            arrived, members, failed, complete = self.members(node)
            state = "success" if complete else "failed" if failed else "running" if begun else "waiting"
            return Step(*how, state, node["d"], arrived, members, failed)
        ended = self.ended(queue, keys.task_id(self.id, name))
        if ended is None:
            return Step(*how, "running" if begun else "waiting", node["d"])
        return Step(*how, "success" if ended.success else "failed", node["d"], seconds=ended.seconds)

    def members(self, node: Mapping[str, Any]) -> tuple[int, int | None, int, bool]:
        """Of a group: how many have arrived, how many there are, how many have failed, whether it is complete."""
        arrived, members, missing = 0, 0, list[str]()
        whole = self.tallies(node["q"], [keys.join(self.id, node["n"])])[0]
        for at, tally in self.chunks(node):
            arrived += tally.arrived
            members += tally.members or 0
            missing += [keys.task_id(self.id, node["n"], at * CHUNK + one) for one in tally.missing]
        found = self.records(node["q"], [key_of(id) for id in missing])
        failed = sum(one is not None and one.rank >= FINAL and keys.how_of(one.rank) == keys.NO for one in found)
        return arrived, members, failed, whole is not None and whole.complete

    def mermaid(self) -> str:
        """Its picture as Mermaid, coloured by how the steps stand."""
        return picture.mermaid(self.steps())

    def svg(self) -> str:
        """Its picture as SVG."""
        return picture.svg(self.steps())

    # Changing

    def cancel(self) -> bool:
        """End it: nothing of it starts any more (but for a second, where a worker has just looked), what waits in queues ends as
        cancelled when its turn comes, and what runs is struck, if the store has the extra `steer`; else it goes on. False if it had
        ended already. Safe to repeat.
        """
        return changing.cancel(self)

    def retry(self, step: str | None = None) -> Run[R]:
        """Run the steps and members again that have failed for good (or those of one step). The answer passes over the failures
        that it has seen. Safe to repeat. `FlowError` if there is nothing that can run again.
        """
        version = changing.retry(self, step)
        return Run(self._broker, self.home, self.id, existed=True, after=version)

    def open(self, gate: str, value: Any = None) -> bool:
        """Open a gate, whose value this is from now on; False if it was open."""
        return changing.open_gate(self, gate, value)

    def tend(self) -> int:
        """Look for what a fail-over of the store has lost, and do it again; how much that was."""
        return tending.tend(self)

    # How it is done

    def _ended(self, record: Record | None) -> bool:
        return (
            record is not None
            and record.rank > keys.RUNNING
            and not (record.rank == keys.FAILED and record.version <= self._after)
        )

    def _early(self, timeout: float | None) -> Record | None:
        """The record, if there is no need to wait; raises where a wait cannot end well."""
        refuse_timeout(timeout)
        record = self.look()
        if record is None:
            raise FlowGone(
                f"nothing is known of flow {self.id} at queue {self.home}: it was not started, or its time is over"
            )
        if self._ended(record):
            return record
        if pushing.override is not None:
            raise WouldBlock(f"flow {self.id} has not ended: in capture() nothing runs by itself. Call drain() first")
        if timeout is None and attempt_now.get(None) is not None:
            raise WouldBlock(
                "a task waits for a flow without a timeout; give one, or return the piece and be continued by it"
            )
        return None

    def _want(self, told: Callable[[Answer], None]) -> Want:
        return Want((self.home, keys.flow_key(self.id)), keys.FAILED, told, True)

    def _wait(self, timeout: float | None) -> Record:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            record = self._hear(left, timeout)
            if self._ended(record):
                return record
            # A failure that a retry has passed over: what comes next replaces it, and is looked for twice a second.
            time.sleep(min(0.5, left if left is not None else 0.5))
            if left == 0.0:
                raise self._late(timeout)

    def _hear(self, left: float | None, timeout: float | None) -> Record:
        done, told = allocate_lock(), list[Answer]()
        done.acquire()

        def tell(answer: Answer) -> None:
            told.append(answer)
            done.release()

        want = self._want(tell)
        listener = listen(self._broker, [want])
        try:
            done.acquire(timeout=-1 if left is None else min(left, TIMEOUT_MAX))
        finally:
            listener.leave(want)
        if not told:
            raise self._late(timeout)
        if isinstance(told[0], BaseException):
            raise told[0]
        return told[0]

    async def _await(self, timeout: float | None) -> Record:
        import asyncio

        deadline = None if timeout is None else time.monotonic() + timeout
        loop = asyncio.get_running_loop()
        while True:
            done: asyncio.Future[Answer] = loop.create_future()

            def settle(answer: Answer, done: asyncio.Future[Answer] = done) -> None:
                if not done.done():
                    done.set_result(answer)

            want = self._want(lambda answer, settle=settle: call_on(loop, settle, answer))  # type: ignore[misc]
            listener = listen(self._broker, [want])
            try:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                found = await asyncio.wait_for(done, left)
            except TimeoutError:
                raise self._late(timeout) from None
            finally:
                listener.leave(want)
            if isinstance(found, BaseException):
                raise found
            if self._ended(found):
                return found
            await asyncio.sleep(0.5)

    def _late(self, timeout: float | None) -> FlowTimeout:
        return FlowTimeout(f"flow {self.id} has not ended within {timeout:g} s; it goes on")

    def _value(self, record: Record) -> R:
        if record.rank == keys.CANCELLED:
            raise FlowCancelled(f"flow {self.id} was cancelled")
        if record.rank == keys.FAILED:
            self._failed(json.loads(record.value))
        plan = self.plan()
        skipped = self.records(self.home, [keys.skipped_key(self.id)])[0] is not None
        values, wire = Values(self.records, self._broker.codec, self._broker.config), plan.data["value"]
        if isinstance(wire, dict):
            found: Any = {name: self._one(values, ref, skipped) for name, ref in wire.items()}
            return next(iter(found.values())) if len(found) == 1 else found  # type: ignore[no-any-return]
        return self._one(values, wire, skipped)  # type: ignore[no-any-return]

    def _one(self, values: Values, ref: Sequence[Any], skipped: bool) -> Any:
        """A value; None for that of a step that was skipped."""
        if skipped and ref[0] == "s" and self.records(ref[1], [key_of(ref[2])])[0] is None:
            return None
        return values.one(ref)

    def _failed(self, told: Mapping[str, Any]) -> NoReturn:
        names = ("step", "id", "queue", "kind", "type", "message")
        error = FlowFailed(self.id, *(told.get(name, "") for name in names))
        ended = self.ended(error.queue, error.id) if error.queue else None
        if ended is not None and ended.error is not None:
            kind, type_, bases, runs = ended.kind, ended.error.type, ended.error.bases, ended.runs
            made = CLASSES.get(kind, TaskDead)
            raise error from made(
                kind, type_, ended.error.message, ended.error.traceback, error.id, error.queue, runs, bases
            )
        raise error


def run_of(place: Any, id: str) -> Run[Any]:
    """The run of a flow that has its home at this queue, started by whomever."""
    broker = place if isinstance(place, Broker) else broker_of(place, "a flow")
    return Run(broker, broker.config.name, id, existed=True)
