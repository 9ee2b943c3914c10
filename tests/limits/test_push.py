"""Pushes with tickets on real stores: what they answer, what they refuse, what else comes with them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from regiment import Queue
from regiment.contracts import FLOW, Flowing, Send, Terms
from regiment.errors import QueueFull
from regiment_limits import Lane, Limits, Pool
from regiment_limits.budgets import rules_of
from regiment_limits.stores import flowing
from regiment_results import Results

_names = itertools.count()


def work(name: str, number: int = 0) -> int:
    return number


class Bench:
    """A queue with limits on a store, their rules written as a worker would, and a consumer."""

    def __init__(self, url: str, *plugins: Any, **options: Any) -> None:
        self.queue = Queue(f"push-{next(_names)}", connector=url, plugins=[*plugins])
        self.task = self.queue.task(**options)(work)
        self.store: Any = flowing(self.queue.broker.open("lease"), "this test needs")
        for plugin in plugins:
            for pool, rule in rules_of(plugin.options if plugin.name == "limits" else {}).items():
                self.store.rule(self.queue.name, (pool, ""), rule)
        self._turn = itertools.count(1)
        self._receipts = itertools.count(1)
        self.held: list[int] = []
        self.store.join(self.queue.name, "c", Terms(slots=100))

    def lease(self, limit: int = 100, settled: Any = ()) -> list[str]:
        """The names of what may go now."""
        base = max([*self.held, 0]) + 1
        taken = self.store.exchange(self.queue.name, "c", next(self._turn), base, settled, limit, 1 << 20)
        self.held += [one.receipt for one in taken.deliveries]
        decode = self.queue.broker.codec.decode
        return [decode(one.payload, self.queue.name).kwargs["name"] for one in taken.deliveries]

    def close(self) -> None:
        self.store.close()
        self.queue.broker.close()


@pytest.fixture
def bench(url: str) -> Iterator[Any]:
    made: list[Bench] = []

    def build(*plugins: Any, **options: Any) -> Bench:
        made.append(Bench(url, *plugins, **options))
        return made[-1]

    yield build
    for one in made:
        one.close()


def test_a_push_says_whether_it_is_new_and_which_task_will_run(bench: Any) -> None:
    place = bench(Limits(), unique="{name}")
    first, second = place.task.push("a"), place.task.push("a")
    assert (first.new, first.did, first.state) == (True, "new", "ready")
    assert (second.new, second.did, second.state, second.id, second.existed) == (False, "kept", "ready", first.id, True)
    assert place.task.push_many([{"name": "a"}, {"name": "b"}, {"name": "b"}]) == 1
    assert sorted(place.lease()) == ["a", "b"]
    assert place.task.push("a").state == "leased"
    assert place.task.options(delay=60).push("c").state == "delayed"


def test_a_waiting_holder_is_replaced_and_a_running_one_has_one_successor(bench: Any) -> None:
    place = bench(Limits(), unique="{name}", clash="replace")
    first = place.task.push("a", 1)
    second = place.task.push("a", 2)
    assert (second.did, second.holder, second.new) == ("replaced", first.id, False) and second.id != first.id
    assert place.lease() == ["a"]
    third, fourth = place.task.push("a", 3), place.task.push("a", 4)
    assert third.new and fourth.did == "replaced" and fourth.holder == third.id
    assert place.queue.broker.open("look").counts(place.queue.name).ready == 1


def test_a_pool_and_its_lanes_let_only_so_many_go(bench: Any) -> None:
    place = bench(Limits(pools={"crm": Pool(at_once=3, lane=Lane(at_once=2))}), pool="crm", lane="{name}")
    place.task.push_many([{"name": name} for name in "aaaabbbb"])
    assert sorted(place.lease()) in (["a", "a", "b"], ["a", "b", "b"])
    assert place.lease() == []


def test_lanes_of_no_pool_have_what_the_queue_says_of_them(bench: Any) -> None:
    place = bench(Limits(lane=Lane(at_once=1)), lane="{name}")
    place.task.push_many([{"name": name} for name in "aaabbb"])
    assert sorted(place.lease()) == ["a", "b"]


def test_too_many_that_wait_are_refused_with_the_budget_and_its_limit(bench: Any) -> None:
    place = bench(Limits(waiting=3, pools={"crm": Pool(waiting=1)}))
    place.task.options(pool="crm").push("a")
    with pytest.raises(QueueFull, match=r"pool 'crm' of queue .* may have 1 tasks waiting; 1 wait there"):
        place.task.options(pool="crm").push("b")
    assert place.task.push_many([{"name": "c"}, {"name": "d"}]) == 2
    with pytest.raises(QueueFull, match="may have 3 tasks waiting"):
        place.task.push("e")


def test_what_results_keep_of_a_push_comes_with_a_task_that_was_taken_and_not_with_one_that_was_left_out(
    bench: Any,
) -> None:
    place = bench(Results(), Limits(waiting=2), unique="{name}")
    first, second = place.task.push("a"), place.task.push("a")
    assert first.new and first.state() == "waiting"
    assert not second.new and second.id == first.id and second.state() == "waiting"
    place.task.push("b")
    with pytest.raises(QueueFull):
        place.task.push("c")


@pytest.mark.parametrize("first", [True, False])
def test_the_order_of_plugins_does_not_matter(bench: Any, first: bool) -> None:
    plugins = [Limits(), Results()]
    place = bench(*(plugins if first else reversed(plugins)), unique="{name}")
    one, other = place.task.push("a"), place.task.push("a")
    assert one.new and not other.new and other.id == one.id and hasattr(other, "result")


def test_what_is_unsent_has_its_tickets(bench: Any) -> None:
    place = bench(Limits(), lane="{name}", unique="{name}")
    _, _, effects = place.task.options().unsent({"name": "a"})
    (send,) = [effect for effect in effects if isinstance(effect, Send)]
    assert [(one.lane, one.unique) for one in send.tickets or ()] == [("a", "a")]
    place.store.apply(place.queue.name, effects, token="t1")
    assert not place.task.push("a").new


def test_an_answer_that_is_lost_is_repeated_and_says_the_same(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from regiment.errors import StoreUnavailable

    place = bench(Limits(), unique="{name}")
    held = place.task.push("a")
    with place.queue.broker.connector() as connector:
        admit, lost = connector.admit, [True]

        def once(*args: Any, **how: Any) -> Any:
            met = admit(*args, **how)
            if lost.pop() if lost else False:
                raise StoreUnavailable("the answer is lost", maybe_pushed=True)
            return met

        monkeypatch.setattr(connector, "admit", once)
    again = place.task.push("a")
    assert not lost and again.id == held.id and again.did == "kept"
    lost.append(True)
    assert place.task.push("b").new


def test_a_queue_whose_tasks_say_nothing_sends_what_it_always_sent(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = bench(Limits())
    with place.queue.broker.connector() as connector:
        monkeypatch.setattr(connector, "admit", None)
    assert place.task.push("a").existed is False
    assert FLOW == "flow" and isinstance(place.store, Flowing)


def test_a_key_of_so_many_seconds_is_free_by_the_clock(bench: Any) -> None:
    place = bench(Limits(), unique="{name}", until=0.5)
    place.task.push("a")
    assert not place.task.push("a").new
    time.sleep(0.6)
    assert place.task.push("a").new


def test_an_answer_shows_what_became_of_the_push(store: str) -> None:
    bench = Bench(store, Limits(), unique="{name}")
    first = bench.task.push(name="a")
    again = bench.task.push(name="a")
    assert f"id={first.id!r}" in repr(first) and "new=True" in repr(first) and "did='new'" in repr(first)
    assert "new=False" in repr(again) and "did='kept'" in repr(again) and f"holder={first.id!r}" in repr(again)
