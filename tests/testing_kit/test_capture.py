"""`regiment_testing.capture`: an application's own tests, with no store and no worker."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import regiment_testing
from regiment import (
    ArgumentsError,
    Backoff,
    EncodeError,
    Fail,
    Queue,
    Requeue,
    Respawn,
    Retry,
    Stop,
    Task,
    Timeouts,
    Worker,
    WorkerConfig,
    current,
)
from regiment_testing import capture

NOWHERE = "sqlite:////nowhere/at/all.db"
mail = Queue("capture-mail", connector=NOWHERE)
other = Queue("capture-other", connector=NOWHERE, max_retries=None)
happened: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    happened.clear()
    yield


@mail.task
def send(to: str, subject: str = "hi") -> str:
    happened.append((to, subject))
    return f"sent to {to}"


@mail.task(max_retries=2, backoff=Backoff(first=10, factor=2, jitter=False))
def flaky(fails: int) -> None:
    happened.append(current().task.run_count)  # type: ignore[union-attr]
    if current().task.run_count < fails:  # type: ignore[union-attr]
        raise ConnectionError("the mail server is away")


@mail.task
def forward(to: str) -> None:
    send.push(to=to)
    send.options(delay=60).push(to=to, subject="again")


@mail.task(timeout=30)
def timed() -> None:
    happened.append(current().remaining())


@mail.task
def echo(value: Any) -> None:
    happened.append(value)


@other.task
def endless() -> None:
    raise Retry(delay=1)


@other.task
def controlled(how: str) -> None:
    happened.append(how)
    if len(happened) == 1:
        raise {"requeue": Requeue(delay=5), "respawn": Respawn(), "stop": Stop(), "fail": Fail(reason="no")}[how]


@other.on("initialize")
def begin() -> None:
    happened.append("initialize") if "watch" in happened else None


class Crawl(Worker):
    config = WorkerConfig("capture-crawl", connector=NOWHERE, max_retries=1, timeouts=Timeouts(5))

    def initialize(self) -> None:
        happened.append("initialize")

    def finalize(self) -> None:
        happened.append("finalize")

    def work(self, task: Any) -> int:
        self.options(queue="capture-parse", priority="HIGH").push(html="<p>")
        if task.kwargs["url"] == "bad":
            raise ValueError("bad url")
        if task.kwargs["url"] == "busy" and task.run_count == 0:
            self.retry(task, delay=30)
        return len(task.kwargs["url"])

    def pre_work(self, task: Any) -> None:
        happened.append("pre_work")

    def post_work(self, task: Any, success: bool, exception: BaseException | None) -> None:
        happened.append(("post_work", success))

    def on_success(self, task: Any, returned_value: Any) -> None:
        happened.append(("on_success", returned_value))

    def on_failure(self, task: Any, exception: BaseException) -> None:
        happened.append(("on_failure", str(exception)))

    def on_retry(self, task: Any) -> None:
        happened.append("on_retry")

    def on_max_retries(self, task: Any) -> None:
        happened.append("on_max_retries")

    def on_dead(self, task: Any, reason: dict[str, Any]) -> None:
        happened.append(("on_dead", reason["error"]))


def test_a_push_is_held_and_nothing_runs_until_it_is_asked_for() -> None:
    with regiment_testing.capture() as q:
        pushed = send.push("a@b.c", subject="hello")
        assert (pushed.queue, pushed.existed) == ("capture-mail", False)
        found = q.assert_pushed(send, to="a@b.c")
        assert found.kwargs == {"to": "a@b.c", "subject": "hello"}
        assert [one.id for one in q.pushed] == [pushed.id] == [one.id for one in q.waiting]
        assert happened == []
        assert q.drain() == 1
        assert happened == [("a@b.c", "hello")]
        assert q.waiting == [] and q.dead == []


def test_arguments_make_the_round_trip_through_the_real_serializer() -> None:
    moment, values = datetime.now(UTC), (1, {"a", "b"}, b"x", 2**80)
    with capture() as q:
        echo.push(value=[moment, values])
        q.drain()
        with pytest.raises(EncodeError, match=r'kwargs\["value"\]'):
            echo.push(value=object())
        with pytest.raises(ArgumentsError, match="needs to"):
            send.push()  # type: ignore[call-arg]
        assert len(q.pushed) == 1
    assert happened == [[moment, values]]
    assert happened[0] is not None and type(happened[0][1]) is tuple


def test_an_assertion_that_fails_says_what_was_pushed_and_what_is_nearest() -> None:
    with capture() as q:
        send.push(to="x@b.c", subject="hi")
        echo.push(value=1)
        Crawl.push(url="u")
        with pytest.raises(AssertionError) as caught:
            q.assert_pushed(send, to="a@b.c", subject="hi", cc="d@e.f")
        assert str(caught.value).splitlines() == [
            "send was not pushed with to='a@b.c', subject='hi', cc='d@e.f'",
            "nearest: send(to='x@b.c', subject='hi') on \"capture-mail\": to is 'x@b.c', expected 'a@b.c'; "
            "it has no cc, expected 'd@e.f'",
            "captured: 3",
            "  1. send(to='x@b.c', subject='hi') on \"capture-mail\"",
            '  2. echo(value=1) on "capture-mail"',
            "  3. capture-crawl(url='u') on \"capture-crawl\"",
        ]
        with pytest.raises(AssertionError, match=r"send was pushed with to='x@b.c': send\(to="):
            q.assert_not_pushed(send, to="x@b.c")
        q.assert_not_pushed(send, to="nobody")
        q.assert_pushed(Crawl, url="u")
        q.assert_pushed(mail, value=1)
        q.assert_pushed("capture-crawl")
        with pytest.raises(TypeError, match="expected a task function"):
            q.assert_pushed(print)  # type: ignore[arg-type]
    with capture() as q, pytest.raises(AssertionError, match="captured: nothing"):
        q.assert_pushed(send)


def test_pushes_from_tasks_are_captured_and_inherit_the_trace() -> None:
    with capture() as q:
        forward.push(to="a@b.c")
        assert q.drain() == 3
        assert [one.name for one in q.pushed] == ["forward", "send", "send"]
        assert q.pushed[1].task.trace_id == q.pushed[0].id
        assert q.pushed[2].delay == 60
    assert happened == [("a@b.c", "hi"), ("a@b.c", "again")]


def test_what_one_task_pushed_can_be_told_from_what_the_test_pushed() -> None:
    with capture() as q:
        q.run(forward.push(to="a@b.c"))
        send.push(to="x@y.z")
        assert [(one.name, one.by and one.by.name) for one in q.pushed] == [
            ("forward", None),
            ("send", "forward"),
            ("send", "forward"),
            ("send", None),
        ]
        assert q.pushed[1].by is q.pushed[0]


def test_delays_wait_for_the_clock_which_only_the_test_moves() -> None:
    with capture() as q:
        send.options(delay=30).push(to="late")
        send.options(at=time.time() + 10).push(to="soon")
        assert q.advance(5) == 0 and q.now == 5
        assert q.advance(10) == 1
        assert [to for to, _ in happened] == ["soon"]
        assert q.advance(14) == 0
        assert q.advance(1) == 1 and q.now == 30
        send.options(delay=86_400).push(to="tomorrow")
        q.drain()
        assert q.now == pytest.approx(86_430)


def test_high_priority_runs_first_then_what_came_first() -> None:
    with capture() as q:
        for to, priority in (("1", "LOW"), ("2", "NORMAL"), ("3", "HIGH"), ("4", "HIGH")):
            send.options(priority=priority).push(to=to)
        q.drain()
    assert [to for to, _ in happened] == ["3", "4", "2", "1"]


def test_a_failing_task_retries_after_its_backoff_and_then_is_a_dead_letter_with_its_reason() -> None:
    with capture() as q:
        flaky.push(fails=1)
        assert q.drain() == 2 and q.now == 10
        flaky.push(fails=9)
        assert q.drain() == 3 and q.now == 10 + 10 + 20
        assert happened == [0, 1, 0, 1, 2]
        (dead,) = q.dead
        assert (dead.kind, dead.reason["error_type"]) == ("failure", "ConnectionError")
        assert (dead.error, dead.reason["runs"]) == ("the mail server is away", 3)
        assert dead.task.kwargs == {"fails": 9}
        with pytest.raises(AssertionError, match="ConnectionError: the mail server is away") as told:
            q.assert_none_dead()
        assert "Traceback" in str(told.value)


def test_a_worker_class_has_its_handlers_called_as_in_a_worker() -> None:
    with capture() as q:
        Crawl.push(url="four")
        q.drain()
        assert happened == ["initialize", "pre_work", ("post_work", True), ("on_success", 4)]
        assert q.assert_pushed("capture-parse", html="<p>").priority == "HIGH"
        assert [one.queue for one in q.waiting] == ["capture-parse"]  # nobody here works it off
        happened.clear()
        Crawl.push(url="busy")
        q.drain()
        assert happened[2:] == ["on_retry", "pre_work", ("post_work", True), ("on_success", 4)]
        happened.clear()
        Crawl.push(url="bad")
        q.drain()
        assert happened[-4:] == [
            ("post_work", False),
            ("on_failure", "bad url"),
            "on_max_retries",
            ("on_dead", "bad url"),
        ]
        assert "finalize" not in happened
    assert happened[-1] == "finalize"


def test_run_tells_how_one_task_ended() -> None:
    with capture() as q:
        pushed = send.options(delay=3600).push(to="a@b.c")
        outcome = q.run(pushed)
        assert (outcome.kind, outcome.value) == ("success", "sent to a@b.c")
        with pytest.raises(LookupError, match="is not waiting"):
            q.run(pushed)
        flaky.push(fails=9)
        outcome = q.run(q.pushed[-1])
        assert outcome.kind == "failure" and isinstance(outcome.error, ConnectionError)
        assert len(q.waiting) == 1
        mail.options(queue="capture-nobody").push(x=1)
        with pytest.raises(LookupError, match='no worker of the queue "capture-nobody"'):
            q.run(q.pushed[-1])


def test_controls_do_what_they_do_in_a_worker() -> None:
    with capture() as q:
        controlled.push(how="requeue")
        assert q.drain() == 2 and q.now == 5
        happened.clear()
        controlled.push(how="fail")
        q.drain()
        assert (q.dead[0].kind, q.dead[0].error) == ("fail", "no")
        happened.clear()
        controlled.push(how="respawn")
        q.drain()
        assert happened == ["respawn", "respawn"]
        happened.clear()
        controlled.push(how="stop")
        assert q.drain() == 1
        assert [one.kwargs for one in q.waiting] == [{"how": "stop"}]
        assert q.drain() == 0  # its workers have stopped


def test_a_task_that_retries_without_end_is_an_error_and_not_a_test_that_hangs() -> None:
    with capture() as q:
        endless.push()
        with pytest.raises(RuntimeError, match=r"100 attempts and no end; the next would be endless"):
            q.drain(limit=100)


def test_an_expired_task_does_not_run() -> None:
    with capture() as q:
        send.options(expires=60, delay=30).push(to="in time")
        send.options(expires=60, delay=90).push(to="too late")
        q.advance(100)
        by_hand = send.options(expires=10).push(to="too late too")
        q.advance(0)
        again = send.options(expires=10, delay=20).push(to="by hand")
        assert q.waiting[-1].id == again.id
        q._heap.now += 15
        assert q.run(again).kind == "expired"
        assert by_hand.id not in [one.id for one in q.waiting]
    assert [to for to, _ in happened] == ["in time", "too late too"]


def test_a_task_that_no_worker_knows_is_parked_and_then_dead() -> None:
    with capture() as q:
        mail.options(name="sendd").push(to="a@b.c")
        q.drain()
        assert 600 <= q.now < 900
        (dead,) = q.dead
        assert dead.kind == "unknown" and "no task named 'sendd'" in dead.error


def test_an_id_is_pushed_once() -> None:
    with capture() as q:
        assert not send.options(id="welcome-1").push(to="a@b.c").existed
        assert send.options(id="welcome-1").push(to="a@b.c").existed
        q.drain()
        assert send.options(id="welcome-1").push(to="a@b.c").existed
        q.advance(mail.config.id_window)
        assert not send.options(id="welcome-1").push(to="a@b.c").existed
        assert len(q.pushed) == 2


def test_many_pushes_and_pushes_from_coroutines_are_captured() -> None:
    async def signup() -> None:
        await send.apush(to="a@b.c")
        q.drain()  # also while an event loop is running

    with capture() as q:
        assert send.push_many({"to": str(n)} for n in range(2500)) == 2500
        asyncio.run(signup())
        assert len(q.pushed) == len(happened) == 2501


def test_locks_keys_and_counts_live_in_the_capture() -> None:
    with capture() as q:
        worker = Crawl()
        with worker.lock("books"):
            assert not Crawl.outlet.broker().lock("books").acquire(timeout=0)
        worker.set_key("k", b"v", ttl=60)
        assert worker.get_key("k") == b"v"
        q.advance(60)
        assert worker.get_key("k") is None
        Crawl.push(url="u")
        Crawl.options(delay=5).push(url="u")
        with worker.broker.connector() as store:
            counts = store.counts("capture-crawl")
            assert (counts.ready, counts.delayed) == (1, 1)
            assert store.purge("capture-crawl") == 2 and q.waiting == []


def test_time_limits_are_noted_and_not_enforced() -> None:
    with capture() as q:
        timed.push()
        q.drain()
    assert 29 < happened[0] <= 30


def test_a_task_is_over_when_it_is_over() -> None:
    with capture() as q:
        send.push(to="a@b.c")
        q.drain()
        with pytest.raises(RuntimeError, match="outside of a task"):
            current()


def test_after_the_block_pushes_go_to_the_store_again_and_what_was_seen_stays() -> None:
    with capture() as outer:
        with contextlib.suppress(KeyError), capture() as inner:
            send.push(to="inner")
            raise KeyError
        send.push(to="outer")
    assert [one.kwargs["to"] for one in inner.pushed] == ["inner"]
    assert [one.kwargs["to"] for one in outer.pushed] == ["outer"]
    from regiment import pushing

    assert pushing.override is None


class Twin(Worker):
    config = WorkerConfig("capture-twin")

    def work(self, task: Any) -> None:
        happened.append("Twin")


class OtherTwin(Worker):
    config = WorkerConfig("capture-twin")

    def work(self, task: Any) -> None:
        happened.append("OtherTwin")


def test_two_workers_of_one_queue_are_told_apart_by_who_pushed_or_by_name() -> None:
    with capture() as q:
        OtherTwin.push()
        q.drain()
    with capture(Twin) as q:
        OtherTwin.push()
        q.drain()
    assert happened == ["OtherTwin", "Twin"]
    with capture() as q:
        mail.options(queue="capture-twin").push()
        with pytest.raises(ValueError, match=r'2 workers have the queue "capture-twin".*capture\(Twin\)'):
            q.drain()


def test_an_interrupt_ends_the_tests_and_not_only_the_task() -> None:
    def interrupt(value: Any) -> None:
        raise KeyboardInterrupt

    with capture() as q:
        echo.push(value=1)
        task = mail.tasks["echo"]
        task.function, kept = interrupt, task.function
        try:
            with pytest.raises(KeyboardInterrupt):
                q.drain()
        finally:
            task.function = kept
        assert len(q.waiting) == 1


def test_it_needs_neither_pytest_nor_a_plugin_that_stores() -> None:
    program = (
        "import sys; from regiment_testing import capture; from regiment import Queue\n"
        "mail = Queue('mail', connector='redis://nowhere')\n"
        "with capture() as q:\n"
        "    mail.options(name='send').push(to='a'); q.assert_pushed(mail, to='a')\n"
        "print(sorted({'pytest', 'redis', 'sqlite3', 'regiment_local.local'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_with_twice_a_success_runs_again_and_a_second_run_that_fails_is_an_error() -> None:
    queue = Queue("careless")
    calls: list[int] = []

    def careful() -> None:
        calls.append(1)

    def careless() -> None:
        if calls:
            raise LookupError("already done")
        calls.append(1)

    for function in (careful, careless):
        function.__qualname__ = function.__name__
    first, second = queue.task(careful), queue.task(careless)
    with capture(queue, twice=True) as q:
        first.push()
        assert q.drain() == 1 and calls == [1, 1] and not q.waiting
        calls.clear()
        second.push()
        with pytest.raises(
            AssertionError, match=r"ended as failure when it ran a second time: LookupError\('already done'\)"
        ):
            q.drain()
    with capture(queue) as q:
        calls.clear()
        second.push()
        q.drain()
        q.assert_none_dead()


def in_module(function: Any) -> Any:
    """A function of this test, as one that a module has."""
    function.__qualname__ = function.__name__
    return function


def test_with_cut_an_attempt_is_cut_behind_each_of_its_steps_and_then_runs_to_its_end() -> None:
    queue = Queue("cut", max_retries=0)
    charged: list[str] = []
    told: list[str] = []

    @queue.task
    @in_module
    def tell(order: int) -> None:
        told.append(f"tell {order}")

    @queue.task
    @in_module
    def pay(order: int) -> None:
        try:
            with current().once("charge", order) as effect:
                if effect.new:
                    charged.append(effect.id)
                    effect.value = "receipt"
            tell.options(id=f"told {order}").push(order=order)
            tell.push(order=-order)
            told.append("end")
        except Exception as error:  # a cut is nothing that is caught by accident
            told.append(repr(error))

    @queue.on("success")
    def ended(task: Task, value: Any) -> None:
        told.append(f"success of {task.name}")

    with capture(queue, cut=True) as q:
        pay.push(order=7)
        assert q.advance(0) == 4, "one attempt of each task that was pushed"
        q.assert_none_dead()
    assert len(charged) == 1, "the runs behind it found it done"
    assert told.count("end") == 1 and sum(one.startswith("success of") for one in told) == 4
    assert (told.count("tell 7"), told.count("tell -7")) == (1, 2), "a push without an id is there once for each run"


def test_with_cut_a_last_run_that_fails_says_where_the_others_were_cut() -> None:
    queue = Queue("cut-fails", max_retries=0)
    seen: list[int] = []

    @queue.task
    @in_module
    def after() -> None: ...

    @queue.task
    @in_module
    def careless() -> None:
        if seen:
            raise LookupError("seen before")
        seen.append(1)
        after.push()

    with capture(queue, cut=True) as q:
        careless.push()
        q.drain()
        [letter] = q.dead
    assert repr(letter).endswith("LookupError: seen before; runs before this one were cut behind: push 1>"), letter


def test_with_cut_a_worker_begins_anew_and_a_coroutine_is_cut_as_well() -> None:
    runs: list[int] = []

    class Seeing(Worker):
        config = WorkerConfig(name="cut-class", executor="asyncio")

        def initialize(self) -> None:
            self.seen: set[int] = set()

        async def work(self, task: Task) -> None:
            number = task.kwargs["number"]
            assert number not in self.seen, "what a process knew is gone with it"
            self.seen.add(number)
            runs.append(number)
            async with current().once("one", number) as effect:
                if effect.new:
                    effect.value = number

    with capture(Seeing, cut=True) as q:
        Seeing.push(number=1)
        q.drain()
        q.assert_none_dead()
    assert runs == [1, 1]


def test_capture_is_cut_or_runs_twice_and_not_both() -> None:
    with pytest.raises(ValueError, match="twice and cut; expected one of them"), capture(twice=True, cut=True):
        pass
