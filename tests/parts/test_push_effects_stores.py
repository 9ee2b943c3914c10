"""A push with effects and tags, on each store that keeps effects: one step, once, and what was kept is read again."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness import mongod
from harness.servers import redis
from regiment import Queue
from regiment.broker import extras
from regiment.contracts import EFFECTS, Keep
from regiment.hooks import hookimpl

STORES = ("memory", "sqlite", "redis", "mongo")
numbers = itertools.count()


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        yield {
            "memory": "memory:push-effects",
            "sqlite": f"sqlite:///{tmp_path_factory.mktemp('effects')}/queue.db",
            "redis": stack.enter_context(redis()).url,
            "mongo": mongod.with_database(stack.enter_context(mongod.address()), "effects"),
        }


class Tracking:
    """Keeps a record for each task that is pushed, and tags it."""

    understands = frozenset({"tracking"})

    @hookimpl
    def regiment_push(self, push: Any) -> None:
        push.tags["tracking"] = {"many": len(push.tasks)}
        push.effects += [Keep(f"{push.id or task.id}~", b"%d" % len(push.tasks), 600.0) for task in push.tasks]


def note(n: int = 0) -> None:
    """A task."""


@pytest.fixture(params=STORES)
def queue(request: pytest.FixtureRequest, urls: dict[str, str]) -> Queue:
    made = Queue(f"q{next(numbers)}", plugins=[Tracking()], connector=urls[request.param])
    made.task(note)
    with made.broker.connector() as connector:
        if EFFECTS not in extras(connector):
            pytest.skip(f"{request.param} does not keep effects")
    return made


def kept(queue: Queue, *ids: str) -> list[bytes | None]:
    with queue.broker.connector() as connector:
        found: Any = connector.records(queue.name, [f"{id}~" for id in ids])  # type: ignore[attr-defined]
    return [None if one is None else one.value for one in found]


def waiting(queue: Queue) -> list[Any]:
    with queue.broker.connector() as connector:
        peeked = connector.peek(queue.name, "ready", 5_000)
    return [queue.broker.codec.decode(one.payload, queue.name) for one in peeked]


def test_a_task_comes_with_its_effects_and_tags_and_an_id_that_was_known_does_not_come_again(queue: Queue) -> None:
    first, second = (queue.tasks["note"].options(id="mine").push(n=n) for n in range(2))
    assert (first.existed, second.existed) == (False, True)
    (task,) = waiting(queue)
    assert (task.id, task.kwargs, task.tags) == ("mine", {"n": 0}, {"tracking": {"many": 1}})
    assert kept(queue, "mine", "other") == [b"1", None]


def test_a_bulk_push_comes_with_the_effects_of_all_its_tasks(queue: Queue) -> None:
    assert queue.tasks["note"].push_many({"n": n} for n in range(1_200)) == 1_200
    tasks = waiting(queue)
    assert len(tasks) == 1_200
    assert sorted(kept(queue, *(task.id for task in tasks)), key=str) == [b"1000"] * 1_000 + [b"200"] * 200


def test_an_unsent_push_is_applied_as_the_effects_that_it_is(queue: Queue) -> None:
    pushed, broker, effects = queue.tasks["note"].options(id="later").unsent({"n": 1})
    assert waiting(queue) == []
    with broker.connector() as connector:
        for _ in range(2):
            connector.apply(queue.name, effects, token="t")  # type: ignore[attr-defined]
    assert [task.id for task in waiting(queue)] == [pushed.id] and kept(queue, "later") == [b"1"]


def test_a_kept_value_is_read_by_its_key(queue: Queue) -> None:
    data = queue.broker.codec.pack([1, {"rows": 3}], (queue.name, "u:total"))
    with queue.broker.connector() as connector:
        connector.apply(queue.name, [Keep("u:total", data, 60.0)], token="t")  # type: ignore[attr-defined]
    assert queue.kept("total") == [1, {"rows": 3}] and queue.kept("other") is None
