"""What a plugin adds to a push: effects in the step that takes the tasks, and tags in their messages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from regiment import ArgumentsError, ConfigError, Queue, Use
from regiment.codec import read_head
from regiment.contracts import Keep, Send
from regiment.errors import EncodeError, StoreUnavailable
from regiment.hooks import hookimpl
from regiment.pushing import Pushing
from regiment_testing.faults import Faulty

numbers = itertools.count()


class Tracking:
    """Keeps a record "ID~" for each task that is pushed, with the number of the push as its value."""

    def __init__(self) -> None:
        self.pushes = 0

    @hookimpl
    def regiment_push(self, push: Any) -> None:
        self.pushes += 1
        push.effects += [Keep(f"{push.id or task.id}~", b"%d" % self.pushes, 60.0) for task in push.tasks]


class Tagging:
    def __init__(self, tags: Any) -> None:
        self.tags = tags

    @hookimpl
    def regiment_push(self, push: Any) -> None:
        push.tags = self.tags


def note(n: int = 0) -> None:
    """A task."""


def a_queue(*plugins: Any, **settings: Any) -> Queue:
    settings.setdefault("connector", f"memory:effects-{next(numbers)}")
    queue = Queue("q", plugins=list(plugins), **settings)
    queue.task(note)
    return queue


def kept(queue: Queue, *keys: str) -> list[bytes | None]:
    with queue.broker.connector() as connector:
        found = connector.records("q", keys)  # type: ignore[attr-defined]
    return [None if one is None else one.value for one in found]


def payloads(queue: Queue) -> list[bytes]:
    with queue.broker.connector() as connector:
        return [one.payload for state in ("ready", "delayed") for one in connector.peek("q", state, 5000)]


def test_effects_come_in_one_step_with_the_task() -> None:
    queue = a_queue(Tracking())
    pushed = queue.tasks["note"].push(n=1)
    assert pushed.existed is False and kept(queue, f"{pushed.id}~") == [b"1"]
    assert [read_head(one).task_id for one in payloads(queue)] == [pushed.id]


def test_effects_come_also_for_a_task_whose_id_was_known() -> None:
    queue = a_queue(Tracking())
    first, second = (queue.tasks["note"].options(id="mine").push() for _ in range(2))
    assert (first.existed, second.existed) == (False, True)
    assert len(payloads(queue)) == 1 and kept(queue, "mine~") == [b"2"]


def test_a_push_that_its_plugin_sends_with_does_not_count_as_left_out() -> None:
    """The indexes of an answer go over all that was sent to the queue in the step."""

    class Doubling:
        @hookimpl
        def regiment_push(self, push: Any) -> None:
            payload = push.broker.codec.encode(push.tasks[0])
            push.effects.append(Send("q", [payload], ids=["mine"]))

    queue = a_queue(Doubling())
    assert queue.tasks["note"].options(id="mine").push().existed is False
    assert queue.tasks["note"].options(id="other").push().existed is False
    assert len(payloads(queue)) == 2


def test_each_thousand_of_a_bulk_push_comes_with_its_effects() -> None:
    queue, tracking = a_queue(), Tracking()
    queue = a_queue(tracking)
    assert queue.tasks["note"].push_many({"n": n} for n in range(2_500)) == 2_500
    ids = [read_head(one).task_id for one in payloads(queue)]
    assert len(ids) == 2_500 and tracking.pushes == 3
    assert kept(queue, *(f"{id}~" for id in ids)) == [b"1"] * 1000 + [b"2"] * 1000 + [b"3"] * 500


def test_effects_of_a_push_of_several_steps_come_in_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    from regiment import broker

    monkeypatch.setattr(broker, "BULK_BYTES", 300)
    queue = a_queue(
        Tracking(), connector=Use("regiment_testing.faults:Faulty", wrapped="memory:in-parts"), push_timeout=0.05
    )
    with queue.broker.connector() as connector:
        connector.order("apply", "away", times=100)  # type: ignore[attr-defined]
    with pytest.raises(StoreUnavailable):
        queue.tasks["note"].push_many({"n": n} for n in range(20))
    ids = [read_head(one).task_id for one in payloads(queue)]
    assert 0 < len(ids) < 20 and set(kept(queue, *(f"{id}~" for id in ids))) == {None}


def test_a_lost_answer_is_met_by_the_same_call_and_nothing_comes_twice() -> None:
    queue = a_queue(Tracking(), connector=Use("regiment_testing.faults:Faulty", wrapped=f"memory:lost-{next(numbers)}"))
    with queue.broker.connector() as connector:
        faulty: Any = connector
        faulty.order("apply", "lost", times=2)
    pushed = queue.tasks["note"].options(id="mine").push()
    assert len(faulty.obeyed) == 2
    assert pushed.existed is False and len(payloads(queue)) == 1 and kept(queue, "mine~") == [b"1"]


def test_a_push_with_effects_that_gets_no_answer_says_that_it_may_have_arrived() -> None:
    queue = a_queue(
        Tracking(), connector=Use("regiment_testing.faults:Faulty", wrapped="memory:maybe"), push_timeout=0.01
    )
    with queue.broker.connector() as connector:
        faulty: Any = connector
        faulty.order("apply", "lost")
    with pytest.raises(StoreUnavailable) as caught:
        queue.tasks["note"].options(id="mine").push()
    assert caught.value.maybe_pushed and caught.value.id == "mine"


def test_a_store_without_effects_refuses_what_a_plugin_adds_and_pushes_nothing(tmp_path: Any) -> None:
    class Bare(Faulty):
        """A connector of the first contract."""

        def __init__(self) -> None:
            super().__init__("memory:bare")
            vars(self)["capabilities"] = self.capabilities._replace(extras=frozenset())

    queue = a_queue(Tracking(), connector="memory:bare")
    queue.broker.make = Bare
    with pytest.raises(
        ConfigError, match=r'Bare\) does not keep "effects", which what a plugin adds to this push needs'
    ):
        queue.tasks["note"].push()
    with pytest.raises(
        ConfigError, match=r'does not keep "effects", which kept\(…\) needs. Stores that keep it: .*memory'
    ):
        queue.kept("total")
    assert payloads(queue) == []


# Tags


def test_tags_of_a_push_are_in_its_messages_and_those_of_a_push_without_are_not() -> None:
    queue = a_queue(Tagging({"flows": {"to": ["a", 1]}}))
    queue.tasks["note"].push()
    queue.tasks["note"].push_many([{"n": 1}, {"n": 2}])
    tasks = [queue.broker.codec.decode(one, "q") for one in payloads(queue)]
    assert [task.tags for task in tasks] == [{"flows": {"to": ["a", 1]}}] * 3
    plain = a_queue(Tagging({}))
    plain.tasks["note"].push()
    (payload,) = payloads(plain)
    assert payload[1] == 1 and plain.broker.codec.decode(payload, "q").tags is None


@pytest.mark.parametrize("tags", [5, ["flows"], {1: "x"}, {"": "x"}])
def test_tags_that_no_message_can_hold_are_refused_with_the_name_of_the_plugin(tags: Any) -> None:
    with pytest.raises(
        ArgumentsError, match=r"the plugin Tagging has changed a push: tags is .*; expected a dict of plain"
    ):
        a_queue(Tagging(tags)).tasks["note"].push()
    with pytest.raises(EncodeError, match=r'^tags\["flows"\]: a value of type object'):
        a_queue(Tagging({"flows": object()})).tasks["note"].push()


# A push that is not sent


@pytest.fixture
def tracked() -> Iterator[Queue]:
    yield a_queue(Tracking(), Tagging({"flows": 1}))


def test_an_unsent_push_is_the_effects_that_make_it(tracked: Queue) -> None:
    pushing = tracked.tasks["note"].options(id="mine", priority="LOW", delay=5)
    pushed, broker, effects = pushing.unsent({"n": 7})
    assert payloads(tracked) == [] and broker is tracked.broker
    send, keep = effects
    assert isinstance(send, Send) and isinstance(keep, Keep) and keep.key == "mine~"
    assert send[2:] == (2, 5.0, None, ["mine"], 3600.0, None) and send.queue == pushed.queue == "q"
    task = broker.codec.decode(send.payloads[0], "q")
    assert (task.id, task.kwargs, task.tags) == (pushed.id, {"n": 7}, {"flows": 1})
    with broker.connector() as connector:
        connector.apply("q", effects, token="t")  # type: ignore[attr-defined]
    assert len(payloads(tracked)) == 1 and kept(tracked, "mine~") == [b"1"]


def test_a_plain_unsent_push_is_one_send() -> None:
    queue = a_queue()
    pushed, _, effects = queue.tasks["note"].unsent({"n": 7})
    assert isinstance(queue.tasks["note"], Pushing)
    assert effects == [Send("q", effects[0].payloads)]  # type: ignore[union-attr]
    assert queue.broker.codec.decode(effects[0].payloads[0], "q").id == pushed.id  # type: ignore[union-attr]


# Kept values


def test_what_was_kept_is_read_where_it_was_kept() -> None:
    from regiment import Worker, WorkerConfig

    queue = a_queue()
    data = queue.broker.codec.pack({"rows": 3}, ("q", "u:total"))
    with queue.broker.connector() as connector:
        connector.apply("q", [Keep("u:total", data, 60.0), Keep("other", data, 60.0)], token="t")  # type: ignore[attr-defined]
    assert queue.kept("total") == {"rows": 3}
    assert queue.kept("other") is None

    class Same(Worker):
        config = WorkerConfig(name="q", connector=queue.config.connector)

    assert Same.kept("total") == {"rows": 3}
