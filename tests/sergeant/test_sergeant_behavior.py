"""What Sergeant's own tests assert of a worker, on regiment; and where regiment differs on purpose."""

from __future__ import annotations

from typing import Any

import pytest

import regiment_sergeant as sergeant
from regiment_testing import capture

NOWHERE = sergeant.config.Connector(
    type="redis", params={"nodes": [{"host": "nowhere.invalid", "port": 1, "password": None, "database": 0}]}
)
CONFIG = sergeant.config.WorkerConfig(name="told", connector=NOWHERE, max_retries=2)


class Told(sergeant.worker.Worker):
    """Does what its task says, and tells of each call."""

    config = CONFIG
    calls: list[Any] = []

    def told(self, name: str, task: Any, *values: Any) -> None:
        self.calls.append((name, *values))
        if asked := task.kwargs.get(name):
            getattr(self, asked)(*([task] if asked in ("retry", "requeue", "fail_here") else []))

    def fail_here(self, task: Any) -> None:
        raise ValueError("failed")

    def work(self, task: Any) -> str:
        if task.run_count == 0 or "always" in task.kwargs:
            if task.kwargs.get("once") and ("work",) in self.calls:
                return "again"
            self.told("work", task)
        return "value"

    def pre_work(self, task: Any) -> None:
        self.told("pre_work", task)

    def post_work(self, task: Any, success: bool, exception: BaseException | None) -> None:
        self.told("post_work", task, success, type(exception).__name__)

    def on_success(self, task: Any, returned_value: Any) -> None:
        self.told("on_success", task, returned_value)

    def on_failure(self, task: Any, exception: BaseException) -> None:
        self.told("on_failure", task, str(exception))

    def on_retry(self, task: Any) -> None:
        self.told("on_retry", task)

    def on_requeue(self, task: Any) -> None:
        self.told("on_requeue", task)

    def on_max_retries(self, task: Any) -> None:
        self.told("on_max_retries", task)


def ran(worker: type[Told] = Told, **kwargs: Any) -> tuple[list[Any], Any]:
    """The calls that a task causes, and the queue afterwards."""
    Told.calls.clear()
    with capture() as queue:
        worker().push_task(kwargs=kwargs)
        queue.drain()
        return list(Told.calls), queue


SUCCESS = [("pre_work",), ("work",), ("post_work", True, "NoneType"), ("on_success", "value")]


def test_a_success_is_told_after_post_work() -> None:
    assert ran()[0] == SUCCESS


def test_a_failure_calls_on_failure_once_is_not_retried_and_is_a_dead_letter() -> None:
    calls, queue = ran(work="fail_here")
    assert calls == [("pre_work",), ("work",), ("post_work", False, "ValueError"), ("on_failure", "failed")]
    assert len(queue.dead) == 1


def test_a_retry_counts_a_run_and_a_requeue_does_not() -> None:
    calls, _ = ran(work="retry")
    assert [call[0] for call in calls] == [
        "pre_work",
        "work",
        "post_work",
        "on_retry",
        "pre_work",
        "post_work",
        "on_success",
    ]
    assert calls[2] == ("post_work", False, "Retry")
    calls, _ = ran(work="requeue", once=True)
    assert calls[2:4] == [("post_work", False, "Requeue"), ("on_requeue",)]
    assert calls[-1] == ("on_success", "again")


def test_the_last_retry_is_max_retries_in_post_work_too() -> None:
    calls, queue = ran(work="retry", always=True)
    assert [call[0] for call in calls].count("on_retry") == 2
    assert calls[-2:] == [("post_work", False, "WorkerMaxRetries"), ("on_max_retries",)]
    assert len(queue.dead) == 1


def test_max_retries_of_0_means_that_a_retry_never_gives_up() -> None:
    class Endless(Told):
        config = CONFIG.replace(name="endless", max_retries=0)

        def work(self, task: Any) -> str:
            if task.run_count < 50:
                self.retry(task)
            return "value"

    calls, queue = ran(Endless)
    assert [call[0] for call in calls].count("on_retry") == 50
    assert calls[-1] == ("on_success", "value") and not queue.dead


@pytest.mark.parametrize("asked", ["retry", "requeue"])
def test_on_failure_may_ask_for_another_run(asked: str) -> None:
    calls, queue = ran(work="fail_here", on_failure=asked, once=True)
    assert calls[-1][0] == "on_success" and not queue.dead


@pytest.mark.parametrize("hook", ["on_success", "post_work"])
def test_an_exception_in_a_handler_changes_nothing(hook: str) -> None:
    given: dict[str, Any] = {hook: "fail_here"}
    calls, queue = ran(**given)
    assert [call[0] for call in calls] == [call[0] for call in SUCCESS] and not queue.dead


def test_an_exception_in_pre_work_fails_the_task_on_purpose() -> None:
    calls, queue = ran(pre_work="fail_here")
    assert ("work",) not in calls and len(queue.dead) == 1


@pytest.mark.parametrize(("asked", "kind"), [("stop", "WorkerStop"), ("respawn", "WorkerRespawn")])
def test_what_ends_a_worker_has_sergeants_names(asked: str, kind: str) -> None:
    with pytest.raises(getattr(sergeant.worker, kind)) as raised:
        getattr(Told(), asked)()
    assert isinstance(raised.value, sergeant.worker.WorkerInterrupt)
    assert isinstance(raised.value, sergeant.worker.WorkerException)
    assert raised.value.done is True


def test_a_retry_or_requeue_raises_sergeants_exception_and_pushes_nothing_by_itself() -> None:
    task: Any = type("Any", (), {"kwargs": {}, "run_count": 0})()
    with capture() as queue:
        with pytest.raises(sergeant.worker.WorkerRetry):
            Told().retry(task=task, priority="HIGH", consumable_from=None)
        with pytest.raises(sergeant.worker.WorkerRequeue):
            Told().requeue(task=task)
        task.run_count = 2
        with pytest.raises(sergeant.worker.WorkerMaxRetries):
            Told().retry(task=task)
        assert queue.pushed == []


def test_an_exception_of_a_control_passes_except_exception() -> None:
    with pytest.raises(sergeant.worker.WorkerStop):
        try:
            Told().stop()
        except Exception:
            pytest.fail("caught")


def test_high_comes_before_normal() -> None:
    class Seeing(sergeant.worker.Worker):
        config = CONFIG.replace(name="seeing")
        seen: list[int] = []

        def work(self, task: Any) -> None:
            self.seen.append(task.kwargs["n"])

    with capture() as queue:
        Seeing().push_tasks(kwargs_list=[{"n": 1}])
        Seeing().push_tasks(kwargs_list=[{"n": 2}, {"n": 3}], priority="HIGH")
        queue.drain()
    assert Seeing.seen == [2, 3, 1]


def test_a_lock_is_taken_once_is_seen_and_has_a_time_to_live() -> None:
    with capture():
        mine, other = Told().lock("crawl"), Told().lock("crawl")
        assert not mine.is_locked() and mine.get_ttl() is None
        assert mine.acquire(timeout=0, check_interval=0.1, ttl=60)
        assert not other.acquire(timeout=0) and other.is_locked()
        assert not other.release()
        assert mine.set_ttl(30) and 25 < (mine.get_ttl() or 0) <= 30
        assert mine.release() and not other.is_locked()
        with other:
            assert mine.is_locked()
        assert isinstance(mine, sergeant.connector.Lock)


def test_the_configuration_is_generated_once_and_is_the_worker_s_config() -> None:
    made: list[int] = []

    class Generated(sergeant.worker.Worker):
        def generate_config(self) -> Any:
            made.append(1)
            return CONFIG.replace(name="generated")

    first, second = Generated(), Generated()
    assert (first.config.name, second.config.max_retries, made) == ("generated", 2, [1])
    assert Generated.configuration().name == "generated"


def test_the_loggers_lines_have_their_message_and_extra_by_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="regiment.worker.told"):
        logger = Told().logger
        logger.info(msg="told", extra={"number": 7})
        logger.warning("warned %s", "once", url="u")
        logger.critical("down")
    fields = [getattr(record, "regiment", {}) for record in caplog.records]
    assert [record.getMessage() for record in caplog.records] == ["told", "warned once", "down"]
    assert fields == [{"number": 7}, {"url": "u"}, {}]
    assert {record.filename for record in caplog.records} == {"test_sergeant_behavior.py"}
    assert logger.isEnabledFor(40)
