"""`rate_limit` holds over all workers, is refused in words where it cannot, and costs those nothing that have none."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import pytest

from from_celery.conftest import Project
from regiment import Use
from regiment_celery import Celery, Refused
from regiment_celery.rates import rate_of
from regiment_limits import Limits

PROJECT = """
import os, time
from regiment_celery import Celery

app = Celery("rated", broker=os.environ["CELERY_BROKER_URL"])

def note(word):
    with open(os.environ["OUTBOX"], "a") as file:
        file.write(f"{word} {time.time()}\\n")

@app.task(rate_limit="2/s")
def slow(): note("slow")

@app.task
def fast(): note("fast")
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (0, None),
        ("0", None),
        (10, (10, 1.0)),
        ("100/s", (100, 1.0)),
        ("10/m", (10, 60.0)),
        ("5/h", (5, 3600.0)),
        (0.5, (1, 2.0)),
        ("0.5/m", (1, 120.0)),
    ],
)
def test_a_rate_is_read_as_celery_does(value: Any, expected: Any) -> None:
    assert rate_of("task", value) == expected


@pytest.mark.parametrize("value", ["often", "10/d", -1, True, "/s", float("inf")])
def test_what_is_no_rate_is_refused_where_it_is_written(value: Any) -> None:
    with pytest.raises(Refused, match=r"rate_limit is .*; expected a number of starts a second, or '100/s'"):
        rate_of("task", value)


def test_without_its_distribution_it_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("regiment_celery.rates.find_spec", lambda name: None)
    app = Celery("r", broker="memory://", set_as_current=False)
    with pytest.raises(Refused, match="task 'x': rate_limit='10/m' needs regiment-limits, which is not installed: pip"):
        app.task(name="x", rate_limit="10/m")(lambda: None)
    assert "x" not in app.tasks


def test_limits_of_the_application_beside_it_are_refused() -> None:
    app = Celery("r", broker="memory://", set_as_current=False, regiment={"plugins": [Limits(at_once=5)]})
    app.task(name="x", rate_limit="10/m")(lambda: None)
    with pytest.raises(Refused, match=r"rate_limit of x and Limits\(…\) in Celery\(regiment=…\) were both given"):
        _ = app.config


def test_an_application_without_a_rate_has_no_limits() -> None:
    app = Celery("r", broker="memory://", set_as_current=False)
    app.task(name="x")(lambda: None)
    assert "limits" not in [one.name for one in app.config.plugins if isinstance(one, Use)]


def test_a_rate_holds_over_two_workers_and_for_its_task_alone(project: Project, url: str) -> None:
    project.variables["CELERY_BROKER_URL"] = url
    (project.home / "rated.py").write_text(PROJECT)
    project.python("-c", "import rated\nfor _ in range(6): rated.slow.delay(); rated.fast.delay()")
    project.run("rated:app=2", queues=2)
    outbox, deadline = project.folder / "outbox.txt", time.monotonic() + 60
    while not outbox.exists() or outbox.read_text().count("\n") < 12:
        assert time.monotonic() < deadline, project.logged()
        time.sleep(0.1)
    lines = [line.split() for line in outbox.read_text().splitlines()]
    slow = [float(at) for word, at in lines if word == "slow"]
    assert len(slow) == 6 and max(slow) - min(slow) > 2.0  # 5 gaps of half a second, less what clocks round
