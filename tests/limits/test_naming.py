"""Names of pools, lanes and keys: checked where a task is declared, made of the arguments of each push."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from regiment import ArgumentsError, ConfigError, Queue
from regiment.contracts import Ticket
from regiment_limits import Limits, Pool
from regiment_limits.naming import defaults_of, recipe, short
from regiment_testing import capture

_names = itertools.count()


def work(tenant: str, url: str = "/", *, number: int = 3) -> None: ...


def anything(tenant: str, **more: Any) -> None: ...


def queue(**pools: Pool) -> Queue:
    return Queue(f"naming-{next(_names)}", connector="sqlite:////nowhere/at/all.db", plugins=[Limits(pools=pools)])


def tickets(given: tuple[Any, ...], arguments: dict[str, Any]) -> Ticket:
    return recipe((*given, *[None] * (6 - len(given)))).ticket(arguments, "id")


def test_names_are_made_of_texts_numbers_and_functions() -> None:
    arguments = {"tenant": "acme", "number": 7}
    assert tickets(("crm", "{tenant}", "{tenant}/{number}"), arguments) == Ticket("crm", "acme", "acme/7", id="id")
    assert tickets((None, lambda given: given["number"]), arguments) == Ticket("", "7", id="id")
    assert tickets((None, None, "a {{b}}"), {}) == Ticket(unique="a {b}", id="id")


def test_a_name_that_is_too_long_is_cut_and_told_apart() -> None:
    one, other = short("ä" * 100), short("ä" * 99 + "b")
    assert one != other and max(len(one.encode()), len(other.encode())) <= 64
    assert one.startswith("ä" * 20 + "~") and short("x" * 64) == "x" * 64
    assert len(short("x" * 39 + "ä" * 40).encode()) <= 64


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"lane": "{tenent}"},
            'the task has no parameter "tenent". Did you mean "tenant"? It has: number, tenant, url',
        ),
        ({"unique": "{tenant.name}"}, "expected names of parameters in braces"),
        ({"unique": "{tenant!r}"}, "expected names of parameters in braces"),
        ({"unique": "{tenant"}, "a brace that is meant as such is written twice"),
        ({"lane": 3}, "lane is 3; expected a text"),
        ({"lane": ""}, "lane is ''; expected a text"),
        ({"lane": ["x"]}, "lane is ['x']; expected a text"),
        ({"pool": "crn"}, "there is no pool 'crn'. Did you mean \"crm\"? Limits(pools=…) has: crm"),
        ({"pool": "a/b"}, "expected a name without /"),
        ({"until": "start"}, "until='start' without unique="),
        ({"clash": "replace", "longest": 3}, "without unique="),
        ({"unique": "x", "until": "end"}, 'until is \'end\'; expected "done", "start", or seconds'),
        ({"unique": "x", "until": 0}, "until is 0"),
        ({"unique": "x", "clash": "keeep"}, "clash is 'keeep'; expected one of keep, replace, later"),
        ({"unique": "x", "longest": 3}, 'only "later" puts anything off'),
        ({"unique": "x", "clash": "later", "longest": -1}, "longest is -1"),
    ],
)
def test_what_is_wrong_is_said_where_the_task_is_declared(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as told:
        queue(crm=Pool()).task(**options)(work)
    assert said in str(told.value) and "<task work of queue naming-" in str(told.value)


def test_a_task_that_takes_any_argument_may_name_any() -> None:
    assert queue().task(lane="{customer}")(anything)


def test_a_queue_without_limits_knows_none_of_the_settings() -> None:
    with pytest.raises(ConfigError, match='@task has no setting "lane"'):
        Queue("naming-none").task(lane="x")(work)


def push(options: dict[str, Any], how: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    with capture():
        return queue(crm=Pool()).task(**options)(work).options(**how).push(*args, **kwargs)


@pytest.mark.parametrize(
    ("push", "said"),
    [
        (lambda: push({"lane": "{tenant}"}, {}, ""), "the argument 'tenant' is ''"),
        (
            lambda: push({"lane": "{tenant}"}, {}, 1.5),
            "the argument 'tenant' is 1.5; expected an int, or a printable text",
        ),
        (lambda: push({"lane": "{tenant}"}, {}, True), "the argument 'tenant' is True"),
        (lambda: push({"lane": "{tenant}"}, {}, "a\nb"), "the argument 'tenant' is"),
        (lambda: push({"lane": lambda given: None}, {}, "a"), "what its function returned is None"),
        (lambda: push({}, {"lane": "{tenent}"}, "a"), 'this push has no argument "tenent". Did you mean "tenant"?'),
        (lambda: push({}, {"pool": "crn"}, "a"), 'Did you mean "crm"?'),
        (lambda: push({}, {"pool": "{tenant}"}, "a/b"), "pool comes out as 'a/b'"),
        (lambda: push({}, {"until": "start"}, "a"), "until='start' without unique="),
        (lambda: push({}, {"unique": "x", "clash": "later"}, "a"), "nothing would be put off; give it one"),
        (lambda: push({}, {"uniqe": "x"}, "a"), 'Did you mean "unique"?'),
    ],
)
def test_what_is_wrong_with_a_push_is_said_there_and_nothing_is_pushed(push: Callable[[], Any], said: str) -> None:
    with pytest.raises(ArgumentsError) as told:
        push()
    assert said in str(told.value)


def test_a_parameter_that_a_push_leaves_out_has_its_default() -> None:
    assert defaults_of(work) == {"url": "/", "number": 3}
    task = queue().task(unique="{tenant}{url}{number}")(work)
    with capture():
        assert not [task.push("a"), task.push("a", "/", number=3)][1].new
        assert task.push("a", number=4).new


def test_a_pool_made_of_arguments_may_be_any_and_a_key_can_be_switched_off() -> None:
    task = queue().task(pool="{tenant}", unique="{tenant}", until="start")(work)
    with capture() as held:
        task.push("a")
        assert task.options(unique=None).push("a").new
        assert len(held.waiting) == 2
