"""Each option of a call that Celery documents does what `docs/celery.md` says of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from regiment.errors import ArgumentsError
from regiment_celery import Celery, Ignored, Refused, options, signature
from regiment_celery.options import CALL, IGNORED, MAPPED, REFUSED, SUPPORTED
from regiment_testing import capture

app = Celery("calls", broker="memory://", backend="rpc://", set_as_current=False)
seen: list[Any] = []


@app.task
def add(x: int, y: int = 1) -> int:
    return x + y


@app.task
def keep(*given: Any) -> None:
    seen.append(given)


@app.task
def fail() -> None:
    raise KeyError("broken")


@app.task
def blamed(request: Any, exc: Any, traceback: Any) -> None:
    seen.append((request.id, request.task, exc, traceback))


@app.task
def told(id: str) -> None:
    seen.append(id)


@pytest.fixture(autouse=True)
def nothing_seen() -> Iterator[None]:
    seen.clear()
    yield


def pushed(**how: Any) -> Any:
    """What a call with these options pushes."""
    with capture(app) as queue:
        add.apply_async((1,), **how)
        return queue.pushed[0]


def args() -> None:
    with capture(app) as queue:
        add.apply_async((1, 2))
        app.send_task("nobody.knows", args=[1, 2], kwargs={"z": 3})
        assert [one.kwargs for one in queue.pushed] == [{"x": 1, "y": 2}, {"*": [1, 2], "z": 3}]
    with pytest.raises(Refused, match=r"args is 5; expected a list or tuple of arguments: args=\[…\]"):
        add.apply_async(5)


def kwargs() -> None:
    with capture(app) as queue:
        add.apply_async((1,), {"y": 5})
        assert queue.pushed[0].kwargs == {"x": 1, "y": 5}
    with pytest.raises(ArgumentsError, match="unexpected keyword argument 'z'"):
        add.apply_async((1,), {"z": 5})
    with pytest.raises(Refused, match="kwargs is 7; expected a mapping of names to values"):
        add.apply_async((1,), 7)


def countdown() -> None:
    with capture(app) as queue:
        result = add.apply_async((1,), countdown=30)
        queue.advance(29)
        assert not result.ready()
        queue.advance(2)
        assert result.get() == 2


def eta() -> None:
    assert app.way("add", {"eta": datetime(2030, 1, 1)})["at"] == datetime(2030, 1, 1, tzinfo=UTC)
    aware = datetime.now(UTC) + timedelta(hours=1)
    assert app.way("add", {"eta": aware})["at"] == aware
    with pytest.raises(Refused, match="countdown and eta were both given"):
        pushed(countdown=1, eta=aware)


def expires() -> None:
    with capture(app) as queue:
        result = add.apply_async((1,), countdown=10, expires=5)
        queue.drain()
        assert result.state == "REVOKED"
    assert app.way("add", {"expires": datetime(2030, 1, 1)})["expires"].tzinfo is not None


def queue() -> None:
    assert pushed(queue="other").queue == "other"


def link() -> None:
    with capture(app) as queue:
        add.apply_async((1, 2), link=[keep.s("more"), keep.si("alone")])
        assert len(queue.pushed) == 1
        queue.drain()
    assert seen == [(3, "more"), ("alone",)]
    with pytest.raises(Refused, match=r"link got <function .*; expected a signature of a task"):
        add.apply_async((1,), link=print_nothing)


def print_nothing() -> None: ...


def link_error() -> None:
    with capture(app) as queue:
        result = fail.apply_async(link_error=[blamed.s(), told.s()])
        add.apply_async((1,), link_error=told.s())
        queue.drain()
        assert result.state == "FAILURE"
    (id, name, error, traceback), alone = seen
    assert (id, name, alone) == (result.id, fail.name, result.id)
    assert isinstance(error, KeyError) and "broken" in str(error) and "KeyError" in traceback


def headers() -> None:
    with capture(app) as queue:
        add.apply_async((1,), headers={"tenant": 7})
        assert queue.pushed[0].task.headers == {"tenant": "7"}


def ignore_result() -> None:
    from regiment_results import ResultsOff

    with capture(app), pytest.raises(ResultsOff, match="it was pushed without one"):
        add.apply_async((1,), ignore_result=True).get(timeout=1)


def task_id() -> None:
    with capture(app) as queue:
        first, second = add.apply_async((1,), task_id="mine"), add.apply_async((1,), task_id="mine")
        assert first.id == second.id == "mine" and len(queue.pushed) == 1


def priority() -> None:
    assert [app.way("add", {"priority": one})["priority"] for one in (9, 5, 0)] == ["HIGH", "NORMAL", "LOW"]


PROOFS: dict[str, Callable[[], None]] = {
    one.__name__: one
    for one in (
        args,
        kwargs,
        countdown,
        eta,
        expires,
        queue,
        link,
        link_error,
        headers,
        ignore_result,
        task_id,
        priority,
    )
}


def of(*verdicts: str) -> list[str]:
    return [name for name, one in CALL.items() if one.verdict in verdicts]


def test_each_option_that_can_be_had_has_a_proof() -> None:
    assert sorted(PROOFS) == sorted(of(SUPPORTED, MAPPED))


@pytest.mark.parametrize("option", PROOFS)
def test_a_call_option_does_what_the_page_says(option: str) -> None:
    PROOFS[option]()


@pytest.mark.parametrize("option", of(IGNORED))
def test_a_call_option_that_is_not_needed_is_said_once(option: str) -> None:
    options._told.clear()
    with pytest.warns(Ignored, match=f"^{option} has no effect here: "):
        pushed(**{option: True})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pushed(**{option: True})


@pytest.mark.parametrize("option", of(REFUSED))
def test_a_call_option_that_cannot_be_had_is_refused_in_words_and_nothing_is_pushed(option: str) -> None:
    with capture(app) as queue:
        with pytest.raises(Refused) as caught:
            add.apply_async((1,), **{option: "x"})
        assert queue.pushed == []
    assert str(caught.value) == f"{add.name}.apply_async: {option}='x' cannot be had here; {CALL[option].says}"
    with pytest.raises(Refused, match=f"a signature of .*: {option}='x' cannot be had here"):
        add.s(1).set(**{option: "x"})


def test_a_call_option_that_nobody_knows_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(Refused, match=r'has no option "count_down". Did you mean "countdown"?'):
        pushed(count_down=1)


# What runs


def test_a_task_that_retries_itself_ends_with_its_own_exception() -> None:
    @app.task(bind=True, max_retries=2, default_retry_delay=1, name="hopeless")
    def hopeless(self: Any) -> None:
        seen.append(self.request.retries)
        raise self.retry(exc=OSError("never"))

    with capture(app) as queue:
        result = hopeless.delay()
        queue.drain()
        assert seen == [0, 1, 2] and result.state == "FAILURE"
        with pytest.raises(OSError, match="never"):
            result.get()
        assert isinstance(result.result, OSError) and "never" in str(result.traceback)


def test_a_retry_may_have_other_arguments_and_keeps_its_links() -> None:
    @app.task(bind=True, name="other-arguments")
    def changing(self: Any, n: int) -> int:
        if n < 3:
            raise self.retry(args=(n + 1,), countdown=0)
        return n

    with capture(app) as queue:
        changing.apply_async((1,), link=keep.s())
        queue.drain()
    assert seen == [(3,)]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"throw": False}, r"self.retry\(throw=False\) cannot be had here; a retry ends the run"),
        ({"queue": "x"}, r"self.retry\(queue\) cannot be had here"),
        ({"max_retries": 9}, r"self.retry\(max_retries=9\) is more than the task has \(3\)"),
    ],
)
def test_a_retry_that_cannot_be_had_is_refused_in_words(how: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        add.retry(**how)


def test_ignore_and_reject_end_a_task_as_in_celery() -> None:
    from regiment_celery.exceptions import Ignore, Reject

    @app.task(name="ends")
    def ends(how: str) -> None:
        raise {"ignore": Ignore(), "reject": Reject("no good")}[how]

    with capture(app) as queue:
        ignored, rejected = ends.delay("ignore"), ends.delay("reject")
        queue.drain()
        assert ignored.get() is None and rejected.failed()
        assert "no good" in queue.dead[0].error


def test_apply_runs_here_with_retries_and_answers_at_once() -> None:
    @app.task(bind=True, max_retries=1, autoretry_for=(ValueError,), name="eager")
    def eager(self: Any) -> tuple[int, bool]:
        if not self.request.retries:
            raise ValueError
        return self.request.retries, self.request.is_eager

    assert eager.apply().get() == (1, True)
    assert add.s(1).apply((2,)).get() == 3
    failed = fail.apply()
    assert failed.failed() and isinstance(failed.result, KeyError)
    with pytest.raises(KeyError):
        failed.get()


def test_always_eager_pushes_nothing() -> None:
    eager = Celery(
        "eager", broker="memory://", task_always_eager=True, task_eager_propagates=True, set_as_current=False
    )
    double = eager.task(lambda_like)
    with capture(app) as queue:
        assert double.delay(4).get() == 8 and queue.pushed == []
        with pytest.raises(TypeError):
            double.delay(None)


def lambda_like(n: int) -> int:
    return n * 2


def test_a_signature_goes_through_plain_data() -> None:
    data = add.s(2).set(countdown=5).to_dict()
    again = signature(data)
    assert (again.task, again.args, again.options) == (add.name, (2,), {"countdown": 5})
    with pytest.raises(Refused, match="a chain, group or chord as plain data cannot be had here"):
        signature({"task": "celery.chain", "subtask_type": "chain"})


def test_a_wrong_call_in_a_chain_fails_where_it_is_started() -> None:
    with capture(app), pytest.raises(ArgumentsError, match="too many positional arguments"):
        (add.s(1) | add.s(2, 3)).delay()
    with pytest.raises(Refused, match="has a task_id, and is a part of a flow"):
        (add.s(1) | add.s(2).set(task_id="x")).delay()
    with pytest.raises(Refused, match=r"group got 3; expected signatures"):
        from regiment_celery import group

        group(3, 4)
    with pytest.raises(Refused, match=r"\.chunks\(…\) cannot be had here; write group"):
        add.chunks([(1, 2)], 10)


def test_update_state_is_seen_until_the_task_has_ended_and_cannot_say_how_it_ends() -> None:
    @app.task(bind=True, name="says")
    def says(self: Any, state: str) -> str:
        self.update_state(state=state, meta={"done": 3})
        result = app.AsyncResult(self.request.id)
        seen.append((result.state, result.info))
        return "ended"

    with capture(app) as queue:
        good, bad = says.delay("PROGRESS"), says.delay("SUCCESS")
        queue.drain()
        assert seen == [("PROGRESS", {"done": 3})]
        assert (good.state, good.info) == ("SUCCESS", "ended")
        assert bad.failed() and "how a task has ended is said by its end" in str(bad.result)


def test_an_errback_gets_the_name_of_an_exception_whose_class_is_not_loaded_here() -> None:
    from regiment_celery.exceptions import CeleryError
    from regiment_celery.values import Failure

    _, error, _ = blamed._blamed(Failure("1", "far", "elsewhere.Broken", "in two", ""))
    assert isinstance(error, CeleryError) and str(error) == "elsewhere.Broken: in two"
    _, error, _ = blamed._blamed(Failure("1", "far", "os.system", "true", ""))
    assert isinstance(error, CeleryError)  # nothing but an exception is made of a name
