"""Schedules in an application's own tests, and in the task."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from regiment import Queue, current
from regiment.errors import RegimentError
from regiment_schedules import schedule, schedules, tick
from regiment_schedules.testing import fire, ticks
from regiment_testing import capture

mail = Queue("mail", connector="memory")
seen: list[object] = []


@mail.task(
    schedules=[schedule("30 2 * * *", tz="Europe/Berlin", name="digest", kwargs={"kind": "short"}, priority="HIGH")]
)
def digest(kind: str) -> None:
    seen.append((tick(), kind, current().task.id))


def test_a_schedule_is_fired_by_hand_and_its_task_knows_the_tick() -> None:
    seen.clear()
    at = datetime(2026, 11, 30, 1, 30, tzinfo=UTC)
    with capture() as queue:
        assert fire(mail, "digest", at) == "digest@20261130T013000Z"
        assert fire(mail, "digest", at) and len(queue.pushed) == 1  # the same tick once
        assert queue.pushed[0].priority == "HIGH"
        queue.drain()
        digest.push(kind="by hand")
        queue.drain()
    assert seen[0] == (at, "short", "digest@20261130T013000Z")
    assert seen[1][0] is None  # type: ignore[index]


def test_nothing_fires_by_itself_in_a_capture_and_nothing_is_fired_outside_of_one() -> None:
    with capture() as queue:
        queue.advance(3 * 86_400)
        assert not queue.pushed
    with pytest.raises(RegimentError, match="outside"):
        fire(mail, "digest")
    with capture(), pytest.raises(RegimentError, match='Did you mean "digest"'):
        fire(mail, "digst")


def test_the_ticks_of_a_schedule_in_code_are_told_without_a_store() -> None:
    since, until = datetime(2026, 3, 27, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)
    found = [one.isoformat()[:16] for one in ticks(mail, "digest", since, until)]
    assert found == ["2026-03-27T01:30", "2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]


def test_the_plan_works_in_a_capture() -> None:
    with capture() as queue:
        plan = schedules(mail)
        plan.add("more", digest, every=60, kwargs={"kind": "x"})
        assert [one.name for one in plan.list()] == ["more"]
        id = plan.run_now("more")
        assert queue.pushed[0].id == id
        plan.remove("more")
        assert not plan.list()
