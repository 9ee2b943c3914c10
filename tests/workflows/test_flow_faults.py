"""Flows under kills at any moment: callbacks once, after all, with the right values; and what is done to flows, cut anywhere."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.scale import seeds, size
from regiment_workflows import FlowCancelled, FlowFailed, changing, group, reach

from .conftest import HERE, Shop
from .test_flows import until


def kill_some(chance: random.Random, tree: subprocess.Popen[bytes]) -> int:
    """Kill a process of a tree: mostly a worker, at times the keeper, at times the supervisor; its id."""
    try:
        family = [one for one in psutil.Process(tree.pid).children(recursive=True) if one.is_running()]
    except psutil.NoSuchProcess:
        return 0
    victim = tree.pid if not family or chance.random() < 0.1 else chance.choice(family).pid
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return victim


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(1, 100))
def test_a_chord_under_random_kills_calls_back_once_after_all_with_the_right_value(
    shop: Shop, tmp_path: Path, seed: int
) -> None:
    """Workers, keepers and supervisors die every half second, until it has ended or for long enough."""
    number, chance, ledger, killed = size(300, 1000), random.Random(seed), tmp_path / "ledger", set[int]()
    how = {"LEDGER": str(ledger), "DELIVERIES": "100", "BATCH": str(chance.choice([1, 20])), "NAP": "0.02"}
    run = (group(shop.app.counted.s(n=n) for n in range(number)) | shop.app.total.s()).start(id=f"chord-{seed}")
    tree = shop.run(3, **how)
    deadline, kills = time.monotonic() + 300, size(30, 150)
    while run.state() != "success":
        assert time.monotonic() < deadline, (run.state(), run.progress(), run.steps(), len(killed))
        time.sleep(0.5)
        if kills:  # a busy machine may need longer to start a worker than it lives: at last it is left alone
            kills -= 1
            killed.add(kill_some(chance, tree))
        if tree.poll() is not None:
            tree = shop.run(3, **how)
    assert run.result(timeout=5) == sum(n * n for n in range(number))
    lines = ledger.read_text().splitlines()
    totals = [line.split()[1] for line in lines if line.startswith("total")]
    # Run again only by the death of the worker that ran it: who is done is not pushed twice.
    assert len(totals) == 1 or {int(pid) for pid in totals[:-1]} <= killed, totals
    first = next(at for at, line in enumerate(lines) if line.startswith("total"))
    assert {line.split()[1] for line in lines[:first]} == {str(n) for n in range(number)}
    with shop.queue.broker.connector() as connector:
        counts = connector.counts("shop")
    assert (counts.ready, counts.dead) == (0, 0)


PRODUCER = """
import os, sys
sys.path.insert(0, {here!r})
import shop
def members():
    for n in range({number}):
        if n == {last}:
            os.kill(os.getpid(), 9)
        yield shop.square.s(n=n)
from regiment_workflows import group
(group(members()) | shop.total.s()).start(id="streamed")
"""


@pytest.mark.slow
def test_a_streamed_group_whose_producer_is_killed_is_filling_and_never_calls_back(shop: Shop, tmp_path: Path) -> None:
    number, ledger = size(4000, 100_000), tmp_path / "ledger"
    text = PRODUCER.format(here=str(HERE), number=number, last=number // 2 + 7)
    done = subprocess.run([sys.executable, "-c", text], env={**os.environ, "STORE": shop.url}, check=False)
    assert done.returncode == -signal.SIGKILL
    run = shop.app.shop.flow("streamed")
    assert run.state() == "filling"
    shop.run(2, LEDGER=str(ledger), BATCH="100")
    sent = number // 2 // 1000 * 1000
    until(lambda: run.progress().arrived == sent, 120)
    assert run.state() == "filling" and not ledger.exists()
    assert run.cancel()
    with pytest.raises(FlowCancelled):
        run.result(timeout=20)


def test_a_large_group_is_streamed_and_calls_back_with_all_values(shop: Shop) -> None:
    number = size(5500, 100_000)
    shop.run(2, BATCH="100")
    run = (group(shop.app.square.s(n=n) for n in range(number)) | shop.app.total.s()).start()
    assert run.result(timeout=240) == sum(n * n for n in range(number))
    assert run.progress()[:4] == (2, 2, number, number)


def test_two_starts_with_one_id_at_once_make_one_run(shop: Shop, tmp_path: Path) -> None:
    ledger, made = tmp_path / "ledger", list[Any]()
    piece = group(shop.app.counted.s(n=n) for n in range(20)) | shop.app.total.s()

    def start() -> None:
        made.append((group(shop.app.counted.s(n=n) for n in range(20)) | shop.app.total.s()).start(id="one"))

    del piece
    threads = [threading.Thread(target=start) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(one.existed for one in made) == [False, True, True, True]
    shop.run(2, LEDGER=str(ledger))
    assert made[0].result(timeout=30) == made[3].result(timeout=30) == sum(n * n for n in range(20))
    lines = ledger.read_text().splitlines()
    assert sorted(line for line in lines if line.startswith("run")) == sorted(f"run {n}" for n in range(20))
    assert sum(line.startswith("total") for line in lines) == 1


def test_a_step_that_expired_before_it_ran_can_be_retried(shop: Shop) -> None:
    run = (shop.app.square.s(n=3).options(expires=-1) | shop.app.after.s()).start()
    shop.run(1)
    with pytest.raises(FlowFailed, match="expired"):
        run.result(timeout=30)
    time.sleep(1.1)
    assert run.retry().result(timeout=30) == 9


class Died(BaseException):
    """The program that does something to a flow dies."""


def cut(monkeypatch: pytest.MonkeyPatch, after: int) -> list[int]:
    """Let the program die when it has asked the store so often; how often it has."""
    asked = [0]

    def dying(whole: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if asked[0] == after:
                raise Died
            asked[0] += 1
            return whole(*args, **kwargs)

        return call

    for module, name in ((reach, "ask"),):
        monkeypatch.setattr(module, name, dying(getattr(module, name)))
    return asked


def test_cancelling_cut_anywhere_and_repeated_is_as_if_once(local: Shop, tmp_path: Path) -> None:
    ledger, app = tmp_path / "ledger", local.app
    flows = []
    for after in range(100):
        run = (group(app.counted.s(n=n) for n in range(3)) | app.total.s() | app.after.s()).start(id=f"cut-{after}")
        with pytest.MonkeyPatch.context() as patch:
            cut(patch, after)
            try:
                run.cancel()
            except Died:
                pass
            else:
                break
        assert run.cancel() and run.cancel()
        flows.append(run)
    assert len(flows) > 5
    local.run(1, LEDGER=str(ledger))
    assert app.square.s(n=2).start().result(timeout=30) == 4
    assert {run.state() for run in flows} == {"cancelled"} and not ledger.exists()


def test_retrying_cut_anywhere_and_repeated_is_as_if_once(local: Shop, tmp_path: Path) -> None:
    ledger, app, there = tmp_path / "ledger", local.app, tmp_path / "there"
    local.run(2, LEDGER=str(ledger))
    cuts = 0
    for after in range(100):
        there.unlink(missing_ok=True)
        members = group(app.moody.s(path=str(there), n=n) for n in (1, 2))
        run = (members | app.total.s()).start(id=f"again-{after}", tell=app.tell.s())
        with pytest.raises(FlowFailed):
            run.result(timeout=30)
        until(lambda: run.progress().failed == 2 and run.steps()[0].failed == 2)
        there.touch()
        with pytest.MonkeyPatch.context() as patch:
            cut(patch, after)
            try:
                run.retry()
            except Died:
                cuts += 1
            else:
                break
        try:
            run.retry()
        except changing.FlowError:  # all are on their way already
            pass
        until(lambda: run.state() == "success")
        assert run.result(timeout=5) == 3
    assert cuts > 5
    until(lambda: ledger.read_text().count("told") == cuts + 1)
    assert ledger.read_text().count("total") in (cuts, cuts + 1)


@pytest.mark.slow
def test_a_source_read_page_by_page_that_dies_at_every_page_gives_each_item_once(shop: Shop, tmp_path: Path) -> None:
    """Each page is a step that returns its members and the step for the next one."""
    ledger, pages = tmp_path / "ledger", size(12, 100)
    run = (shop.app.page.s(at=0, size=5, last=5 * pages) | shop.app.flat.s()).start(id="pages")
    shop.run(2, LEDGER=str(ledger), SEEN=str(tmp_path / "seen"), DELIVERIES="100")
    assert run.result(timeout=240) == [n * n for n in range(5 * pages)]
    lines = [line for line in ledger.read_text().splitlines() if line.startswith("run")]
    assert set(lines) == {f"run {n}" for n in range(5 * pages)}
    assert max(len(plan.grown) for plan in run.plans()) <= 60


def test_a_large_group_whose_source_raises_is_cancelled(local: Shop) -> None:
    def members() -> Any:
        for n in range(3000):
            if n == 2500:
                raise LookupError("source")
            yield local.app.square.s(n=n)

    with pytest.raises(LookupError, match="source"):
        (group(members()) | local.app.total.s()).start(id="raised")
    assert local.app.shop.flow("raised").state() == "cancelled"


def test_what_has_failed_in_the_piece_of_a_member_is_found_and_retried(local: Shop, tmp_path: Path) -> None:
    there, app = tmp_path / "there", local.app
    local.run(2)
    run = (group(app.wraps.s(path=str(there), n=n) for n in range(3)) | app.total.s()).start()
    with pytest.raises(FlowFailed, match="LookupError"):
        run.result(timeout=30)
    until(lambda: sum(one.state == "failed" for one in run.steps()) == 3)
    there.touch()
    assert run.retry().result(timeout=30) == 3


def test_steps_are_not_taken_by_a_task_that_takes_others_and_run_by_themselves(local: Shop) -> None:
    taker = local.app.takes.options(priority="HIGH").push()
    run = (group(local.app.square.s(n=n) for n in range(5)) | local.app.total.s()).start()
    local.run(1)
    assert run.result(timeout=30) == 30 and not taker.existed
