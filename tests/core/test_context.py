"""Which attempt runs here."""

from __future__ import annotations

import pytest

from regiment import Queue, Task, current
from regiment_testing import capture

q = Queue("context", connector="memory://context")
seen: list[Task | None] = []


@q.task
def look(a: int) -> None:
    seen.append(current().task)


def test_a_task_finds_its_attempt_and_so_its_task() -> None:
    seen.clear()
    with capture(q) as held:
        look.push(a=1)
        held.drain()
    [task] = seen
    assert task is not None and (task.name, task.kwargs) == ("look", {"a": 1})


def test_outside_of_a_task_there_is_none_and_the_error_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"current\(\) was called outside of a task"):
        current()
