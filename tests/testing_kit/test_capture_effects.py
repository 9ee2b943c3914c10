"""`capture` with effects: what pushes and tasks leave behind is there, on the clock of the capture, as in a store."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from regiment import Fail, Queue, current
from regiment.contracts import Arrive, Drop, Join, Keep, Seal, Send, Shut, When
from regiment.hooks import hookimpl
from regiment_testing import Capture, capture


class Tracking:
    """Keeps a record for each task that is pushed."""

    understands = frozenset({"tracking"})

    @hookimpl
    def regiment_push(self, push: Any) -> None:
        push.tags["tracking"] = len(push.tasks)
        push.effects += [Keep(f"{push.id or task.id}~", b"waiting", 60.0) for task in push.tasks]


q = Queue("captured-effects", plugins=[Tracking()])
ran: list[Any] = []


@q.task
def step(n: int) -> None:
    ran.append(n)


def port(queue: Queue) -> Any:
    with queue.broker.connector() as connector:
        return connector


def value(key: str) -> bytes | None:
    (found,) = port(q).records(q.name, [key])
    return None if found is None else found.value


@pytest.fixture(autouse=True)
def captured() -> Any:
    ran.clear()
    with capture() as captured:
        yield captured


def payload(n: int) -> bytes:
    (send, *_) = step.unsent({"n": n})[2]
    assert isinstance(send, Send)
    return send.payloads[0]


def test_a_push_with_effects_is_captured_and_its_records_are_there(captured: Capture) -> None:
    pushed = step.push(n=1)
    again = step.options(id="mine").push(n=2), step.options(id="mine").push(n=3)
    assert [one.existed for one in (pushed, *again)] == [False, False, True]
    captured.assert_pushed(step, n=1)
    assert (value(f"{pushed.id}~"), value("mine~"), value("other~")) == (b"waiting", b"waiting", None)
    assert captured.pushed[0].task.tags == {"tracking": 1}
    assert captured.drain() == 2 and ran == [1, 2]


def test_records_go_when_the_clock_of_the_capture_says_so(captured: Capture) -> None:
    pushed = step.push(n=1)
    captured.advance(59)
    assert value(f"{pushed.id}~") == b"waiting"
    captured.advance(2)
    assert value(f"{pushed.id}~") is None


def test_kept_values_are_read_by_the_queue(captured: Capture) -> None:
    data = q.broker.codec.pack({"rows": 3}, (q.name, "u:total"))
    port(q).apply(q.name, [Keep("u:total", data, None)], token="t")
    assert q.kept("total") == {"rows": 3} and q.kept("other") is None


def test_a_join_pushes_what_follows_once_all_its_members_have_come(captured: Capture) -> None:
    store, name = port(q), q.name
    store.apply(name, [Arrive(name, "j", 1)], token="a")
    store.apply(name, [Join(name, "j", 2, [Send(name, [payload(7)]), Keep("done", b"x", 60.0)], 600.0)], token="b")
    assert not captured.pushed and store.tallies(name, ["j"])[0].missing == [0]
    for token in "cd":
        store.apply(name, [Arrive(name, "j", 0)], token=token)
    assert [one.kwargs for one in captured.pushed] == [{"n": 7}] and value("done") == b"x"
    assert captured.drain() == 1 and ran == [7] and store.tallies(name, ["j"])[0].complete


def test_an_open_join_waits_for_its_seal_and_one_that_is_shut_never_completes(captured: Capture) -> None:
    store, name = port(q), q.name
    then = [Send(name, [payload(1)])]
    store.apply(name, [Join(name, "open", None, then, 600.0), Arrive(name, "open", 0)], token="a")
    store.apply(name, [Shut(name, "shut"), Join(name, "shut", 0, then, 600.0)], token="b")
    assert not captured.pushed
    store.apply(name, [Seal(name, "open", 1)], token="c")
    assert len(captured.pushed) == 1
    tallies = store.tallies(name, ["open", "shut", "none"])
    assert tallies[0].complete and tallies[1].shut and tallies[2] is None


def test_ranks_conditions_tokens_and_lists_are_those_of_a_store(captured: Capture) -> None:
    store, name = port(q), q.name
    first = store.apply(
        name, [Keep("a", b"1", None, rank=1, listed=True), Keep("b", b"1", None, listed=True)], token="a"
    )
    assert store.apply(name, [Keep("a", b"2", None)], token="a") == first and first.version > 0
    lower = store.apply(name, [Keep("a", b"3", None)], token="b")
    assert lower.version == 0 and value("a") == b"1"
    refused = store.apply(name, [Drop(["a"])], token="c", when=[When("a", 0)])
    assert not refused.done and refused.found["a"].version == first.version
    assert store.apply(name, [Drop(["b"])], token="c", when=[When("a", first.version)]).done
    assert store.listed(name) == ["a"]


def test_who_follows_a_record_hears_of_it_once(captured: Capture) -> None:
    store, name = port(q), q.name
    assert store.follow({(name, "a"): 1}) == {}
    later = threading.Timer(
        0.05, lambda: store.apply(name, [Keep("a", b"0", None), Keep("a", b"1", None, rank=1)], token="a")
    )
    later.start()
    heard = {}
    while not heard:
        heard = store.heard(10.0)
    assert heard[name, "a"].value == b"1" and store.heard(0.0) == {}
    assert store.follow({(name, "a"): 1})[name, "a"].value == b"1"


# What tasks leave behind


class Results:
    """Keeps how each task has ended."""

    @hookimpl
    def regiment_effects(self, task: Any, task_id: str, outcome: Any, settles: str) -> list[Keep]:
        return [Keep(task_id, f"{settles} {outcome.kind}".encode(), 60.0)]


w = Queue("captured-ends", plugins=[Results()], max_retries=1)
z = Queue("captured-commits", max_retries=1)


@w.task
def ends(how: str) -> None:
    if how == "fails" and current().task.run_count == 0:
        raise ValueError("once")
    if how == "dies":
        raise Fail("for good")
    if how == "commits":
        current().commit.push(child.options(delay=5), n=1)
        current().commit.keep("total", {"rows": 3}, 60.0)


@z.task
def child(n: int, fail: bool = False) -> None:
    current().commit.keep(f"n-{n}", n, 60.0)
    current().commit.push(step, n=n)
    current().commit.push(child, n=n + 1) if n < 2 else None
    if fail:
        raise Fail("no")


def ended(task_id: str) -> bytes | None:
    (found,) = port(w).records(w.name, [task_id])
    return None if found is None else found.value


def test_every_end_of_a_captured_task_leaves_what_a_plugin_wants(captured: Capture) -> None:
    fails, dies, works = ends.push(how="fails"), ends.push(how="dies"), ends.push(how="works")
    late = ends.options(delay=5, expires=3).push(how="works")
    captured.run(fails)
    assert ended(fails.id) == b"again failure"
    captured.drain()
    assert [ended(one.id) for one in (fails, dies, works, late)] == [
        b"done success",
        b"dead failure",
        b"done success",
        b"done expired",
    ]


def test_what_a_task_commits_comes_with_its_success_and_was_pushed_by_it(captured: Capture) -> None:
    parent = ends.push(how="commits")
    assert w.kept("total") is None
    captured.run(parent)
    assert ended(parent.id) == b"done success" and w.kept("total") == {"rows": 3}
    (one,) = [one for one in captured.pushed if one.queue == z.name]
    assert one.delay == 5 and one.by is captured.pushed[0]
    captured.drain()
    assert (z.kept("n-1"), z.kept("n-2"), z.kept("n-3")) == (1, 2, None) and ran == [1, 2]
    assert [one.by.kwargs["n"] for one in captured.pushed if one.queue == q.name and one.by] == [1, 2]
    captured.advance(61)
    assert z.kept("n-1") is None


def test_what_a_task_that_fails_has_committed_never_comes(captured: Capture) -> None:
    child.push(n=1, fail=True)
    captured.drain()
    assert z.kept("n-1") is None and len(captured.pushed) == 1 and len(captured.dead) == 1
