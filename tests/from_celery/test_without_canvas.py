"""An application that has said that it makes no canvas carries nothing of it, and refuses it in words."""

from __future__ import annotations

from typing import Any

import pytest

from regiment import Use
from regiment_celery import Celery, Refused, chain, chord, group
from regiment_testing import capture

app = Celery("plain", broker="memory://", set_as_current=False, regiment={"canvas": False})


@app.task
def add(x: int, y: int = 1) -> int:
    return x + y


def test_its_queues_have_no_plugin_that_is_asked_at_each_end() -> None:
    assert app.config.plugins == [] and app.lane("other").config.plugins == []
    usual = Celery("usual", broker="memory://", set_as_current=False)
    assert "workflows" in [one.name for one in usual.config.plugins if isinstance(one, Use)]


@pytest.mark.parametrize(
    "made",
    [chain(add.s(1), add.s(2)), group(add.s(1), add.s(2)), chord([add.s(1)], add.s()), add.s(1) | add.s(2)],
    ids=["chain", "group", "chord", "bar"],
)
def test_a_flow_is_refused_where_it_is_started(made: Any) -> None:
    with (
        capture(app) as queue,
        pytest.raises(Refused, match=r'this application was made with regiment=\{"canvas": False\}; leave that out'),
    ):
        made.delay()
    assert queue.pushed == []


def test_an_errback_is_refused_and_a_callback_and_a_plain_signature_are_not() -> None:
    with capture(app) as queue:
        with pytest.raises(Refused, match=r"link_error of .*add: this application was made with"):
            add.apply_async((1,), link_error=add.s())
        with pytest.raises(Refused, match=r"link_error of .*add: this application was made with"):
            add.s(1).set(link_error=add.s()).delay()
        add.s(1).delay()
        add.apply_async((1,), link=add.s(5))
        queue.drain()
        assert [one.kwargs for one in queue.pushed if "*links" not in one.kwargs][-1]["*before"] == 2


def test_a_value_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(Refused, match="is 'no'; expected True or False"):
        Celery("odd", broker="memory://", set_as_current=False, regiment={"canvas": "no"})
