"""Hooks that hang: said once, ended with their worker, and braked like a crash; never a timeout of the task."""

from __future__ import annotations

import time

import pytest

from harness.site import Site
from harness.wait import alive, eventually
from regiment import exits

LIMITS = "hook_limit=0.4, recheck=0.2, max_deliveries=2, poison_delays=(0.0,), timeouts=Timeouts(0.3, grace=0.2)"
PLACES = {
    "serial": "tasks_per_transaction=3",
    "threaded": "executor=Use('threaded', threads=2)",
    "asyncio": "executor=Use('asyncio', concurrency=3)",
}
BODY = """
import asyncio
HANGING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hanging")

def hang(hook, task):
    if task.name == "victim" and os.path.exists(HANGING):
        write("O", task.kwargs["n"], hook, os.getpid(), at())
        time.sleep(60)

async def ahang(hook, task):
    if task.name == "victim" and os.path.exists(HANGING):
        write("O", task.kwargs["n"], hook, os.getpid(), at())
        await asyncio.sleep(60)

"""
HOOK = """
@work.on({on!r})
{define} hook(task, *_):
    {call}({on!r}, task)
"""
WORK = """
@work.task
{define} victim(n, seconds=0.0):
    begin(n)
    {sleep}(seconds)
    end(n)
"""


def app(site: Site, place: str, on: str, settings: str = LIMITS) -> None:
    """An application whose hook `on` hangs in tasks named victim, as long as the file `hanging` is there."""
    loop = place == "asyncio"
    define = "async def" if loop else "def"
    hook = HOOK.format(on=on, define=define, call="await ahang" if loop else "hang")
    work = WORK.format(define=define, sleep="await asyncio.sleep" if loop else "time.sleep")
    (site.folder / "hanging").touch()
    site.app(f"{settings}, {PLACES[place]}", body=BODY + hook + work)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("on", ["on_success", "pre_work"])
def test_a_hook_that_hangs_is_said_once_then_ended_and_poison_in_the_end(site: Site, place: str, on: str) -> None:
    app(site, place, on)
    tree = site.tree(workers=1)
    (old,) = tree.workers()
    n = site.push("victim")
    slow = tree.event("hook.slow", within=10)
    assert (slow["hook"], slow["task"], slow["worker"]) == (on, "victim", old)
    assert slow["level"].upper() == "WARNING" and slow["id"]
    eventually(lambda: not alive(old), 3, "the worker with the hook is gone")
    crashed = tree.event("worker.crashed")
    assert crashed["reason"] == f"killed in {on}, which did not end within the limit of hooks"
    eventually(lambda: n in site.store.dead(), 15, lambda: tree.text()[-3000:])
    reason = site.store.dead()[n]
    assert reason["kind"] == "poison", reason
    assert reason["evidence"]["rung"] == "hook"
    if place != "asyncio":  # a coroutine that waits stands on no thread's stack
        assert "in hang" in reason["evidence"]["stacks"]
    assert len(tree.events("hook.slow")) == len(tree.events("worker.crashed")) == 2, "once for each of two deliveries"
    assert len(site.books().starts[n]) == (2 if on == "on_success" else 0)
    assert not tree.events("task.timeout"), "the limit of a hook is no limit of the task"
    site.ended(site.push())


@pytest.mark.parametrize("place", PLACES)
def test_an_on_timeout_that_hangs_is_called_again_and_after_a_hard_strike_the_work_is_not(
    site: Site, place: str
) -> None:
    settings = LIMITS.replace("max_deliveries=2", "max_deliveries=5").replace(
        "0.3, grace", "soft=None, hard=0.3, grace"
    )
    app(site, place, "on_timeout", settings + ", killer='process'")
    tree = site.tree(workers=1)
    n = site.push("victim", seconds=30)
    assert tree.event("hook.slow", within=10)["hook"] == "on_timeout"
    (site.folder / "hanging").unlink()
    site.store.quiet(15)
    reason = site.store.dead()[n]
    books = site.books()
    assert reason["kind"] == "timeout", reason
    assert [told.outcome for told in books.told[n]] == ["on_timeout"], "it hung once"
    # Only in serial the strike was soft: then the hook hung in the worker that had run the work, and no note was kept.
    assert len(books.starts[n]) == (2 if place == "serial" else 1)


@pytest.mark.parametrize("place", ["threaded", "asyncio"])
def test_what_runs_beside_a_hook_that_hangs_goes_back_uncounted(site: Site, place: str) -> None:
    app(
        site,
        place,
        "on_success",
        LIMITS.replace("timeouts=Timeouts(0.3, grace=0.2)", "timeouts=Timeouts(30, grace=0.2)"),
    )
    tree = site.tree(workers=1)
    n = site.push("victim")
    tree.event("hook.slow", within=10)
    beside = site.push(seconds=1.0)
    site.started(beside)
    (site.folder / "hanging").unlink()
    site.ended(n, beside, within=15)
    starts = site.books().starts
    assert [one.delivery for one in starts[beside]] == [0, 0]
    assert [one.delivery for one in starts[n]] == [0, 1]


def test_a_hook_without_a_limit_runs_as_long_as_it_likes(site: Site) -> None:
    app(site, "serial", "on_success", "hook_limit=None, timeouts=Timeouts(0.2, grace=0.1)")
    tree = site.tree(workers=1, stop_timeout=0.5)
    (old,) = tree.workers()
    n = site.push("victim")
    site.until(lambda books: books.told[n], 5)
    time.sleep(1.0)
    assert tree.workers() == [old] and not tree.events("hook.slow")
    assert tree.stop() == exits.KILLED


ENDLESS = """
class Endless(Exception):
    def {method}(self):
        hang("text", Asking)
        return "at last"

class Asking:
    name, kwargs = "victim", {{"n": 0}}

@work.task
{define} victim(n):
    begin(n)
    raise Endless
"""


@pytest.mark.parametrize("place", PLACES)
def test_an_exception_whose_text_never_comes_keeps_its_slot_no_longer_than_a_hook(site: Site, place: str) -> None:
    define = "async def" if place == "asyncio" else "def"
    (site.folder / "hanging").touch()
    site.app(f"{LIMITS}, {PLACES[place]}", body=BODY + ENDLESS.format(method="__str__", define=define))
    tree = site.tree(workers=1)
    (old,) = tree.workers()
    n = site.push("victim")
    assert tree.event("hook.slow", within=10)["hook"] == "the text of its exception"
    eventually(lambda: not alive(old), 5, "the worker is gone")
    eventually(lambda: n in site.store.dead(), 20, lambda: tree.text()[-3000:])
    reason = site.store.dead()[n]
    assert reason["kind"] == "poison" and reason["evidence"]["rung"] == "hook", reason
    assert reason["evidence"]["reason"].startswith("killed in the text of its exception"), reason
    assert len(site.books().starts[n]) == 2, "one run for each of two deliveries"
    site.ended(site.push())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("regiment_task_started", "task"),
        ("regiment_task_finished", "task, outcome, seconds"),
        ("regiment_task_failed", "task, outcome, seconds"),
        ("regiment_task_dead", "letter"),
        ("regiment_around_attempt", "task"),
    ],
)
def test_an_observer_that_hangs_keeps_its_slot_no_longer_than_a_hook(
    site: Site, place: str, told: str, words: str
) -> None:
    define = "async def" if place == "asyncio" else "def"
    (site.folder / "hanging").touch()
    (site.folder / "watching.py").write_text(
        "import os, time\nfrom regiment.hooks import hookimpl\n"
        "HANGING = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'hanging')\n"
        f"@hookimpl\ndef {told}({words}):\n    while os.path.exists(HANGING):\n        time.sleep(0.05)\n"
    )
    settings = f"plugins=['watching'], {LIMITS}, {PLACES[place]}"
    site.app(settings, body=BODY + f"@work.task\n{define} victim(n):\n    begin(n)\n    raise ValueError(n)\n")
    tree = site.tree(workers=1)
    (old,) = tree.workers()
    n = site.push("victim")
    assert tree.event("hook.slow", within=10)["hook"] == "an observer of a plugin"
    eventually(lambda: not alive(old), 5, "the worker is gone")
    (site.folder / "hanging").unlink()
    eventually(lambda: n in site.store.dead(), 20, lambda: tree.text()[-3000:])
    site.ended(site.push())
