"""A worker on an event loop: hooks of either kind, one loop for all, strikes that hit one coroutine, progress on the page."""

from __future__ import annotations

import signal

import pytest

from harness.site import Site
from harness.wait import alive, eventually

HOOKS = """
import asyncio
from contextvars import ContextVar

loops = []

@work.on("initialize")
async def begin_all():
    loops.append(asyncio.get_running_loop())
    write("L", "initialize")

@work.on("finalize")
async def end_all():
    await asyncio.sleep(0)
    write("L", "finalize", asyncio.get_running_loop() is loops[0])

@work.on("pre_work")
async def before(task):
    await asyncio.sleep(0)
    write("L", "pre_work", task.kwargs["n"])

@work.on("post_work")
def after(task, success, exception):
    write("L", "post_work", task.kwargs["n"], success)

@work.on("success")
async def well(task, value):
    await asyncio.sleep(0)
    write("L", "success", task.kwargs["n"], value, asyncio.get_running_loop() is loops[0])

@work.on("timeout")
async def late(task):
    await asyncio.sleep(0)
    write("L", "timeout", task.kwargs["n"], current().evidence["rung"])

@work.task
async def answers(n):
    begin(n)
    await asyncio.sleep(0.01)
    assert asyncio.get_running_loop() is loops[0]
    assert current().task.kwargs["n"] == n
    end(n)
    return n * 2

@work.task
def answers_plainly(n):
    begin(n)
    assert threading.current_thread() is not threading.main_thread()
    assert current().task.kwargs["n"] == n
    end(n)
    return n * 2

@work.task
async def waits(n):
    begin(n)
    await asyncio.sleep(60)

@work.task
async def cleans_up(n):
    begin(n)
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.01)
        write("L", "cleaned", n)

@work.task
async def tells(n):
    begin(n)
    current().progress(3, 10, "three of ten")
    await asyncio.sleep(1.0)
    end(n)
"""


def said(site: Site, *words: object) -> bool:
    """Whether the application wrote this line."""
    return ["L", *map(str, words)] in site.books().words


def test_hooks_and_work_share_one_loop_and_plain_work_runs_beside_it(site: Site) -> None:
    site.app("executor=Use('asyncio', concurrency=4)", body=HOOKS)
    tree = site.tree()
    assert said(site, "initialize")
    coroutine, plain = site.push("answers"), site.push("answers_plainly")
    site.ended(coroutine, plain)
    for n in (coroutine, plain):
        eventually(lambda: said(site, "success", n, n * 2, True), 5, site.logs)
        assert said(site, "pre_work", n) and said(site, "post_work", n, True)
    site.settle(5)
    assert tree.stop() == 0
    assert said(site, "finalize", True)


@pytest.mark.fault(14)
def test_a_soft_strike_cancels_the_one_coroutine_that_is_late(site: Site) -> None:
    site.app(
        "executor=Use('asyncio', concurrency=10), killer='coroutine', timeouts=Timeouts(0.6, grace=2.5)",
        body=HOOKS,
    )
    tree = site.tree()
    worker = tree.ready()[0]
    late = [site.push("waits"), site.push("cleans_up")]
    site.started(*late)
    fine = [site.push("answers") for _ in range(30)]
    site.ended(*fine)
    for n in late:
        eventually(lambda: said(site, "timeout", n, "soft"), 5, site.logs)
    assert said(site, "cleaned", late[1])
    site.store.quiet(5)
    dead = site.store.dead()
    assert set(dead) == set(late)
    assert all("in waits" in dead[late[0]][key] for key in ("traceback",))
    assert alive(worker)
    assert tree.workers() == [worker]
    assert tree.stop() == 0


def test_a_stop_timeout_interrupts_a_coroutine_and_gives_it_back_uncounted(site: Site) -> None:
    site.app("executor=Use('asyncio', concurrency=3)", body=HOOKS)
    tree = site.tree(stop_timeout=1.0)
    n = site.push("waits")
    site.started(n)
    tree.send(signal.SIGTERM)
    assert tree.end(6) == 8
    assert site.store.peek() == [(n, 0)]
    assert not said(site, "timeout", n, "soft")


def test_progress_stands_on_the_page_while_its_task_runs_and_not_after_it(site: Site) -> None:
    site.app("executor=Use('asyncio', concurrency=1)", body=HOOKS)
    tree = site.tree()
    n = site.push("tells")
    site.started(n)

    def shown() -> list[tuple[tuple[int, int], str]]:
        with tree.pages() as pages:
            return [(state.progress, state.note) for state in pages[0].slots()]

    eventually(lambda: shown() == [((3, 10), "three of ten")], 0.9, shown)
    site.ended(n)
    other = site.push("waits")
    site.started(other)
    assert shown() == [((0, 0), "")]
    tree.kill()
