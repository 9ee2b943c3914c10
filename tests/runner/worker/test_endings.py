"""Whatever a task raises, returns or does to what it was given: one outcome, with its own reason, and the worker goes on."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import os
import tempfile
import tracemalloc
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment import Backoff, Fail, Queue, Requeue, Respawn, Retry, Stop, Use, Worker, WorkerConfig, current
from regiment.build import make_connector
from regiment.contracts import Again, Back, Dead, Done, Park, Settlement
from regiment.errors import ConfigError
from regiment.log import attempt_fields
from regiment.task import new_id
from regiment_cli.targets import application
from regiment_executors.loop import Asyncio
from regiment_killers.process import Process
from regiment_runner.parts import check, terms_of
from regiment_runner.shared import page
from regiment_runner.shared.page import Page
from regiment_runner.worker.lease import Lease
from regiment_runner.worker.runtime import Runtime
from regiment_runner.worker.source import Source
from regiment_runner.worker.trial import Trial
from regiment_runner.worker.verdict import REASON_LIMIT, safe_repr, trace

todo: dict[str, Any] = {}
"""What the task and its hooks do, set by each test."""
seen: list[dict[str, Any]] = []
"""The arguments that each run was given."""


def act(items: list[int], filler: str = "") -> Any:
    seen.append({"items": list(items)})
    for change in todo["changes"]:
        with contextlib.suppress(AttributeError):  # what one change has removed the next cannot change
            change(items)
    return todo["ends"]()


def hook(task: Any, *args: Any) -> None:
    todo["told"].append((task.run_count, attempt_fields()["attempt"], *args))
    if todo["hook"] is not None:
        raise todo["hook"]()


class Bench:
    """One worker's source in this process, on a store in memory; keeps every settlement."""

    def __init__(self, hooks: tuple[str, ...] = (), slots: int = 1, **options: Any) -> None:
        seen.clear()
        todo.update(changes=[], ends=lambda: None, hook=None, told=[])
        options.setdefault("backoff", Backoff(first=0, jitter=False))
        self.queue = Queue("q", connector=Use("memory", name=new_id()), **options)
        self.task = self.queue.task(act)
        for name in hooks:
            self.queue.on(name)(hook)
        self.connector = make_connector(self.queue.config)()
        self.connector.open("lease")
        with tempfile.TemporaryDirectory() as folder:
            self.sheet = Page(Path(folder) / "w1.page", create=True)
        runtime = Runtime(application(self.queue), self.queue.broker.codec, self.sheet, Process())
        self.wake = os.eventfd(0, os.EFD_NONBLOCK)
        lease = Lease(self.connector, "q", terms_of(self.queue.config))
        self.source = Source(runtime, lease, slots, self.wake)
        self.settled: list[Settlement] = []
        finish, done = self.source.finish, self.source.done

        def finished(attempt: Trial, settlement: Settlement) -> None:
            self.settled.append(settlement)
            finish(attempt, settlement)

        def well(attempt: Trial) -> None:
            self.settled.append(Done(attempt.number, attempt.number))
            done(attempt)

        self.source.finish, self.source.done = finished, well  # type: ignore[method-assign]

    def run(self, awaiting: bool = False) -> Settlement:
        """Run one delivery; its one settlement."""
        before = len(self.settled)
        attempt = self.source.take(block=False)
        assert attempt is not None
        context = contextvars.copy_context()
        if awaiting:
            context.run(lambda: asyncio.run(attempt.arun()))
        else:
            context.run(attempt.run)
        (settlement,) = self.settled[before:]
        self.source.take(block=False) if self.source.ended else self.source._drain()
        return settlement

    def close(self) -> None:
        self.connector.close()
        self.queue.broker.close()
        os.close(self.wake)


@contextlib.contextmanager
def bench(*hooks: str, slots: int = 1, **options: Any) -> Iterator[Bench]:
    made = Bench(hooks, slots, **options)
    try:
        yield made
    finally:
        made.close()


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Numbered(OSError):
    @property
    def errno(self) -> int:  # type: ignore[override]
        raise RuntimeError("no number")


class Refusing(type):
    """The class of a class that answers no question, but that of `raise` (`__subclasscheck__`), which would raise itself."""

    def _refuse(cls, *_: Any) -> Any:
        raise RuntimeError("do not ask")

    __instancecheck__ = __getattribute__ = _refuse
    __hash__ = __eq__ = __repr__ = _refuse  # type: ignore[assignment]


class Refused(Exception, metaclass=Refusing):
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("do not ask")


class RefusedGroup(BaseExceptionGroup, metaclass=Refusing):  # type: ignore[type-arg]
    @property
    def exceptions(self) -> Any:  # type: ignore[override]
        raise RuntimeError("do not ask")


def raising(make: Any) -> Any:
    def end() -> None:
        raise make()

    return end


def promised() -> Iterator[int]:
    yield 1


RAISED = [
    lambda: ValueError("the true reason"),
    lambda: ConnectionError("the true reason"),
    Mute,
    Numbered,
    lambda: Refused(),
    lambda: RefusedGroup("two", [Refused(), Fail()]),
    lambda: BaseExceptionGroup("one", [Refused()]),
    lambda: SystemExit(3),
    KeyboardInterrupt,
    GeneratorExit,
    lambda: BaseExceptionGroup("two", [ValueError(1), Fail()]),
    lambda: Retry(at=datetime(2030, 1, 1)),
    lambda: Retry(delay="soon"),  # type: ignore[arg-type]
    lambda: Retry(delay=float("inf")),
    lambda: Retry(delay=10**400),
    lambda: Retry(at=1e300),
    lambda: Retry(priority="URGENT"),
    lambda: Retry(kwargs={"items": [object()]}),
    lambda: Retry(kwargs={"items": "x" * 20_000}),
    lambda: Requeue(kwargs={"\ud800": 1}),
    lambda: Requeue(at=datetime(2030, 1, 1)),
    Retry,
    Requeue,
    Fail,
    Stop,
    Respawn,
    lambda: Stop(done=True),
]
RETURNED = [None, 0, "text", object(), range(3), [map(str, [1])]]
PROMISED = [promised, lambda: map(str, [1]), lambda: asyncio.sleep(0)]
CHANGES = [
    lambda items: items.clear(),
    lambda items: items.append(object()),
    lambda items: items.append("x" * 20_000),
    lambda items: items.append(items),
    lambda items: current().task.kwargs.update(connection=object()),
    lambda items: setattr(current().task, "id", None),
    lambda items: setattr(current().task, "name", 7),
    lambda items: setattr(current().task, "run_count", "many"),
    lambda items: setattr(current().task, "queue", object()),
    lambda items: setattr(current().task, "headers", {1: 2}),
    lambda items: current().task.__dict__.clear(),
]
HOOKS = ("pre_work", "post_work", "success", "failure", "timeout", "retry", "requeue", "stop", "max_retries", "dead")


def ends() -> st.SearchStrategy[tuple[str, Any]]:
    """Ways to end, and whether each is a raise, a return, or only a promise."""
    return st.one_of(
        st.sampled_from(RAISED).map(lambda make: ("raised", raising(make))),
        st.sampled_from(RETURNED).map(lambda value: ("returned", lambda: value)),
        st.sampled_from(PROMISED).map(lambda make: ("promised", make)),
    )


@settings(max_examples=200, deadline=None)
@given(
    end=ends(),
    changes=st.lists(st.sampled_from(CHANGES), max_size=3),
    hook=st.sampled_from([None, None, *RAISED]),
    hooks=st.lists(st.sampled_from(HOOKS), max_size=3, unique=True).map(tuple),
    retries=st.sampled_from([0, 1, None]),
    awaiting=st.booleans(),
)
def test_whatever_a_task_does_it_has_one_outcome_and_the_worker_goes_on(
    end: tuple[str, Any],
    changes: list[Any],
    hook: Any,
    hooks: tuple[str, ...],
    retries: int | None,
    awaiting: bool,
) -> None:
    with bench(*hooks, max_retries=retries, payload_limit=10_000) as one:
        pushed = one.task.push(items=[1, 2])
        todo.update(changes=changes, ends=end[1], hook=hook)
        settlement = one.run(awaiting)
        kind, _ = end
        if kind == "returned" and not (hook and "pre_work" in hooks):
            assert isinstance(settlement, Done)
        if kind == "promised" and not awaiting:
            assert not isinstance(settlement, Done) or (hook and hooks)
        if isinstance(settlement, Dead):
            reason = json.loads(settlement.reason)
            assert (settlement.task_id, settlement.payload) == (pushed.id, None)
            assert (reason["name"], reason["queue"]) == ("act", "q")
            assert reason["error"] and reason["kind"] != "poison"
        if isinstance(settlement, Again):
            again = one.queue.broker.codec.decode(settlement.payload, "q")
            assert (again.id, again.name, again.kwargs) == (pushed.id, "act", {"items": [1, 2]})
            assert again.run_count in (0, 1) and 0 <= settlement.delay < 2000
        assert isinstance(settlement, (Done, Again, Dead, Back))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Retry(at=datetime(2030, 1, 1)), "without a time zone"),
        (lambda: Requeue(delay="soon"), "expected seconds or a timedelta"),  # type: ignore[arg-type]
        (lambda: Retry(delay=float("inf")), "at most 100 years"),
        (lambda: Retry(priority="URGENT"), "priority is 'URGENT'"),
        (lambda: Retry(kwargs={"items": [object()]}), 'kwargs["items"][0]: a value of type object'),
        (lambda: Requeue(kwargs={"items": "x" * 20_000}), "payload_limit is 10,000"),
        (lambda: Retry(kwargs=[1]), "expected a dict of arguments by name"),  # type: ignore[arg-type]
    ],
)
def test_a_control_that_cannot_be_obeyed_is_a_failure_that_says_why(make: Any, words: str) -> None:
    with bench(payload_limit=10_000, max_retries=1, retry_on=()) as one:
        one.task.push(items=[1])
        todo.update(ends=raising(make))
        letter = one.run()
        assert isinstance(letter, Dead) and letter.payload is None
        reason = json.loads(letter.reason)
        assert reason["kind"] == "failure" and words in reason["error"]


@pytest.mark.parametrize("how", ["retry_on", "dead_on", ""])
@pytest.mark.parametrize("awaiting", [False, True])
def test_an_exception_whose_class_refuses_every_question_is_a_failure_of_its_class(how: str, awaiting: bool) -> None:
    asked: dict[str, Any] = {how: (KeyError, Refused)} if how else {"retry_on": ()}
    with bench("failure", "post_work", max_retries=1, **asked) as one:
        one.task.push(items=[1])
        todo.update(ends=raising(Refused))
        ended = one.run(awaiting)
        if how == "retry_on":
            assert isinstance(ended, Again)
            return
        assert isinstance(ended, Dead)
        reason = json.loads(ended.reason)
        assert reason["error_type"] == "Refused" and reason["name"] == "act"
        assert reason["kind"] == ("fail" if how == "dead_on" else "failure")


def test_on_dead_is_told_the_attempt_that_ended_and_the_reason_says_how_many_ran() -> None:
    with bench("failure", "dead", max_retries=1) as one:
        one.task.push(items=[1])
        todo.update(ends=raising(lambda: ValueError("no")))
        assert isinstance(one.run(), Again) and isinstance(one.run(), Dead)
        (first, number, _), (again, second, _), (last, third, reason) = todo["told"]
        assert (first, again, last) == (0, 1, 1), "run_count: the runs that failed before this one"
        assert (number, second, third) == (1, 2, 2) and reason["runs"] == 2


def test_a_failure_keeps_its_own_reason_whatever_was_done_to_the_task() -> None:
    with bench() as one:
        for change in CHANGES:
            one.task.push(items=[1])
            todo.update(changes=[change], ends=raising(lambda: ValueError("the true reason")))
            letter = one.run()
            assert isinstance(letter, Dead)
            assert json.loads(letter.reason)["error"] == "the true reason"


def test_a_retry_gets_what_was_pushed_and_other_arguments_only_where_it_asks_for_them() -> None:
    with bench(max_retries=5) as one:
        one.task.push(items=[1, 2])
        for end in (ValueError, Retry, Requeue, lambda: Retry(kwargs={"items": [9]}), ValueError):
            todo.update(changes=[lambda items: items.pop()], ends=raising(end))
            assert isinstance(one.run(), Again)
        assert [run["items"] for run in seen] == [[1, 2], [1, 2], [1, 2], [1, 2], [9]]


def test_what_was_read_and_cannot_be_written_again_is_dead_with_its_bytes_and_its_reason() -> None:
    """Whatever the cause: here a message that a count of its runs makes too large."""
    with bench(max_retries=5, payload_limit=400) as one:
        for length in range(400, 0, -1):
            with contextlib.suppress(Exception):
                one.task.push(items=[1], filler="x" * length)
                break
        todo.update(ends=raising(lambda: ValueError("the true reason")))
        letter = one.run()
        assert isinstance(letter, Dead) and letter.payload is None
        reason = json.loads(letter.reason)
        assert reason["kind"] == "failure"
        assert reason["error"].startswith("the true reason; it cannot run again, for its message")


@pytest.mark.parametrize("made", PROMISED)
def test_work_that_is_only_promised_is_a_failure_that_says_so(made: Any) -> None:
    with bench() as one:
        one.task.push(items=[])
        todo.update(ends=made)
        letter = one.run()
        assert isinstance(letter, Dead)
        error = json.loads(letter.reason)["error"]
        assert (error.startswith("the task returned a ") and "nobody" in error) or "nothing" in error


def test_generator_functions_are_refused_as_tasks_and_as_hooks() -> None:
    queue = Queue("q")

    async def lazily() -> Any:
        yield 1

    for function in (promised, lazily):
        function.__qualname__ = function.__name__
        with pytest.raises(ConfigError, match="a call would run nothing of it"):
            queue.task(function)
        with pytest.raises(ConfigError, match="a call would run nothing of it"):
            queue.on("success")(function)


@pytest.mark.parametrize("control", [Stop, Respawn])
@pytest.mark.parametrize("name", [name for name in HOOKS if name != "pre_work"])
def test_stop_and_respawn_are_obeyed_in_each_hook_and_the_settlement_stands(name: str, control: Any) -> None:
    ends_of = {
        "success": None,
        "post_work": None,
        "failure": ValueError,
        "retry": Retry,
        "requeue": Requeue,
        "stop": lambda: Stop(done=True),
        "max_retries": ValueError,
        "dead": Fail,
    }
    if name not in ends_of:
        return  # a timeout needs a strike: tests/faults/test_endings.py
    end = ends_of[name]
    expected = {
        "retry": Again,
        "requeue": Again,
        "failure": Again,
        "max_retries": Dead,
        "dead": Dead,
    }
    with bench(name, max_retries=1) as one:
        one.task.push(items=[])
        todo.update(ends=raising(end) if end else lambda: None)
        if name == "max_retries":
            one.run()
        todo.update(hook=control)
        assert isinstance(one.run(), expected.get(name, Done))
        assert one.source.respawn == (control is Respawn)
        assert one.source.stop_all == (control is Stop or name == "stop")


def test_a_large_payload_is_decoded_under_a_hard_limit_and_a_small_one_costs_nothing() -> None:
    with bench(max_retries=0) as one:
        limits: list[tuple[int, int]] = []
        decode = one.source.runtime.decode
        at = page.slot_index(0)

        def spied(*args: Any) -> Any:
            limits.append((one.sheet.words[at + page.HARD], one.sheet.words[at] & 7))
            return decode(*args)

        one.source.runtime.decode = spied  # type: ignore[method-assign]
        todo.update(ends=lambda: limits.append((one.sheet.words[at + page.HARD], -1)))
        one.task.push(items=[], filler="x" * 5000)
        one.task.push(items=[])
        one.run()
        one.run()
        (large, phase), (running, _), (small, _), _ = limits
        assert large > page.now() and phase == page.STARTED
        assert running == small == 0


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
def test_what_a_stop_cancels_goes_back_unless_it_may_run_only_once(delivery: str) -> None:
    async def cancelled() -> None:
        one.sheet.words[page.ORDERS] = page.STOP
        raise asyncio.CancelledError

    with bench(delivery=delivery, executor="asyncio") as one:
        one.task.push(items=[])
        todo.update(ends=cancelled)
        settlement = one.run(awaiting=True)
        assert type(settlement) is (Back if delivery == "at_least_once" else Dead)
        if isinstance(settlement, Dead):
            assert json.loads(settlement.reason)["kind"] == "poison"


def test_what_runs_when_an_error_of_our_own_ends_the_loop_is_interrupted_and_not_dead() -> None:
    async def sleeps() -> None:
        await asyncio.sleep(60)

    async def fails() -> None:
        await asyncio.sleep(0.05)
        raise ValueError("the true reason")

    left = [sleeps, sleeps, fails]
    with bench(slots=3, executor=Use("asyncio", concurrency=3)) as one:
        one.task.push_many({"items": []} for _ in left)
        todo.update(ends=lambda: left.pop(0)())
        finish = one.source.finish

        def broken(attempt: Trial, settlement: Settlement) -> None:
            if isinstance(settlement, Dead):
                raise RuntimeError("an error of our own")
            finish(attempt, settlement)

        one.source.finish = broken  # type: ignore[method-assign]
        executor = Asyncio(3)
        with pytest.raises(RuntimeError, match="of our own"):
            executor.run(one.source)
        executor.close()
        assert [type(settlement) for settlement in one.settled] == [Back, Back]
        one.sheet.words[page.ORDERS] = page.STOP
        one.source.poke()


def test_check_names_generator_functions_of_a_worker_class() -> None:
    class Lazy(Worker):
        config = WorkerConfig("lazy", connector="memory:")

        def work(self, task: Any) -> Any:
            yield 1

        def on_success(self, task: Any, returned_value: Any) -> Any:
            yield 2

    ((problem, _),) = check(application(Lazy), "app:Lazy")
    assert problem.startswith("on_success, work: a generator (it has a yield)")


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_the_text_of_an_exception_is_cut_while_it_is_built(size: int) -> None:
    def fails(value: Any) -> BaseException:
        try:
            raise ValueError(value) from KeyError("the cause")
        except ValueError as error:
            error.add_note("z" * 20_000)
            return error

    for value in ("x" * size, [7] * size, {"k": b"y" * size}):
        error = fails(value)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        text = safe_repr(error)
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        if not isinstance(value, dict):
            assert peak < 1_000_000, type(value)
        assert 0 < len(text) <= REASON_LIMIT + 1
        if isinstance(value, str):
            told = trace(error)
            assert len(told) <= REASON_LIMIT + 1
            assert "in fails" in told or size > 10


@pytest.mark.parametrize("name", ["\ud800", "é" * 40, ""])
def test_any_name_can_stand_on_a_page(name: str) -> None:
    with bench() as one:
        one.sheet.name(0, name)


assert Park  # a settlement that only admission gives: tests/runner/worker/test_admission.py
