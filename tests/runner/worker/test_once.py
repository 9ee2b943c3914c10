"""`current().once(…)` as a task meets it: what is new, what is found, and what is refused in words."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from regiment import Backoff, Queue, current
from regiment.contracts import Capabilities
from regiment.errors import TaskTimeout
from regiment_runner import Unknown
from regiment_testing import Capture, capture
from regiment_testing.heap import Port

work = Queue("once", max_retries=2, backoff=Backoff(0))
beside = Queue("once-beside", max_retries=2, backoff=Backoff(0), executor="asyncio")
rarely = Queue("once-rarely", delivery="at_most_once")
runs: list[Any] = []
steps: list[Any] = []


@work.task
def run(step: str) -> None:
    runs.append(step)
    STEPS[step]()


@beside.task
async def arun(fails: int) -> None:
    async with current().once("charge", mode="most") as effect:
        if effect.new:
            await asyncio.sleep(0)
            effect.value = [len(runs)]
    runs.append((effect.new, effect.value))
    with current().once("mail") as effect:
        steps.append(effect.new)
    if len(runs) <= fails:
        raise OSError("again")


@rarely.task
def seldom() -> None:
    current().once("charge")


def charged(mode: Any = "least", error: BaseException | None = None, value: Any = 8, **more: Any) -> None:
    with current().once("charge", 7, mode=mode, **more) as effect:
        if effect.new:
            steps.append(effect.id)
            if value is not None:
                effect.value = value
            if error is not None and len(runs) == 1:
                raise error
    runs.append((effect.new, effect.value))
    if len(runs) <= 2:
        raise OSError("again")


def two_effects() -> None:
    for word in (7, "7", UUID(int=7)):
        with current().once("charge", word) as effect:
            steps.append((effect.new, effect.id))
    with current().once("charge", 7) as effect:
        steps.append((effect.new, effect.id))


def nested() -> None:
    with current().once("a"), current().once("a"):
        pass


def late() -> None:
    with current().once("a") as effect:
        pass
    effect.value = 1


def found() -> None:
    for _ in range(2):
        with current().once("a") as effect:
            effect.value = 1


def shared(error: BaseException | None = None, **more: Any) -> None:
    with current().once("welcome", "ada", scope="queue", **more) as effect:
        if effect.new:
            steps.append(effect.id)
            if error is not None and len(runs) == 1:
                raise error
            effect.value = 8
    runs.append((effect.new, effect.value))


def meets_another() -> None:
    """While this task is at it, another one begins."""
    if current().task.tags is None and len(runs) == 1:
        with current().once("welcome", "ada", scope="queue") as effect:
            [other] = [one for one in captured[0].waiting if one.kwargs["step"] == "meets"]
            outcomes.append(captured[0].run(other).kind)
            effect.value = 8
        return
    shared()


def outlives(seconds: float) -> None:
    """Its effect takes longer than it is kept."""
    with current().once("welcome", "ada", scope="queue", keep=0.5) as effect:
        if effect.new:
            steps.append(effect.id)
            captured[0]._heap.now += seconds
            effect.value = 8


captured: list[Capture] = []
outcomes: list[str] = []

STEPS: dict[str, Any] = {
    "shared": shared,
    "shared fails": lambda: shared(error=OSError("gateway")),
    "meets": meets_another,
    "outlives": lambda: outlives(1.0),
    "outlives its hour": lambda: outlives(5000.0),
    "a wrong scope": lambda: current().once("a", scope="world"),  # type: ignore[arg-type]
    "shared, most": lambda: current().once("a", scope="queue", mode="most"),
    "kept for no time": lambda: current().once("a", scope="queue", keep=0),
    "charged": charged,
    "most": lambda: charged("most"),
    "fails": lambda: charged(error=OSError("gateway"), value=None),
    "struck": lambda: charged(error=TaskTimeout("late")),
    "unknown": lambda: charged("most", error=OSError("gateway")),
    "asks": lambda: charged("most", error=OSError("gateway"), ask=lambda: 9),
    "asks in vain": lambda: charged("most", error=OSError("gateway"), ask=lambda: None),
    "two effects": two_effects,
    "nested": nested,
    "late": late,
    "found": found,
    "no word": lambda: current().once(),
    "a wrong word": lambda: current().once(1.5),
    "a wrong mode": lambda: current().once("a", mode="twice"),  # type: ignore[arg-type]
    "a question too many": lambda: current().once("a", ask=lambda: 1),
    "no data": lambda: charged(value=object()),
}


@pytest.fixture(autouse=True)
def empty() -> None:
    runs.clear()
    steps.clear()


def ran(step: str) -> Capture:
    with capture(work) as queue:
        work.options(name="run").push(step=step)
        queue.drain()
    return queue


def refused(step: str) -> str:
    [dead] = ran(step).dead
    return dead.error


@pytest.mark.parametrize("mode", ["charged", "most"])
def test_a_retry_finds_what_the_run_before_has_done(mode: str) -> None:
    ran(mode).assert_none_dead()
    assert len(steps) == 1 and len(steps[0]) == 64
    assert runs == [mode, (True, 8), mode, (False, 8)]


def test_a_block_that_fails_is_done_again_under_the_same_id() -> None:
    ran("fails").assert_none_dead()
    assert len(steps) == 2 and steps[0] == steps[1]


def test_a_strike_behind_the_value_leaves_the_entry() -> None:
    ran("struck").assert_none_dead()
    assert len(steps) == 1 and (False, 8) in runs


def test_other_words_are_other_effects() -> None:
    ran("two effects").assert_none_dead()
    first, text, uuid, again = steps
    assert [new for new, _ in steps] == [True, True, True, False]
    assert len({first[1], text[1], uuid[1]}) == 3 and again[1] == first[1]


def test_what_was_begun_and_not_done_is_unknown_and_a_dead_letter() -> None:
    [dead] = ran("unknown").dead
    assert len(steps) == 1, "it was done once, and never again"
    assert dead.reason["error_type"] == Unknown.__name__ and dead.kind == "fail"
    assert dead.error.startswith("once('charge', 7) was begun by an earlier run") and steps[0] in dead.error


def test_who_can_ask_goes_on_with_the_answer() -> None:
    ran("asks").assert_none_dead()
    assert len(steps) == 1 and runs[-1] == (False, 9)


def test_an_answer_of_none_means_that_it_was_not_done() -> None:
    ran("asks in vain").assert_none_dead()
    assert len(steps) == 2 and steps[0] == steps[1]


def test_coroutines_wait_beside_the_loop() -> None:
    with capture(beside) as queue:
        beside.options(name="arun").push(fails=1)
        queue.drain()
    queue.assert_none_dead()
    assert runs == [(True, [0]), (False, [0])] and steps == [True, False]


def test_a_second_run_of_a_test_finds_what_the_first_has_entered() -> None:
    runs.extend([0, 0])
    with capture(work, twice=True) as queue:
        work.options(name="run").push(step="charged")
        queue.drain()
    queue.assert_none_dead()
    assert len(steps) == 1 and runs[-1] == (False, 8)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("nested", "once('a') was begun inside of itself, or twice at a time"),
        ("late", "was set outside of its block"),
        ("found", "was set where it was done before"),
        ("no word", "the words of once are (); expected one or more str, int or UUID"),
        ("a wrong word", "the words of once are (1.5,)"),
        ("a wrong mode", 'the mode of once is \'twice\'; expected "least" or "most"'),
        ("a question too many", 'in the mode "least"; expected a plain function without arguments, in the mode "most"'),
        ("no data", "object"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(step: str, words: str) -> None:
    assert words in refused(step)


def test_a_queue_that_delivers_at_most_once_is_refused() -> None:
    with capture(rarely) as queue:
        rarely.options(name="seldom").push()
        queue.drain()
    assert "no run comes after a crash" in queue.dead[0].error


def test_a_store_without_the_extra_is_refused_with_those_that_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Port, "capabilities", Capabilities(extras=frozenset({"effects", "flow"})))
    error = refused("charged")
    assert 'does not keep "ledger", which current().once needs' in error and "memory" in error


def two(step: str, cut: bool = False) -> Capture:
    with capture(work, cut=cut) as queue:
        captured[:] = [queue]
        for _ in range(2):
            work.options(name="run").push(step=step)
        queue.drain()
        queue.assert_none_dead()
    return queue


def test_of_two_tasks_of_a_queue_one_does_an_effect_of_the_queue_and_the_other_finds_it() -> None:
    two("shared")
    assert len(steps) == 1 and runs == ["shared", (True, 8), "shared", (False, 8)]


def test_an_effect_of_the_queue_that_fails_is_anybodys_again_under_the_same_id() -> None:
    two("shared fails")
    assert len(steps) == 2 and steps[0] == steps[1]


def test_an_effect_of_the_queue_is_done_again_by_the_task_that_was_killed_at_it_and_by_no_other() -> None:
    two("shared", cut=True)
    assert len(steps) == 1 and runs[-1] == (False, 8), (
        "a run that was killed at its claim leaves it to the next run of its task"
    )


def test_a_task_that_finds_another_one_at_an_effect_of_the_queue_comes_again() -> None:
    outcomes.clear()
    two("meets")
    assert outcomes == ["requeue"] and runs[-1] == (False, 8)


def test_an_effect_of_the_queue_is_forgotten_when_its_time_is_over() -> None:
    with capture(work) as queue:
        for delay in (0, 86_000, 90_000):
            work.options(name="run", delay=delay).push(step="shared")
        queue.drain()
        queue.assert_none_dead()
    assert [new for new, _ in (one for one in runs if isinstance(one, tuple))] == [True, False, True]


@pytest.mark.parametrize("step", ["outlives", "outlives its hour"])
def test_an_effect_of_the_queue_that_takes_longer_than_it_is_kept_is_entered_all_the_same(step: str) -> None:
    two(step)
    assert len(steps) == 1


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (
            "a wrong scope",
            "once got scope='world', mode='least' and ask=None; expected the scope \"task\", or \"queue\"",
        ),
        ("shared, most", "once got scope='queue', mode='most' and"),
        ("kept for no time", "once got keep=0; expected"),
    ],
)
def test_an_effect_of_the_queue_that_makes_no_sense_is_refused_in_words(step: str, text: str) -> None:
    assert refused(step).startswith(text)
