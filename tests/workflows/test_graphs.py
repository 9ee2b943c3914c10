"""Wrong graphs fail where they are written, in words; and any graph, in any order of events, ends as it must (in capture)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from harness.chance import tries
from regiment import ArgumentsError, Queue, Worker, WorkerConfig
from regiment_results import Results, handle
from regiment_results.errors import WouldBlock
from regiment_testing import capture
from regiment_workflows import (
    Failed,
    FlowCancelled,
    FlowFailed,
    FlowQueue,
    GraphError,
    Workflows,
    chain,
    flow,
    group,
    over,
    prev,
    run_of,
    s,
)

shop = FlowQueue("graphs")
other = FlowQueue("graphs.other")
plain = Queue("graphs.plain")
elsewhere = FlowQueue("graphs.elsewhere", connector="sqlite:///elsewhere.db")
pickled = FlowQueue("graphs.pickled", serializer="json", accept=["json"])

ran: list[Any] = []


@shop.task
def one(x: int) -> int:
    return x + 1


@shop.task
def two(x: int, y: int) -> int:
    return x + y


@shop.task
def none() -> int:
    return 1


@shop.task
def gathers(name: str, values: Sequence[Any], bad: bool = False) -> Any:
    ran.append((name, [value if not isinstance(value, Failed) else "failed" for value in values]))
    if bad:
        raise LookupError(name)
    return name


@other.task(name="gathers")
def gathers_there(name: str, values: Sequence[Any], bad: bool = False) -> Any:
    return gathers.function(name, values, bad)


@plain.task
def outside(x: int) -> int:
    return x


@elsewhere.task
def far(x: int) -> int:
    return x


@pickled.task
def strict(x: int) -> int:
    return x


class Klass(Worker):
    config = WorkerConfig(name="graphs.class", plugins=[Workflows()])

    def work(self, task: Any) -> Any:
        return task.kwargs["x"] * 2


def start(piece: Any) -> None:
    piece.start()


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda: one.s(z=1), 'has no argument "z"'),
        (lambda: one.s(1, x=2), "two values for 'x'"),
        (lambda: start(one.s()), "one needs x; got nothing"),
        (lambda: start(none.s() | two.s()), "two needs x, y, and only one of them can be"),
        (lambda: start(none.s() | two.s(x=prev)), "two needs y; got x"),
        (lambda: start(none.s() | one.s(x=1)), "has no parameter to go to"),
        (lambda: start(one.s(x=prev)), "nothing comes before it"),
        (lambda: one.s(x=1) | one, "what comes after"),
        (lambda: group(one.s(x=1), 3).start(), "a group has the member 3"),
        (lambda: group(3), "group got 3"),
        (lambda: chain(), "chain got nothing"),
        (lambda: start(group([])), "an empty group alone has no queue"),
        (lambda: start(s(outside, x=1)), "takes no part in flows"),
        (lambda: start(none.s() | far.s()), "lives in"),
        (lambda: start(none.s() | strict.s()), "cannot read what"),
        (lambda: one.s(x=1).options(id="x"), "the id of a step's task"),
        (lambda: one.s(x=1).options(on_error="ignore"), 'expected "fail", "continue" or "skip"'),
        (lambda: start(one.s(x=1).options(nonsense=1)), 'no push option "nonsense"'),
        (lambda: one.map([1], chunk=0), "chunk is 0"),
        (lambda: two.map([1]), "the items go to one parameter"),
        (lambda: over(one, 3), "expected items to go through"),
        (lambda: flow(deadline=-1), "deadline is -1"),
        (lambda: flow().start(), "the flow has no steps"),
        (lambda: one.s(x=1).start(id="a/b"), "id is 'a/b'"),
        (lambda: one.s(x=1).start(id=""), "id is ''"),
        (lambda: s(3), "a step was made of 3"),
        (lambda: s(shop), "a step was made of"),
        (lambda: prev["a"][1.5], "a part of a value"),
    ],
)
def test_what_cannot_be_is_refused_in_words(write: Any, words: str) -> None:
    with pytest.raises(ArgumentsError) as refused:
        write()
    assert words in str(refused.value)


def test_a_graph_with_names_is_refused_where_it_is_wrong() -> None:
    f = flow()
    first = f.add(one.s(x=1), name="first", after=["last"])
    with pytest.raises(GraphError, match='has a step "first" already'):
        f.add(one.s(x=2), name="first")
    with pytest.raises(GraphError, match="the name of a step"):
        f.add(one.s(x=2), name="a.b")
    f.add(one.s(x=first), name="last")
    with pytest.raises(GraphError, match="in a circle: first → last → first"):
        f.start()
    lost = flow()
    lost.add(one.s(x=1), after=["nowhere"])
    with pytest.raises(GraphError, match='"nowhere", which is none of: one'):
        lost.start()
    with pytest.raises(GraphError, match="belongs to another flow"):
        flow().add(one.s(x=first))
    with pytest.raises(TypeError, match="is not there yet"):
        list(first)
    with pytest.raises(GraphError, match="1,000 members"):
        (none.s() | group(one.s() for _ in range(1001))).start()


def test_worker_classes_and_steps_of_several_queues_take_part() -> None:
    with capture() as q:
        run = (none.s() | s(Klass, x=prev) | two.s(y=1)).start()
        q.drain()
        q.assert_none_dead()
        assert run.result() == 3 and run.home == "graphs"
        both = (
            group(gathers.s(name="a", values=[]), gathers_there.s(name="b", values=[])) | gathers.s(name="c")
        ).start()
        q.drain()
        assert both.result() == "c" and ran[-1] == ("c", ["a", "b"])


both_kept = FlowQueue("graphs.both", plugins=[Results(ttl=60), Workflows()])


@both_kept.task
def half(x: int) -> float:
    return x / 2


def test_beside_results_a_step_keeps_its_value_once_and_handles_read_it() -> None:
    with capture() as q:
        run = (half.s(x=8) | half.s()).start(id="both")
        q.drain()
        q.assert_none_dead()
        assert run.result() == 2.0
        assert handle(both_kept, "both.half").result(timeout=0) == 4.0
        assert handle(both_kept, "both.half-2").outcome().runs == 1  # type: ignore[union-attr]
        pushed: Any = half.push(x=3)
        q.drain()
        assert pushed.result(timeout=0) == 1.5


def test_in_capture_nothing_is_waited_for_and_gates_are_opened_by_the_test() -> None:
    with capture() as q:
        with flow("small") as f:
            ok = f.gate("ok", timeout=60)
            f.add(one.s(x=ok["n"]))
        run = f.start()
        q.drain()
        with pytest.raises(WouldBlock):
            run.result()
        assert run.open("ok", {"n": 41}) and run.state() == "running"
        q.drain()
        assert run.result() == 42
        with pytest.raises(ArgumentsError, match='has no gate "one"; its gates: ok'):
            run.open("one")
        cancelled = one.s(x=1).start()
        cancelled.cancel()
        assert q.drain() == 1
        with pytest.raises(FlowCancelled):
            cancelled.result()


def test_any_graph_in_any_order_ends_as_its_policies_say() -> None:
    """Random graphs on two queues; steps fail by chance; tasks run in any order, some of them twice as if they were revived."""
    tries(_any_graph, 150)


def _any_graph(chance: random.Random) -> None:
    ran.clear()
    policy = chance.choice(["fail", "continue", "skip"])
    number = chance.randint(1, 9)
    needs = [sorted(chance.sample(range(at), chance.randint(0, min(at, 3)))) for at in range(number)]
    bad = {at for at in range(number) if chance.random() < 0.2}
    with capture() as q:
        f, refs = flow(on_error=policy), list[Any]()
        for at in range(number):
            task = chance.choice([gathers, gathers_there])
            values: Any = [refs[need] for need in needs[at]]
            refs.append(f.add(task.s(name=str(at), values=values, bad=at in bad), name=f"n{at}"))
        run = f.start()
        again = list[Any]()
        while q.waiting:
            task = chance.choice(q.waiting)
            q.run(task)
            again.append(task.id)
        ended = [name for name, _ in ran]
        lost = {at for at in range(number) if at in bad}
        for at in range(number):  # who depends on it, does not run
            if policy != "continue" and any(need in lost for need in needs[at]):
                lost.add(at)
        expected = {at for at in range(number) if policy == "continue" or not any(need in lost for need in needs[at])}
        assert sorted(ended) == sorted(str(at) for at in expected), (policy, needs, bad)
        for name, values in ran:
            assert values == ["failed" if need in bad else str(need) for need in needs[int(name)]], (policy, needs, bad)
        before = {name: place for place, name in enumerate(ended)}
        assert all(before[str(need)] < before[name] for name in ended for need in needs[int(name)])
        if policy == "fail" and bad & expected:
            assert run.state() == "failed"
            with pytest.raises(FlowFailed):
                run.result()
        elif policy == "skip" and bad & expected:
            assert run.state() == "partly", (needs, bad)
        else:
            assert run.state() == "success", (policy, needs, bad)


@shop.task
def sum_of(x: int, y: int = 0) -> int:
    return x + y


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda run: run.result("5"), "timeout is '5'; expected seconds"),
        (lambda run: asyncio.run(run.aresult([5])), "expected seconds"),
        (lambda run: one.s(x=1).start(dedline=5), 'Did you mean "deadline"'),
        (lambda run: flow("n").add(one.s(x=1), after=5), "after got 5"),
        (lambda run: run_of(5, "x"), "expected a Queue or a Worker class"),
        (lambda run: sum_of.starmap([5]).start(), "starmap got the item 5"),
        (lambda run: sum_of.starmap(["ab"]).start(), "starmap got the item 'ab'"),
        (lambda run: sum_of.starmap([(1, 2, 3)]).start(), "takes 2 arguments by position, got 3"),
        (lambda run: sum_of.starmap([{"z": 1}]).start(), "needs x"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_in_words_where_it_is_written(write: Any, said: str) -> None:
    with capture():
        run = one.s(x=1).start()
        with pytest.raises(ArgumentsError) as refused:
            write(run)
        assert said in str(refused.value)
        assert sum_of.starmap([(1,), (1, 2), {"x": 1}], y=3) is not None
