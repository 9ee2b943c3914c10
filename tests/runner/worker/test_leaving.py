"""What a task leaves behind, in one worker's source without processes: when it is recorded, when it is sent, and with what."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from regiment import Backoff, Queue, Retry, Stop, Use, current
from regiment.build import make_connector
from regiment.contracts import Again, Dead, Done, Effect, Keep, Settlement, Taken
from regiment.errors import ArgumentsError, ConfigError, StoreUnavailable, TaskTimeout
from regiment.outcome import Outcome
from regiment.task import Task, new_id
from regiment_cli.targets import application
from regiment_killers.process import Process
from regiment_runner.parts import terms_of
from regiment_runner.shared import page
from regiment_runner.shared.annex import left_of, records
from regiment_runner.shared.page import Page
from regiment_runner.worker import keeping
from regiment_runner.worker.commit import MOST_BYTES, MOST_EFFECTS
from regiment_runner.worker.lease import Lease
from regiment_runner.worker.notices import Notices
from regiment_runner.worker.runtime import Runtime
from regiment_runner.worker.source import Source
from regiment_runner.worker.taking import Desk

ran: list[int] = []
act: list[Callable[[int], Any]] = []
"""What a task does beside noting that it ran."""


def work(n: int) -> Any:
    ran.append(n)
    return act[0](n) if act else None


Asked = Callable[[Task | None, str, Outcome, str], Iterable[Effect]]


def kept(task: Task | None, task_id: str, outcome: Outcome, settles: str) -> Iterable[Effect]:
    """A plugin that keeps how each task has ended."""
    return [Keep(task_id, f"{outcome.kind} {settles} {outcome.value}".encode(), 60.0)]


class Said:
    """One exchange: what was settled, and with which effects."""

    def __init__(self, settlements: Sequence[Settlement], effects: Mapping[int, Sequence[Effect]]) -> None:
        self.settlements, self.effects = list(settlements), {n: list(some) for n, some in effects.items()}


class Bench:
    """One worker's source in this process on the memory store, which keeps effects."""

    def __init__(self, folder: Path, asked: Asked | None, slots: int, short: bool, settings: dict[str, Any]) -> None:
        self.queue = Queue("q", connector=Use("memory", name=new_id()), **settings)
        self.task, self.short = self.queue.task(work), short
        self.sheet = Page(folder / "w1.page", create=True)
        self.words = self.sheet.words
        self.connector = make_connector(self.queue.config)()
        self.connector.open("lease")
        plugins = {"effects": [("keeping", asked)]} if asked else {}
        runtime = Runtime(application(self.queue), self.queue.broker.codec, self.sheet, Process(), **plugins)
        self.lease = Lease(self.connector, "q", terms_of(self.queue.config))
        self.wake = os.eventfd(0, os.EFD_NONBLOCK)
        self.said: list[Said] = []
        self.before: Callable[[], object] = lambda: None
        exchange = self.lease.exchange

        def told(settlements: Sequence[Settlement], limit: int, nothing: bool, **extra: Any) -> Taken:
            self.before()
            answer = exchange(settlements, limit, nothing, **extra)
            if settlements:
                self.said.append(Said(settlements, extra.get("effects", {})))
            return answer

        self.lease.exchange = told  # type: ignore[method-assign]
        self.source = Source(runtime, self.lease, slots, self.wake)
        runtime.desk = Desk(self.queue.broker, self.sheet, terms_of(self.queue.config), lambda: None)
        runtime.broker = self.queue.broker

    def run(self, most: int = 1000) -> None:
        """Run what there is."""
        for _ in range(most):
            attempt = self.source.take(block=False)
            if attempt is None:
                return
            contextvars.copy_context().run(attempt.run_on if self.short else attempt.run)

    def records(self) -> dict[int, tuple[Effect, ...]]:
        """What the keeper would read now."""
        return left_of(records(self.sheet, 1)[0])

    def push(self, *numbers: int) -> None:
        self.task.push_many({"n": n} for n in numbers)

    def close(self) -> None:
        self.connector.close()
        self.queue.broker.close()
        os.close(self.wake)


Make = Callable[..., Bench]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left behind waits for its batch however slow this machine is."""
    monkeypatch.setattr(keeping, "EFFECTS_NS", 60_000_000_000)


@pytest.fixture(params=["run_on", "run"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[Bench] = []
    ran.clear()
    act.clear()

    def make(asked: Asked | None = None, slots: int = 1, **settings: Any) -> Bench:
        made.append(Bench(tmp_path, asked, slots, request.param == "run_on", settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.usefixtures("patient")
def test_successes_with_effects_stay_in_their_batch(bench: Make) -> None:
    one = bench(kept, tasks_per_transaction=100)
    one.push(*range(250))
    one.run()
    assert len(ran) == 250
    assert [sum(s.last - s.first + 1 for s in said.settlements) for said in one.said] == [100, 100, 50]
    assert [len(said.effects) for said in one.said] == [100, 100, 50]
    assert not one.records(), "what was answered is on the page no more"


@pytest.mark.usefixtures("patient")
def test_the_record_is_there_before_the_mark_and_until_the_answer(bench: Make) -> None:
    one = bench(kept, tasks_per_transaction=10)
    one.push(*range(10))
    seen: list[tuple[int, int, set[int]]] = []
    act.append(lambda n: seen.append((*one.sheet.slot_word(0), set(one.records()))))
    at_exchange: list[set[int]] = []
    one.before = lambda: at_exchange.append(set(one.records()))
    one.run()
    assert seen == [(n, page.STARTED, set(range(1, n))) for n in range(1, 11)]
    assert at_exchange[1] == set(range(1, 11)), "while it is asked, and until it has answered"


@pytest.mark.usefixtures("patient")
def test_an_exchange_that_is_repeated_says_the_same_effects_and_keeps_their_records(bench: Make) -> None:
    one = bench(kept, tasks_per_transaction=5)
    one.push(*range(5))
    tries: list[set[int]] = []

    def away() -> None:
        if len(ran) == 5:
            tries.append(set(one.records()))
            if len(tries) < 3:
                raise StoreUnavailable("away")

    one.before = away
    one.run()
    assert tries[:3] == [set(range(1, 6))] * 3
    assert [len(said.effects) for said in one.said] == [5]


@pytest.mark.usefixtures("patient")
def test_a_task_that_leaves_nothing_has_a_record_all_the_same_and_no_effects(bench: Make) -> None:
    one = bench(lambda *_: (), tasks_per_transaction=3)
    one.push(1, 2, 3)
    found: list[dict[int, Any]] = []
    one.before = lambda: found.append(one.records())
    one.run()
    assert found[1] == {1: (), 2: (), 3: ()}
    assert one.said[0].effects == {}


@pytest.mark.usefixtures("patient")
def test_without_anything_left_behind_the_page_keeps_its_size_and_no_connector_sees_an_argument(bench: Make) -> None:
    one = bench(tasks_per_transaction=3)
    one.push(1, 2, 3)
    one.run()
    assert one.sheet.path.stat().st_size == page.SIZE and not one.words[page.EFFECTS]
    assert [said.effects for said in one.said] == [{}]


def test_what_does_not_fit_goes_at_once_with_its_slot_ended_until_it_is_answered(bench: Make) -> None:
    value = b"v" * 300_000
    one = bench(lambda task, task_id, *_: [Keep(task_id, value, 60.0)], tasks_per_transaction=6)
    one.push(*range(6))
    phases: list[int] = []
    one.before = lambda: phases.append(one.sheet.slot_word(0)[1])
    one.run()
    assert sorted(n for said in one.said for n in said.effects) == list(range(1, 7)), "none is lost"
    assert page.ENDED in phases
    assert one.sheet.slot_word(0)[1] == page.DONE
    assert all(sum(len(e[0].value) for e in said.effects.values()) <= 600_000 for said in one.said), "memory is flat"


def test_an_effect_waits_10_ms_for_the_rest_of_its_batch_and_then_goes_before_the_next_start(bench: Make) -> None:
    one = bench(kept, tasks_per_transaction=100)
    act.append(lambda n: time.sleep(0.012))
    one.push(1, 2, 3)
    one.run()
    assert sum(len(said.effects) for said in one.said) == 3
    assert max(len(said.effects) for said in one.said) <= 2, "the first went before the third was started"


def test_a_failure_and_a_retry_bring_their_effects_at_once(bench: Make) -> None:
    one = bench(kept, tasks_per_transaction=10, max_retries=1, retry_on=())

    def fails(n: int) -> None:
        if n == 1:
            raise ValueError(n)
        if n == 2 and ran.count(2) == 1:
            raise Retry(delay=0)

    act.append(fails)
    one.push(1, 2)
    one.run()
    kinds = [type(s) for said in one.said for s in said.settlements]
    assert kinds == [Dead, Again, Done]
    assert [e[0].value for said in one.said for e in said.effects.values()] == [
        b"failure dead None",
        b"retry again None",
        b"success done None",
    ]


@pytest.mark.usefixtures("patient")
def test_a_fenced_worker_settles_nothing_of_it(bench: Make) -> None:
    one = bench(kept, tasks_per_transaction=5, settle_within=60)
    one.push(*range(5))
    one.run(1 if one.short else 5)
    assert len(one.records()) == 5
    one.connector.release("q", one.lease.consumer, (), {}, close=True)
    ran.clear()
    one.run()
    assert sorted(ran) == list(range(5)), "they run again, under another name"
    (said,) = one.said
    assert len(said.effects) == 5 and min(said.effects) > 5


def test_hooks_are_told_the_value_and_may_keep_it(bench: Make) -> None:
    one = bench(kept)
    act.append(lambda n: n * 2)
    one.push(21)
    one.run()
    (effect,) = one.said[0].effects[1]
    assert effect.value == b"success done 42"


def test_a_plugin_that_raises_makes_a_success_a_failure_and_a_second_time_a_dead_letter(bench: Make) -> None:
    asked: list[tuple[str, str]] = []

    def broken(task: Any, task_id: str, outcome: Outcome, settles: str) -> Iterable[Effect]:
        asked.append((outcome.kind, settles))
        raise ValueError("cannot be written")

    one = bench(broken, max_retries=3, retry_on=(ValueError,))
    one.push(1)
    one.run()
    assert asked == [("success", "done"), ("failure", "again")]
    (letter,) = one.connector.dead("q")
    assert b"what it leaves behind cannot be made: cannot be written; raised by the plugin " in letter.reason
    assert [said.effects for said in one.said] == [{}]


def test_a_plugin_that_raises_once_leaves_the_effects_of_the_failure(bench: Make) -> None:
    def once(task: Any, task_id: str, outcome: Outcome, settles: str) -> Iterable[Effect]:
        if outcome.kind == "success":
            raise ValueError("too large")
        return [Keep(task_id, outcome.kind.encode(), 60.0)]

    one = bench(once)
    one.push(1)
    one.run()
    assert [e[0].value for e in one.said[0].effects.values()] == [b"failure"]
    assert b"too large" in one.connector.dead("q")[0].reason


def test_what_is_no_effect_is_refused_like_an_exception(bench: Make) -> None:
    one = bench(lambda *_: [Keep("k", "no bytes", 60.0)])  # type: ignore[arg-type]
    one.push(1)
    one.run()
    assert b"value of Keep is 'no bytes'" in one.connector.dead("q")[0].reason


@pytest.mark.usefixtures("patient")
def test_what_does_not_run_is_asked_of_as_well(bench: Make) -> None:
    asked: list[tuple[bool, str, str]] = []

    def hear(task: Any, task_id: str, outcome: Outcome, settles: str) -> Iterable[Effect]:
        asked.append((task is None, outcome.kind, settles))
        return kept(task, task_id or "nobody", outcome, settles)

    one = bench(hear, tasks_per_transaction=10)
    one.task.options(expires=0.000001).push(n=1)
    one.connector.push("q", [b"no message of ours"], priority=1, token=new_id())
    one.task.push(n=2)
    one.run()
    assert ran == [2]
    assert asked == [(False, "expired", "done"), (True, "unreadable", "dead"), (False, "success", "done")]
    assert sorted(n for said in one.said for n in said.effects) == [1, 2, 3]


def test_many_threads_leave_each_its_own_once(bench: Make) -> None:
    one = bench(kept, slots=8, tasks_per_transaction=20)
    one.push(*range(400))
    threads: list[threading.Thread] = []
    while (attempt := one.source.take(block=False)) is not None or any(t.is_alive() for t in threads):
        if attempt is not None:
            threads.append(threading.Thread(target=contextvars.copy_context().run, args=(attempt.run,)))
            threads[-1].start()
    for thread in threads:
        thread.join()
    one.run()
    told = [n for said in one.said for n in said.effects]
    assert sorted(told) == list(range(1, 401))
    assert one.connector.counts("q").leased == 0
    assert not one.records()


# commit


def test_children_and_records_come_with_the_success(bench: Make) -> None:
    one = bench(tasks_per_transaction=4)
    ids: list[str] = []

    def leave(n: int) -> None:
        if n < 4:
            ids.append(current().commit.push(one.task, n=n + 10).id)
            current().commit.push(one.task.options(delay=60), n + 20)
            current().commit.keep(f"of {n}", {"n": n}, 60)
            assert one.queue.kept(f"of {n}") is None, "not before it has succeeded"

    act.append(leave)
    one.push(0, 1, 2, 3)
    one.run()
    assert sorted(ran) == [0, 1, 2, 3, 10, 11, 12, 13]
    assert one.connector.counts("q").delayed == 4
    assert [one.queue.kept(f"of {n}") for n in range(4)] == [{"n": n} for n in range(4)]
    assert len(set(ids)) == 4


def test_what_is_kept_of_a_child_is_kept_beside_the_queue_of_the_child(bench: Make) -> None:
    one = bench()
    children = Queue("children", connector=one.queue.config.connector, plugins=[Use("results")])
    ids: list[str] = []
    act.append(lambda n: ids.append(current().commit.push(children.options(name="born")).id))
    one.push(0)
    one.run()
    key = f"r:{ids[0]}"
    assert one.connector.records("children", [key])[0] is not None, "it is known to wait"  # type: ignore[attr-defined]
    assert one.connector.records("q", [key]) == [None]  # type: ignore[attr-defined]
    children.broker.close()


@pytest.mark.usefixtures("patient")
def test_once_a_task_has_left_something_successes_stay_in_their_batch(bench: Make) -> None:
    one = bench(tasks_per_transaction=5)
    act.append(lambda n: current().commit.keep(str(n), n, 60) if n % 2 else None)
    one.push(*range(15))
    one.run()
    assert one.words[page.EFFECTS] == 6
    assert one.sheet.path.stat().st_size == page.SIZE + 2 * page.HALF
    assert [len(said.effects) for said in one.said[-2:]] == [3, 2]
    assert [one.queue.kept(str(n)) for n in range(15)] == [n if n % 2 else None for n in range(15)]


@pytest.mark.parametrize("end", [ValueError, Retry, Stop])
def test_nothing_of_it_is_done_if_the_task_does_not_succeed(bench: Make, end: type[BaseException]) -> None:
    one = bench()

    def leave(n: int) -> None:
        if n == 1:
            current().commit.push(one.task, n=2)
            current().commit.keep("k", n, 60)
            raise end

    act.append(leave)
    one.push(1)
    one.run(2)
    assert 2 not in ran and one.queue.kept("k") is None


def test_a_handler_of_the_success_may_leave_something(bench: Make) -> None:
    one = bench()
    one.source.runtime.handlers["on_success"] = lambda task, value: current().commit.keep("k", value, 60)  # type: ignore[index]
    one.source.runtime.plain = False
    act.append(lambda n: n)
    one.push(7)
    one.run()
    assert one.queue.kept("k") == 7


def test_commit_and_plugins_leave_in_one_step(bench: Make) -> None:
    one = bench(kept)
    act.append(lambda n: current().commit.keep("k", n, None))
    one.push(1)
    one.run()
    assert one.said[0].effects[1][0].key == "u:k"  # type: ignore[union-attr]
    assert len(one.said[0].effects[1]) == 2


def test_what_commit_cannot_do_it_says_at_the_call(bench: Make, tmp_path: Path) -> None:
    one = bench()
    other = Queue("q", connector=f"sqlite:///{tmp_path}/other.db").task(work)
    errors: list[BaseException] = []

    def wrong(n: int) -> None:
        commit = current().commit
        for bad in (
            lambda: commit.push(other, n=1),
            lambda: commit.push(one.task, m=1),
            lambda: commit.push(len, n=1),
            lambda: commit.push(one.task, n=object()),
            lambda: commit.keep("", 1, 60),
            lambda: commit.keep("k", object(), 60),
            lambda: commit.keep("k", 1, -1),
            lambda: commit.keep("k", b"v" * (MOST_BYTES + 1), 60),
            lambda: [commit.keep("k", 1, 60) for _ in range(MOST_EFFECTS + 1)],
        ):
            try:
                bad()
            except Exception as error:
                errors.append(error)
        raise ValueError

    act.append(wrong)
    one.push(1)
    one.run()
    assert len(errors) == 9, errors
    assert isinstance(errors[0], ConfigError) and "other.db" in str(errors[0])
    assert isinstance(errors[8], ArgumentsError) and "10,001" in str(errors[8])


def test_commit_after_the_end_of_its_task_is_an_error(bench: Make) -> None:
    one = bench()
    held: list[Any] = []
    act.append(lambda n: held.append(current().commit))
    one.push(1)
    one.run()
    with pytest.raises(RuntimeError, match="after its task had ended"):
        held[0].keep("k", 1, 60)


def test_an_attempt_that_was_kept_commits_nothing_for_the_one_that_runs_in_its_slot_now(bench: Make) -> None:
    one = bench()
    attempts: list[Any] = []
    act.append(lambda n: attempts.append(current()))
    one.push(0)
    one.run()
    refused: list[str] = []

    def stray() -> None:
        try:
            attempts[0].commit.keep("stray", 1, 60.0)
        except RuntimeError as error:
            refused.append(str(error))

    def waits(n: int) -> None:
        thread = threading.Thread(target=stray)
        thread.start()
        thread.join()

    act[0] = waits
    one.push(1)
    one.run()
    assert ran == [0, 1] and one.queue.kept("stray") is None
    assert len(refused) == 1 and "outside of its task" in refused[0]


def test_what_a_coroutine_leaves_running_commits_nothing_for_the_next_in_its_slot(bench: Make) -> None:
    one = bench()
    refused: list[str] = []

    async def outlives(ended: asyncio.Event) -> None:
        await ended.wait()
        try:
            current().commit.keep("stray", 1, 60.0)
        except RuntimeError as error:
            refused.append(str(error))

    async def both() -> None:
        ended = asyncio.Event()
        left: list[asyncio.Task[None]] = []

        async def first(n: int) -> None:
            left.append(asyncio.create_task(outlives(ended)))

        async def second(n: int) -> None:
            ended.set()
            await left[0]
            current().commit.keep("own", n, 60.0)

        for number, act[:] in enumerate(([first], [second])):
            one.push(number)
            attempt = one.source.take(block=False)
            assert attempt is not None
            await asyncio.create_task(attempt.arun())
        one.source.take(block=False)

    asyncio.run(both())
    one.run()
    assert one.queue.kept("own") == 1 and one.queue.kept("stray") is None
    assert len(refused) == 1 and "outside of its task" in refused[0]


def test_tasks_that_another_one_takes_leave_behind_what_their_plugins_say(bench: Make) -> None:
    one = bench(kept, tasks_per_transaction=1)

    def takes(n: int) -> None:
        if n == 0:
            with current().take(5) as tasks:
                taken.extend(task.id for task in tasks)

    taken: list[str] = []
    act.append(takes)
    one.push(0, 1, 2)
    late = one.task.options(expires=0.000001).push(n=3).id
    one.run()
    assert ran == [0] and len(taken) == 2
    found = one.connector.records("q", [*taken, late])  # type: ignore[attr-defined]
    assert [record and record.value for record in found] == [b"success done None"] * 2 + [b"expired done None"]


def test_what_is_taken_goes_back_where_a_plugin_cannot_say_what_it_leaves(bench: Make) -> None:
    def refuses(task: Task | None, task_id: str, outcome: Outcome, settles: str) -> Iterable[Effect]:
        if task is not None and task.kwargs["n"] == 1 and not ran[1:]:
            raise OSError("no room")
        return kept(task, task_id, outcome, settles)

    one = bench(refuses, tasks_per_transaction=1)

    def takes(n: int) -> None:
        if n == 0:
            with current().take(5):
                pass

    act.append(takes)
    one.push(0, 1)
    one.run()
    assert ran == [0, 1], "it ran by itself then"
    assert [letter.task_id for letter in one.connector.dead("q", 10)]


@pytest.mark.parametrize("asked", [kept, None])
@pytest.mark.parametrize("batch", [1, 10])
def test_the_notice_about_a_task_that_runs_already_is_taken_off_the_board_once_it_has_ended(
    bench: Make, batch: int, asked: Asked | None
) -> None:
    one = bench(asked, tasks_per_transaction=batch)
    source = one.source
    Notices(source.hold, source.runtime)
    act.append(lambda n: n == 1 and one.connector.post("q", cancel=[current().task.id]))
    one.push(*range(20))
    one.run()
    assert ran == list(range(20))
    one.push(20)
    one.run()
    assert one.connector.board("q").cancelled == frozenset()
    assert source.runtime.plain and not source.runtime.ends


@pytest.mark.parametrize("asked", [kept, None])
def test_the_notice_about_a_task_that_waits_with_the_id_of_one_that_has_ended_stays(
    bench: Make, asked: Asked | None
) -> None:
    one = bench(asked, tasks_per_transaction=1, id_window=0.001)
    Notices(one.source.hold, one.source.runtime)
    one.task.options(id="own").push(n=0)
    one.run()
    time.sleep(0.01)
    one.task.options(id="own", delay=0.3).push(n=1)
    one.connector.post("q", cancel=["own"])
    one.push(2)
    one.run()
    time.sleep(0.35)
    one.run()
    assert ran == [0, 2]


@pytest.mark.parametrize("asked", [kept, None])
@pytest.mark.parametrize("batch", [1, 10])
def test_the_notice_about_a_task_that_comes_again_stays_until_it_is_met(
    bench: Make, batch: int, asked: Asked | None
) -> None:
    one = bench(asked, tasks_per_transaction=batch, max_retries=3)
    Notices(one.source.hold, one.source.runtime)

    def tries(n: int) -> None:
        if n == 1:
            one.connector.post("q", cancel=[current().task.id])  # type: ignore[union-attr]
            raise Retry(delay=0.05)

    act.append(tries)
    one.push(*range(5))
    one.run()
    time.sleep(0.1)
    one.run()
    one.push(5)
    one.run()
    assert ran == list(range(6)) and one.connector.board("q").cancelled == frozenset()
    assert one.connector.counts("q").dead == 0


@pytest.mark.parametrize("hook", [False, True])
def test_a_trace_that_is_cancelled_runs_no_further_and_its_notice_stays(bench: Make, hook: bool) -> None:
    one = bench(tasks_per_transaction=1)
    told: list[str] = []
    if hook:
        one.source.runtime.handlers = {"on_cancel": lambda task: told.append(task.id)}
    Notices(one.source.hold, one.source.runtime)

    def leaves(n: int) -> None:
        if n == 1:
            current().commit.push(one.task, n=2)
            one.connector.post("q", cancel=["trace:root"])

    act.append(leaves)
    one.task.options(id="root").push(n=1)
    one.push(3)
    one.run()
    one.task.options(trace_id="root").push(n=4)
    one.push(5)
    one.run()
    assert ran == [1, 3, 5]
    assert one.connector.board("q").cancelled == {"trace:root"} and len(told) == (2 if hook else 0)


def test_a_take_hands_out_nothing_that_is_cancelled(bench: Make) -> None:
    one = bench(tasks_per_transaction=1)
    Notices(one.source.hold, one.source.runtime)
    got: list[int] = []

    def takes(n: int) -> None:
        if n == 0:
            one.connector.post("q", cancel=["no", "trace:never"])
            with current().take(10) as tasks:
                got.extend(task.kwargs["n"] for task in tasks)

    act.append(takes)
    one.push(0, 1)
    one.task.options(id="no").push(n=2)
    one.push(3)
    one.task.options(trace_id="never").push(n=4)
    one.run()
    assert (got, ran) == ([1, 3], [0])
    one.push(5)
    one.run()
    assert one.connector.board("q").cancelled == {"trace:never"} and one.connector.counts("q").ready == 0


def test_a_task_knows_that_it_is_to_be_cancelled_and_ends_so_unless_it_succeeds(bench: Make) -> None:
    one = bench(tasks_per_transaction=1, max_retries=3)
    told: list[tuple[str, int]] = []
    one.source.runtime.handlers = {
        name: lambda task, *_, name=name: told.append((name, task.kwargs["n"]))
        for name in ("on_cancel", "on_failure", "on_retry", "on_timeout", "on_dead")
    }
    seen: list[bool] = []

    def asks(n: int) -> None:
        attempt: Any = current()
        seen.append(attempt.cancelled)
        attempt.check()
        one.sheet.cancel(attempt.slot, attempt.number)  # what its keeper does
        seen.append(attempt.cancelled)
        if n == 1:
            attempt.check()
        if n == 2:
            raise OSError("it fails as it ends")
        if n == 3:
            raise Retry
        if n == 4:
            raise TaskTimeout
        if n == 5:
            attempt.fail("it wants to be a dead letter")

    act.append(asks)
    one.push(*range(6))
    one.run()
    assert seen == [False, True] * 6
    assert told == [*(("on_cancel", n) for n in range(1, 5)), ("on_failure", 5), ("on_dead", 5)]
    assert one.connector.counts("q").ready == one.connector.counts("q").delayed == 0


def test_a_child_inherits_trace_and_headers(bench: Make) -> None:
    one = bench()
    seen: list[Task | None] = []

    def leave(n: int) -> None:
        seen.append(current().task)
        if n == 1:
            current().commit.push(one.task, n=2)

    act.append(leave)
    one.task.options(headers={"tenant": "a"}).push(n=1)
    one.run()
    parent, born = seen
    assert parent and born and born.headers == {"tenant": "a"} and born.trace_id == parent.id


def test_a_store_without_effects_refuses_at_the_first_use(tmp_path: Path, bench: Make) -> None:
    one = bench()
    errors: list[BaseException] = []

    def leave(n: int) -> None:
        one.source.runtime.places.clear()
        plain = type("Plain", (), {"capabilities": type(one.connector).capabilities._replace(extras=frozenset())})
        plain.describe = lambda self: "plain"  # type: ignore[attr-defined]
        one.source.runtime.broker.make = plain  # type: ignore[union-attr]
        try:
            _ = current().commit
        except ConfigError as error:
            errors.append(error)

    act.append(leave)
    one.push(1)
    one.run()
    assert 'does not keep "effects", which current().commit needs' in str(errors[0])


@pytest.mark.parametrize("asked_before", [False, True])
def test_commit_in_a_hook_of_a_failure_is_refused_and_works_again_in_the_next_run(
    bench: Make, asked_before: bool
) -> None:
    said: list[str] = []

    def fail_once(n: int) -> None:
        commit = current().commit if asked_before else None
        if len(ran) == 1:
            raise ValueError(n)
        (commit or current().commit).keep("k", n, 60)

    def tell(task: Task, exception: BaseException) -> None:
        try:
            current().commit.keep("lost", 1, 60)
        except RuntimeError as error:
            said.append(str(error))

    one = bench(None, max_retries=1, retry_on=(ValueError,), backoff=Backoff(first=0.0))
    one.source.runtime.handlers["on_failure"] = tell  # type: ignore[index]
    act.append(fail_once)
    one.push(1)
    one.run()
    one.run()
    assert len(ran) == 2 and len(said) == 1 and "a hook of an end that is no success" in said[0]
    assert one.queue.kept("k") == 1 and one.queue.kept("lost") is None


def test_an_effect_that_no_store_can_take_is_a_dead_letter_that_names_its_plugin(bench: Make) -> None:
    one = bench(lambda *_: [Keep("k", "no bytes", 60.0)])  # type: ignore[arg-type]
    one.push(1)
    one.run()
    (letter,) = one.connector.dead("q")
    assert b"raised by the plugin keeping, which was asked what this end leaves behind" in letter.reason


def test_a_busy_worker_takes_what_was_cancelled_off_the_board_in_few_steps(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step makes all workers read the whole board."""
    monkeypatch.setattr("regiment_runner.worker.notices.PUT_OFF", 3600.0)
    one = bench(None, tasks_per_transaction=1)
    Notices(one.source.hold, one.source.runtime)
    ids = [f"own-{n}" for n in range(60)]
    for n, id in enumerate(ids):
        one.task.options(id=id).push(n=n)
    before = one.connector.post("q", cancel=ids)
    one.run()
    board = one.connector.board("q")
    assert ran == [] and board.cancelled == frozenset() and board.version - before <= 2


def test_nothing_that_has_ended_stays_on_the_board_while_a_task_runs(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes."""
    monkeypatch.setattr("regiment_runner.worker.notices.PUT_OFF", 3600.0)
    one = bench(None, tasks_per_transaction=1)
    Notices(one.source.hold, one.source.runtime)
    ids, there = [f"own-{n}" for n in range(5)], list[frozenset[str]]()
    for n, id in enumerate(ids):
        one.task.options(id=id).push(n=n)
    one.push(9)
    one.connector.post("q", cancel=ids)
    act.append(lambda n: there.append(one.connector.board("q").cancelled))
    one.run()
    assert ran == [9] and there == [frozenset()]
