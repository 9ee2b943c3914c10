"""What a budget may say, and what is wrong with one that says something else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from regiment import ConfigError
from regiment.contracts import Rule
from regiment_limits import Lane, Limits, Pool
from regiment_limits.budgets import in_words, rate_of, rules_of, typed


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("100/m", (100, 60.0)),
        ("10/s", (10, 1.0)),
        ("5/10s", (5, 10.0)),
        (" 3 / h ", (3, 3600.0)),
        ("1/1.5m", (1, 90.0)),
        ((100, 60), (100, 60.0)),
        ([100, 60.0], (100, 60.0)),
        *(
            (wrong, None)
            for wrong in ("10/fortnight", "0/s", "10", "-1/s", "1/0s", "a/s", (0, 1), (1, 0), (1.5, 1), 10, True)
        ),
    ],
)
def test_a_rate_is_so_many_tasks_for_a_time(said: Any, meant: Any) -> None:
    assert rate_of(said) == meant


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"at_once": 0}, "at_once is 0; expected a whole number from 1"),
        ({"at_once": True}, "at_once is True"),
        ({"rate": "10/fortnight"}, "rate is '10/fortnight'; expected tasks for a time: \"100/m\""),
        ({"rate": "0/m"}, "with at least one task"),
        ({"burst": 5}, "burst is 5 and there is no rate"),
        ({"waiting": -1}, "waiting is -1"),
        ({"pools": {"crm": {"at_onse": 1}}}, 'pool \'crm\': no budget "at_onse". Did you mean "at_once"?'),
        ({"pools": {"crm": {"lane": {"rate": "x"}}}}, "pool 'crm': lane: rate is 'x'"),
        ({"pools": {"crm": {"lane": {"lane": {}}}}}, 'no budget "lane"'),
        ({"pools": {"crm": 3}}, "pool 'crm' is 3; expected Pool(…)"),
        ({"pools": {"a/b": {}}}, "expected a name without /"),
        ({"pools": {"x" * 65: {}}}, "expected 1 to 64 printable bytes"),
        ({"pools": ["crm"]}, "expected pools by name"),
    ],
)
def test_what_is_wrong_with_limits_is_said_where_they_are_written(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as told:
        Limits(**options)
    assert said in str(told.value)


@pytest.mark.parametrize("cls", [Pool, Lane, Limits])
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"gather": (100, 5.0)}, 'no budget "gather": a lane opens at a time and not at a number'),
        ({"soft": True}, 'no budget "soft": whether nobody else has something'),
        ({"full": "oldest"}, 'no budget "full": a push that is refused drops nothing'),
        ({"at_onse": 1}, 'no budget "at_onse". Did you mean "at_once"?'),
    ],
)
def test_what_stores_do_not_keep_is_refused_with_the_reason_where_it_is_written(
    cls: Any, option: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as told:
        cls(**option)
    assert said in str(told.value) and "There are: at_once" in str(told.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as told:
        Limits(at_once=0, rate="x", pools={"": Pool()})
    assert len(told.value.problems) == 3


@pytest.mark.parametrize("cls", [Pool, Lane])
def test_a_pool_and_a_lane_refuse_what_is_wrong_themselves(cls: Any) -> None:
    with pytest.raises(ConfigError, match="weight is 0"):
        cls(weight=0)


def test_limits_are_plain_data_and_make_the_rules_of_the_store() -> None:
    limits = Limits(
        at_once=200,
        lane=Lane(at_once=1),
        pools={"crm": Pool(rate="100/m", burst=5, weight=2, lane=Lane(at_once=2)), "free": Pool()},
    )
    crossed = json.loads(json.dumps(limits.options))
    assert rules_of(crossed) == {
        "": Rule(at_once=200, lanes=Rule(at_once=1)),
        "crm": Rule(rate=(100, 60.0), burst=5, weight=2, lanes=Rule(at_once=2)),
    }
    assert rules_of(Limits().options) == {}


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("at_once=5 rate=10/m burst=2 weight=3 waiting=7", Rule(5, (10, 60.0), 2, 3, 7)),
        ("rate=5/10s lane.at_once=2 lane.rate=1/s", Rule(rate=(5, 10.0), lanes=Rule(2, (1, 1.0)))),
    ],
)
def test_a_rule_is_typed_as_it_is_shown(words: str, rule: Rule) -> None:
    assert typed(tuple(words.split()), pool=True, lane=False) == rule
    assert in_words(rule) == words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("at_once", "is no budget; expected name=value"),
        ("at_once=1 at_once=2", "given twice"),
        ("at_onse=1", 'Did you mean "at_once"?'),
        ("lane.gather=5", "a lane opens at a time and not at a number"),
        ("at_once=none", "at_once is 'none'"),
        ("weight=1", "nothing is limited"),
    ],
)
def test_what_is_wrong_with_what_was_typed_is_said(words: str, said: str) -> None:
    with pytest.raises(ConfigError) as told:
        typed(tuple(words.split()), pool=True, lane=False)
    assert said in str(told.value)


def test_a_queue_has_no_weight() -> None:
    with pytest.raises(ConfigError, match='no budget "weight"'):
        typed(("weight=2",), pool=False, lane=False)
