"""Results from real workers, on each store: what a task returned or how it failed comes back, once and whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from regiment import ArgumentsError
from regiment_results import (
    ResultGone,
    ResultsOff,
    ResultTimeout,
    ResultTooLarge,
    ResultUnreadable,
    TaskCancelled,
    TaskDead,
    TaskExpired,
    TaskFailed,
    TaskTimedOut,
    aas_completed,
    as_completed,
    await_all,
    handle,
    wait_all,
)

from .conftest import Shop


def until(met: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def test_a_result_comes_back_by_thread_coroutine_and_id_in_every_way_of_ending(shop: Shop) -> None:
    app = shop.app
    waiting = app.add.push(x=1, y=2)
    assert waiting.state() == "waiting" and waiting.outcome() is None and waiting.progress() is None
    shop.run()
    assert waiting.result(timeout=30) == 3 and waiting.state() == "success"
    assert waiting.outcome().runs == 1 and waiting.outcome().seconds < 5 and ":" in waiting.outcome().worker
    assert asyncio.run(app.add.push(x=2, y=2).aresult(timeout=20)) == 4
    assert shop.queue.handle(waiting.id).result(timeout=10) == 3
    assert handle(shop.queue, waiting.id).result(timeout=10) == 3

    with pytest.raises(TaskFailed, match="LookupError: nowhere") as failed:
        app.broken.push(word="nowhere").result(timeout=20)
    assert failed.value.is_a(LookupError) and failed.value.is_a(Exception) and not failed.value.is_a(KeyError)
    assert (failed.value.kind, failed.value.type, failed.value.runs) == ("failure", "LookupError", 1)
    text = "".join(traceback.format_exception(failed.value))
    assert "in broken" in text and "looked everywhere" in text

    tried = app.flaky.push(times=1)
    assert tried.result(timeout=20) == 1 and tried.outcome().runs == 2
    assert [(one.runs, one.error.type) for one in tried.history()] == [(1, "KeyError")]

    with pytest.raises(TaskTimedOut):
        app.slow.push(seconds=60).result(timeout=30)
    with pytest.raises(TaskDead, match="no way"):
        app.give_up.push().result(timeout=20)
    with pytest.raises(TaskExpired):
        app.add.options(expires=-1).push(x=1, y=1).result(timeout=20)


def test_what_cannot_be_kept_leaves_the_success_as_it_is_and_says_why(shop: Shop) -> None:
    shop.run()
    large, odd = shop.app.large.push(size=20_000), shop.app.odd.push()
    with pytest.raises(ResultTooLarge, match=r"20,0.. bytes when packed; limit is 10,000"):
        large.result(timeout=20)
    with pytest.raises(ResultUnreadable, match="type object"):
        odd.result(timeout=20)
    assert large.state() == odd.state() == "success"
    assert shop.logged().count("result.refused") == 2
    with shop.queue.broker.connector() as connector:
        assert connector.counts("shop").dead == 0


def test_a_handle_says_at_once_that_nothing_is_known_or_kept(shop: Shop) -> None:
    began = time.monotonic()
    with pytest.raises(ResultGone, match="nothing is known of task never"):
        shop.queue.handle("never").result()
    with pytest.raises(ResultsOff, match="result=False"):
        shop.app.add.options(result=False).push(x=1, y=1).result()
    assert shop.queue.handle("never").state() == "unknown"
    assert time.monotonic() - began < 10
    late = shop.app.add.push(x=1, y=1)
    with pytest.raises(ResultTimeout, match=r"no outcome within 0.1 s"):
        late.result(timeout=0.1)
    with pytest.raises(ResultTimeout):
        asyncio.run(late.aresult(timeout=0.1))
    with pytest.raises(ResultTimeout, match="2 of 2"):
        wait_all([late, shop.app.add.push(x=1, y=1)], timeout=0.1)
    with pytest.raises(ArgumentsError, match="expected True, False, or seconds"):
        shop.app.add.options(result="long").push(x=1, y=1)


def test_many_are_waited_for_as_they_end_and_all(shop: Shop) -> None:
    shop.run(2, BATCH="20")
    handles = [shop.app.add.push(x=n, y=n) for n in range(200)]
    assert sorted(done.result() for done in as_completed(handles, timeout=60)) == [2 * n for n in range(200)]
    assert wait_all(handles, timeout=10) == [2 * n for n in range(200)]
    mixed = [shop.app.add.push(x=1, y=1), shop.app.broken.push(word="no"), shop.app.add.push(x=2, y=2)]
    one, failed, other = wait_all(mixed, timeout=30, errors="return")
    assert (one, other) == (2, 4) and isinstance(failed, TaskFailed)
    with pytest.raises(TaskFailed):
        wait_all(mixed, timeout=30)

    async def on_a_loop() -> tuple[list[int], list[int]]:
        some = [shop.app.add.push(x=n, y=n) for n in range(50)]
        ended = [one.result() async for one in aas_completed(some, timeout=30)]
        return ended, await await_all(some, timeout=30)

    ended, all_of_them = asyncio.run(on_a_loop())
    assert sorted(ended) == all_of_them == [2 * n for n in range(50)]


def test_threads_a_loop_and_a_child_of_a_fork_wait_at_once_and_each_gets_its_own_answer(shop: Shop) -> None:
    handles = [shop.app.add.push(x=n, y=1) for n in range(60)]
    got: dict[int, int] = {}

    def thread(first: int) -> None:
        for n in range(first, 20, 4):
            got[n] = handles[n].result(timeout=60)

    async def loop() -> None:
        found = await asyncio.gather(*(handles[n].aresult(timeout=60) for n in range(20, 40)))
        got.update(zip(range(20, 40), found, strict=True))

    threads = [threading.Thread(target=thread, args=(first,)) for first in range(4)]
    threads.append(threading.Thread(target=lambda: asyncio.run(loop())))
    for one in threads:
        one.start()
    time.sleep(0.3)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if [handles[n].result(timeout=60) for n in range(40, 60)] == [n + 1 for n in range(40, 60)] else 2
        finally:
            os._exit(code)
    shop.run(2)
    for one in threads:
        one.join(60)
    assert got == {n: n + 1 for n in range(40)}
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_what_is_forgotten_is_gone_and_an_id_used_again_has_the_outcome_of_its_own_push(shop: Shop) -> None:
    shop.run()
    first = shop.app.add.options(id="again").push(x=1, y=1)
    assert first.result(timeout=20) == 2
    again = shop.app.add.options(id="again").push(x=5, y=5)  # within id_window: it is left out
    assert again.existed and again.result(timeout=10) == 2
    first.forget()
    assert first.state() == "unknown"
    with pytest.raises(ResultGone):
        shop.queue.handle("again").result(timeout=10)


def test_the_waiters_of_a_killed_worker_get_the_outcome_of_the_other_run(shop: Shop) -> None:
    shop.run()
    done = shop.app.nap.push(seconds=2)
    until(lambda: '"' in shop.logged() and _workers(shop))
    time.sleep(0.5)
    for pid in _workers(shop):
        os.kill(pid, signal.SIGKILL)
    assert done.result(timeout=60) == "awake"


def _workers(shop: Shop) -> list[int]:
    import re

    return [int(pid) for pid in re.findall(r'worker\.ready.*?worker["=: ]+(\d+)', shop.logged())]


def test_a_task_may_wait_with_a_timeout_and_not_without(shop: Shop) -> None:
    shop.run(2)
    assert shop.app.waits.push(x=4, timeout=20).result(timeout=40) == 8
    with pytest.raises(TaskFailed, match="keeps its slot") as refused:
        shop.app.waits.push(x=4, timeout=None).result(timeout=40)
    assert refused.value.is_a("regiment_results.errors.WouldBlock")
    child = shop.queue.handle(shop.app.parent.push(x=3).result(timeout=20))
    assert child.result(timeout=20) == 6


def test_a_task_that_runs_for_a_second_is_seen_with_its_progress(shop: Shop) -> None:
    shop.run()
    nap = shop.app.nap.push(seconds=6)
    found = until(lambda: (at := nap.progress()) and at.done and at)
    assert (found.total, found.note) == (10, "napping") and 0 < found.done < 10
    assert nap.state() == "running" and found.worker.endswith(f":{_workers(shop)[0]}")
    assert abs(found.started - time.time()) < 30
    assert nap.result(timeout=30) == "awake" and nap.progress() is None
    time.sleep(1.5)
    assert nap.state() == "success"  # a look that comes late changes nothing


def test_a_task_that_is_cancelled_before_it_runs_ends_as_cancelled_and_its_neighbors_run(shop: Shop) -> None:
    first, asked, late = shop.app.add.push(x=1, y=1), shop.app.add.push(x=2, y=2), shop.app.add.options(delay=12)
    later = late.push(x=3, y=3)
    assert asked.cancel() is True
    shop.run()
    with pytest.raises(TaskCancelled):
        asked.result(timeout=20)
    assert asked.state() == "cancelled" and asked.outcome().runs == 0 and asked.cancel() is False
    assert first.result(timeout=20) == 2
    assert later.cancel() is True  # while its worker sleeps
    with pytest.raises(TaskCancelled):
        later.result(timeout=60)
    assert shop.app.add.push(x=4, y=4).result(timeout=20) == 8
    with shop.queue.broker.connector() as connector:
        until(lambda: not connector.board("shop").cancelled)  # whoever has ended it takes it off the board


def test_a_task_that_is_cancelled_while_it_runs_ends_as_cancelled(shop: Shop) -> None:
    shop.run()
    asked = shop.app.nap.push(seconds=60)
    until(lambda: asked.state() == "running")
    assert asked.cancel() is True
    with pytest.raises(TaskCancelled):
        asked.result(timeout=30)
    assert asked.outcome().runs == 1 and asked.cancel() is False


@pytest.mark.parametrize("batch", ["1", "20"])
def test_workers_that_are_killed_at_random_cost_no_waiter_its_result(shop: Shop, batch: str) -> None:
    import random

    chance = random.Random(batch)
    shop.run(2, BATCH=batch)
    handles = [shop.app.busy.push(n=n, seconds=0.01) for n in range(300)]
    killed: set[int] = set()
    for _ in range(6):
        time.sleep(chance.uniform(0.2, 0.6))
        for pid in set(_workers(shop)) - killed:
            if chance.random() < 0.6:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed.add(pid)
    assert killed
    assert wait_all(handles, timeout=120) == list(range(300))
    # What waits for nobody is there as well, whole, for another process to read.
    assert [shop.queue.handle(one.id).result(timeout=20) for one in handles[::30]] == list(range(0, 300, 30))
