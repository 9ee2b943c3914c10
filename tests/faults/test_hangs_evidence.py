"""The black box: what was kept of a strike or a crash stands in the handler, in the log and in the dead letter."""

from __future__ import annotations

import json
import signal

import pytest

from harness.site import Site
from harness.wait import eventually

TELLS = """
import json

@work.on("timeout")
def told(task):
    write("V", task.kwargs["n"], json.dumps(current().evidence).replace(" ", "~"))

@work.on("failure")
def failed(task, exception):
    write("V", task.kwargs["n"], json.dumps(current().evidence).replace(" ", "~"))

@work.task
def second_time(n):
    begin(n)
    if not current().task.delivery_count:
        ctypes.string_at(0)
    write("V", n, json.dumps(current().evidence).replace(" ", "~"))
    end(n)

@work.task
def loops(n):
    begin(n)
    while True:
        pass
"""


def told(site: Site, n: int) -> dict[str, object]:
    """The evidence that the application was shown."""
    books = site.until(lambda books: any(words[:2] == ["V", str(n)] for words in books.words), 15)
    text = next(words[2] for words in books.words if words[:2] == ["V", str(n)])
    return dict(json.loads(text.replace("~", " ")))


@pytest.mark.fault(9)
def test_a_killed_task_shows_its_stack_memory_and_time_to_the_handler_the_log_and_the_letter(
    site: Site,
) -> None:
    site.app("executor=Use('threaded', threads=2), timeouts=Timeouts(0.5, grace=0.2)", body=TELLS)
    tree = site.tree()
    n = site.push("regex")
    shown = told(site, n)
    assert shown["rung"] == "hard"
    assert shown["reason"] == "killed at its hard time limit"
    assert shown["exit"] == "killed by SIGKILL"
    assert 'app.py", line' in str(shown["stacks"]) and "in regex" in str(shown["stacks"])
    assert 0.7 <= float(str(shown["seconds"])) <= 1.3
    assert int(str(shown["rss"])) > 1_000_000
    assert float(str(shown["cpu"])) > 0
    letter = eventually(lambda: site.store.dead().get(n), 5)
    assert letter["evidence"] == shown
    event = tree.event("task.timeout")
    assert event["evidence"] == {key: value for key, value in shown.items() if key != "stacks"}
    assert "in regex" in event["traceback"]


def test_a_softly_struck_task_shows_its_traceback_and_what_it_used(site: Site) -> None:
    site.app("timeouts=Timeouts(soft=0.4)", body=TELLS)
    tree = site.tree()
    n = site.push("loops")
    shown = told(site, n)
    assert shown["rung"] == "soft"
    assert 0.4 <= float(str(shown["seconds"])) <= 0.9
    assert int(str(shown["rss"])) > 1_000_000
    letter = eventually(lambda: site.store.dead().get(n), 5)
    assert letter["evidence"] == shown
    assert "in loops" in letter["traceback"] and "TaskTimeout" in letter["traceback"]
    assert tree.event("task.timeout")["evidence"] == shown


@pytest.mark.fault(18)
def test_a_task_that_ended_its_worker_is_shown_how_when_it_runs_again(site: Site) -> None:
    site.app("", body=TELLS)
    site.tree()
    n = site.push("second_time")
    shown = told(site, n)
    assert shown["kind"] == "crash"
    assert shown["exit"] == "killed by SIGSEGV"
    assert shown["signal"] == signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in str(shown["stacks"])
    assert "in second_time" in str(shown["stacks"])
    site.settle(10, extra_starts=1)


@pytest.mark.fault(18)
@pytest.mark.parametrize(
    "settings",
    ["", "executor=Use('threaded', threads=3)", "executor=Use('asyncio', concurrency=3)"],
)
def test_a_poison_task_takes_no_neighbor_with_it_in_any_executor(site: Site, settings: str) -> None:
    site.app(
        f"{settings}{', ' if settings else ''}tasks_per_transaction=10, max_deliveries=3, poison_delays=(0, 0.2, 0.2)",
        hooks=True,
    )
    tree = site.tree()
    before = site.push_many([{"seconds": 0.02}] * 20)
    poison = site.push("crash", how="segfault")
    after = site.push_many([{"seconds": 0.02}] * 20)
    eventually(lambda: poison in site.store.dead(), 20, site.logs)
    site.store.quiet(15)
    books = site.books()
    assert len(books.starts[poison]) == 3
    reason = site.store.dead()[poison]
    assert reason["kind"] == "poison"
    assert reason["evidence"]["exit"] == "killed by SIGSEGV"
    assert set(site.store.dead()) == {poison}
    assert books.ends.keys() >= {*before, *after}
    assert tree.stop() == 0
