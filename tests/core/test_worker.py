"""The class form: what its methods raise and refuse."""

from __future__ import annotations

from typing import Any

import pytest

from regiment import ArgumentsError, ConfigError, Fail, Requeue, Respawn, Retry, Stop, Worker, WorkerConfig


class Mail(Worker):
    config = WorkerConfig("mail", connector="memory://worker")

    def work(self, task: Any) -> None: ...


@pytest.mark.parametrize(("method", "control"), [("retry", Retry), ("requeue", Requeue)])
def test_a_task_runs_again_when_and_how_it_says(method: str, control: type[Retry]) -> None:
    with pytest.raises(control) as caught:
        getattr(Mail(), method)(None, delay=3, priority="HIGH", kwargs={"a": 1})
    assert (caught.value.delay, caught.value.priority, caught.value.kwargs) == (3, "HIGH", {"a": 1})


def test_an_argument_of_a_retry_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="dealy"):
        Mail().retry(dealy=3)  # type: ignore[call-arg]


def test_a_task_ends_itself_by_a_method_or_its_control() -> None:
    with pytest.raises(Fail, match="no such user"):
        Mail().fail(reason="no such user")
    with pytest.raises(Stop):
        Mail().stop()
    with pytest.raises(Respawn) as caught:
        Mail().respawn(done=True)
    assert caught.value.done


def test_what_a_task_asks_of_its_run_has_an_answer_outside_of_one() -> None:
    assert Mail().remaining() is None
    Mail().progress(1, 2)
    with pytest.raises(RuntimeError, match="take works in a task that a worker runs"):
        Mail().take(3)


def test_a_class_without_a_configuration_says_what_is_expected() -> None:
    class Bare(Worker): ...

    with pytest.raises(
        ConfigError, match=r"Bare\.config is None; expected a WorkerConfig, or override generate_config"
    ):
        Bare.configuration()


def test_a_push_by_name_takes_no_argument_by_position() -> None:
    with pytest.raises(ArgumentsError, match="a push by name got 1 arguments without a name; expected name=value"):
        Mail.options(delay=1).push(5)
