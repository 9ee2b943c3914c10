"""Each option of a task that Celery documents does what `docs/celery.md` says of it; the page has one row for each."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regiment import Backoff, Timeouts, Use
from regiment.errors import ArgumentsError
from regiment_celery import Celery, Ignored, Refused, Task, options
from regiment_celery.options import CALL, IGNORED, MAPPED, REFUSED, SUPPORTED, TASK
from regiment_testing import capture

PAGE = Path(__file__).parents[2] / "docs/celery.md"


def rows(heading: str) -> dict[str, tuple[str, str]]:
    """Option -> verdict and sentence, of the table under a heading."""
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return {
        name: (verdict, says) for name, verdict, says in re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", section, re.M)
    }


@pytest.mark.parametrize(("heading", "table"), [("Options of tasks", TASK), ("Options of calls", CALL)])
def test_the_page_says_of_each_option_what_the_code_does(heading: str, table: dict[str, Any]) -> None:
    assert rows(heading) == {name: (one.verdict, one.says) for name, one in table.items()}


@pytest.fixture
def app() -> Celery:
    return Celery("t", broker="memory://", backend="rpc://", set_as_current=False)


def made(app: Celery, function: Any = None, **how: Any) -> Any:
    """A task with these options."""

    def plain() -> str:
        return "ran"

    return app.task(**{"name": "plain", **how})(function or plain)


def rules(app: Celery, name: str = "plain") -> Any:
    return app.config_of(name)


# What is supported or mapped


def name(app: Celery) -> None:
    assert made(app, name="mine").name == "mine" and app.work_of("mine") is not None
    assert app.task(made).name == f"{__name__}.made"


def bind(app: Celery) -> None:
    def bound(self: Any, x: int) -> Any:
        return self, x

    task = made(app, bound, bind=True)
    assert task(5) == (task, 5)
    with pytest.raises(ArgumentsError, match="missing a required argument: 'x'"):
        task.delay()


class Base(Task):
    max_retries = 7
    told: list[Any] = []

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        self.told.append((self.name, retval))


def base(app: Celery) -> None:
    with capture(app) as queue:
        made(app, base=Base, name="based").delay()
        queue.drain()
    assert Base.told.pop() == ("based", "ran") and rules(app, "based").max_retries == 7


def max_retries(app: Celery) -> None:
    made(app)
    assert rules(app).max_retries == 3
    made(app, name="endless", max_retries=None)
    assert rules(app, "endless").max_retries is None


def again(self: Any) -> int:
    if self.request.retries < 2:
        raise self.retry(exc=ValueError("not yet"))
    return int(self.request.retries)


def default_retry_delay(app: Celery) -> None:
    with capture(app) as queue:
        task = made(app, again, bind=True, default_retry_delay=7)
        result = task.delay()
        queue.drain()
        assert result.get() == 2 and queue.now == 14
    with capture(app) as queue:
        made(app, again, bind=True, name="slow").delay()
        queue.drain()
        assert queue.now == 360


def autoretry_for(app: Celery) -> None:
    made(app)
    assert rules(app).retry_on == ()
    made(app, name="some", autoretry_for=(OSError,))
    assert rules(app, "some").retry_on == (OSError,)


def dont_autoretry_for(app: Celery) -> None:
    made(app, autoretry_for=(OSError,), dont_autoretry_for=[FileNotFoundError])
    assert rules(app).dead_on == (FileNotFoundError,)


def retry_kwargs(app: Celery) -> None:
    made(app, autoretry_for=(OSError,), retry_kwargs={"max_retries": 5, "countdown": 2})
    assert rules(app).max_retries == 5 and rules(app).backoff == Backoff(2.0, 1.0, 2.0, False)
    with pytest.raises(Refused, match="retry_kwargs has eta; expected max_retries and countdown"):
        made(app, retry_kwargs={"eta": 1})


def retry_backoff(app: Celery) -> None:
    made(app, retry_backoff=True)
    assert rules(app).backoff == Backoff(1.0, 2.0, 600.0, True)
    made(app, name="five", retry_backoff=5)
    assert rules(app, "five").backoff.first == 5


def retry_backoff_max(app: Celery) -> None:
    made(app, retry_backoff=True, retry_backoff_max=60)
    assert rules(app).backoff.limit == 60


def retry_jitter(app: Celery) -> None:
    made(app, retry_backoff=True, retry_jitter=False)
    assert rules(app).backoff.jitter is False


def ignore_result(app: Celery) -> None:
    assert app.way("plain", {}).get("result") is None
    made(app, ignore_result=True)
    assert app.way("plain", {})["result"] is False


def expires(app: Celery) -> None:
    with capture(app) as queue:
        made(app, expires=30).apply_async(countdown=60)
        queue.advance(61)
        assert queue.waiting == [] and not queue.dead
    made(app, name="late", expires=30)
    assert app.way("late", {})["expires"] == 30 and app.way("late", {"expires": 5})["expires"] == 5


def queue(app: Celery) -> None:
    with capture(app) as captured:
        made(app, queue="other").delay()
        assert [one.queue for one in captured.pushed] == ["other"]
    assert list(app.others()) == ["other"]


def options_(app: Celery) -> None:
    made(app, options={"queue": "other", "max_retries": 1})
    assert rules(app).max_retries == 1 and list(app.others()) == ["other"]


def time_limit(app: Celery) -> None:
    made(app, time_limit=30)
    assert rules(app).timeouts == Timeouts(hard=30)


def soft_time_limit(app: Celery) -> None:
    made(app, time_limit=30, soft_time_limit=20)
    assert rules(app).timeouts == Timeouts(hard=30, soft=20)


def priority(app: Celery) -> None:
    made(app, priority=9)
    assert app.way("plain", {})["priority"] == "HIGH"
    on_redis = Celery("r", broker="redis://localhost:1/0", set_as_current=False)
    assert [on_redis.priority(number) for number in (0, 2, 3, 5, 6, 9)] == ["HIGH"] * 2 + ["NORMAL"] * 2 + ["LOW"] * 2
    with pytest.raises(Refused, match="priority is 'high'; expected a number from 0 to 9, or HIGH, NORMAL, LOW"):
        app.priority("high")


def typing(app: Celery) -> None:
    for value in (True, False):
        with pytest.raises(ArgumentsError, match="too many positional arguments"):
            made(app, typing=value).delay(1)


def rate_limit(app: Celery) -> None:
    made(app, rate_limit="10/m", queue="slow")
    assert app.way("plain", {}) == {"queue": "slow", "pool": "plain"}
    found = [one.options for one in app.lane("slow").config.plugins if isinstance(one, Use) and one.name == "limits"]
    assert found == [{"pools": {"plain": {"rate": (10, 60.0)}}}]
    made(app, name="free", rate_limit=0)
    assert "pool" not in app.way("free", {})


PROOFS: dict[str, Callable[[Celery], None]] = {
    one.__name__.rstrip("_"): one
    for one in (
        *(
            name,
            bind,
            base,
            max_retries,
            default_retry_delay,
            autoretry_for,
            dont_autoretry_for,
            retry_kwargs,
            retry_backoff,
        ),
        *(retry_backoff_max, retry_jitter, ignore_result, expires, queue, options_, time_limit, soft_time_limit),
        *(priority, typing, rate_limit),
    )
}


def of(table: dict[str, Any], *verdicts: str) -> list[str]:
    return [name for name, one in table.items() if one.verdict in verdicts]


def test_each_option_that_can_be_had_has_a_proof() -> None:
    assert sorted(PROOFS) == sorted(of(dict(TASK), SUPPORTED, MAPPED))


@pytest.mark.parametrize("option", PROOFS)
def test_a_task_option_does_what_the_page_says(option: str, app: Celery) -> None:
    PROOFS[option](app)


# What is not


@pytest.fixture
def nothing_told() -> Iterator[None]:
    options._told.clear()
    yield
    options._told.clear()


@pytest.mark.parametrize("option", of(dict(TASK), IGNORED))
def test_a_task_option_that_is_not_needed_is_said_once(option: str, app: Celery, nothing_told: None) -> None:
    with pytest.warns(Ignored, match=f"^{option} has no effect here: "):
        made(app, **{option: True})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(app, **{option: True}, name="second")


@pytest.mark.parametrize("option", of(dict(TASK), REFUSED))
def test_a_task_option_that_cannot_be_had_is_refused_where_it_is_written(option: str, app: Celery) -> None:
    wrong = next(value for value in (False, True) if not any(value is one for one in TASK[option].fine))
    with pytest.raises(Refused) as caught:
        made(app, **{option: wrong})
    assert str(caught.value).startswith("@app.task on made.<locals>.plain: " + f"{option}={wrong} cannot be had here; ")
    assert TASK[option].says in str(caught.value) and "plain" not in app.tasks
    for fine in TASK[option].fine:
        made(app, **{option: fine})


def test_an_option_that_nobody_knows_is_refused_with_the_nearest_one(app: Celery) -> None:
    with pytest.raises(Refused, match=r'has no option "max_retry". Did you mean "max_retries"?'):
        made(app, max_retry=3)


def test_what_is_no_function_is_no_task(app: Celery) -> None:
    async def coroutine() -> None: ...

    class Runs(Task):
        def run(self) -> None: ...  # type: ignore[override]

    with pytest.raises(Refused, match='executor="asyncio"'):
        app.task(coroutine)
    with pytest.raises(Refused, match="it is no function"):
        app.task(Runs)
    with pytest.raises(Refused, match="its base Runs has a __call__ or run of its own; write a function"):
        made(app, base=Runs)


def test_the_default_delivery_is_that_of_acks_late_and_false_is_at_most_once(app: Celery) -> None:
    assert app.config.delivery == "at_least_once"
    app.conf.task_acks_late = False
    assert app.config.delivery == "at_most_once"
    own = Celery("own", broker="memory://", set_as_current=False, regiment={"delivery": "at_most_once", "lease": 60})
    assert (own.config.delivery, own.config.lease) == ("at_most_once", 60)
    assert Use("workflows").name in [one.name for one in own.config.plugins if isinstance(one, Use)]
