"""Schedules fired by the stewards of several trees: killed, stopped, without a store, with clocks that jump, through deploys."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import pytest

from harness import servers
from harness.clock import Clock
from harness.each_store import on_each_store
from harness.scale import size
from harness.site import Site
from harness.tree import Tree
from harness.wait import children, eventually

APP = """
import os, time
from regiment import Queue, Use
from regiment_schedules import Schedules, schedule, tick

work = Queue("work", connector={connector}, lease=3.0, plugins=[Schedules()])
OUT = os.open({out!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

@work.task(schedules=[schedule({when}, name="sec", {how})])
def sec() -> None:
    os.write(OUT, f"{{tick().timestamp():.3f}} {{time.time():.6f}} {release}\\n".encode())
"""


class Run:
    """An application with one schedule, and what its tasks have written."""

    def __init__(self, site: Site) -> None:
        self.site, self.out = site, site.folder / "ticks.txt"
        self.out.touch()

    def app(
        self, when: str = "every=1.0", how: str = "", *, name: str = "app", release: str = "", connector: str = ""
    ) -> str:
        """Write it; its target."""
        text = APP.format(
            connector=connector or repr(self.site.url), out=str(self.out), when=when, how=how, release=release or "-"
        )
        (self.site.folder / f"{name}.py").write_text(text)
        return f"{name}:work"

    def ran(self) -> list[tuple[float, float, str]]:
        """(tick, time at which its task ran, release) of each run, in order."""
        lines = self.out.read_text().splitlines()
        return [(float(tick), float(at), release) for tick, at, release in map(str.split, lines)]

    def ticks(self) -> Counter[float]:
        return Counter(tick for tick, _, _ in self.ran())

    def until(self, tick: float, within: float = 30.0) -> None:
        """Wait until this tick, or a later one, has run."""
        eventually(lambda: any(ran >= tick for ran in self.ticks()), within, self.site.logs)

    def each_once(self, since: float, until: float) -> None:
        """Every second has run, once."""
        found = self.ticks()
        assert set(found.values()) == {1}, [tick for tick, count in found.items() if count > 1]
        wanted = {float(tick) for tick in range(int(since), int(until) + 1)}
        assert wanted <= found.keys(), sorted(wanted - found.keys())


@pytest.mark.fault(54)
@pytest.mark.slow
@on_each_store
def test_many_stewards_fire_each_tick_once_while_two_are_killed_and_one_stands_still(site: Site) -> None:
    run = Run(site)
    target = run.app()
    trees = [site.tree(target, ready=False) for _ in range(size(4, 16))]
    for tree in trees:
        tree.ready(within=120)
    begun = time.time()
    run.until(begun + 2, 60)
    since, last = min(run.ticks()), time.time() + size(12, 70)
    still = trees[-1]
    stopped = [still.pid, *children(still.pid)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    for tree in trees[:2]:
        time.sleep(1.3)
        tree.kill()
    run.until(last, 60 + last - time.time())
    for pid in reversed(stopped):
        os.kill(pid, signal.SIGCONT)
    run.until(time.time() + 2, 60)
    now = max(run.ticks())
    run.each_once(since, now - 1)


@pytest.mark.fault(77)
@on_each_store
def test_a_steward_that_was_killed_is_replaced_and_no_tick_is_lost_or_doubled(site: Site) -> None:
    run = Run(site)
    tree = site.tree(run.app(how='catch_up="all"'))
    run.until(time.time() + 1)
    since = min(run.ticks())
    for _ in range(size(2, 20)):
        workers = tree.workers()
        others = [pid for pid in children(tree.pid) if pid not in workers]
        for pid in others:  # keeper and steward alike
            os.kill(pid, signal.SIGKILL)
        run.until(time.time() + 2)
    run.each_once(since, max(run.ticks()) - 1)


@pytest.mark.fault(78)
@pytest.mark.parametrize(("catch_up", "made_up"), [("skip", 0), ("last", 1), ("all", 10)])
def test_ticks_for_which_the_store_was_away_are_made_up_as_the_schedule_says(
    site: Site, catch_up: str, made_up: int
) -> None:
    with servers.redis() as server:
        run = Run(site)
        site.tree(run.app(how=f"catch_up={catch_up!r}", connector=repr(server.url)))
        run.until(time.time() + 2)
        server.stop()
        away = time.time()
        time.sleep(11.0)
        server.start()
        back = time.time()
        run.until(back + 4)
        found = run.ticks()
        assert set(found.values()) == {1}
        missed = [tick for tick in found if away + 3 < tick < back - 1]
        wanted = {
            "skip": 0,
            "last": 1,
            "all": len([t for t in range(int(away), int(back) + 1) if away + 3 < t < back - 1]),
        }
        assert abs(len(missed) - wanted[catch_up]) <= (1 if catch_up == "last" else 0), (missed, away, back)


@pytest.mark.fault(79)
@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_jumps_by_a_day_doubles_nothing_and_firing_goes_on(site: Site, days: int) -> None:
    clock = Clock(site.folder)
    run = Run(site)
    tree = site.tree(run.app(how="within=3600.0"), environment=clock.of_tree())
    run.until(time.time() + 2)
    clock.set(days * 86_400)
    run.until(0)
    moved = time.time() + days * 86_400
    eventually(lambda: any(abs(tick - moved) < 120 for tick in run.ticks()), 150, site.logs)
    assert set(run.ticks().values()) == {1}
    if days < 0:
        tree.event("schedule.reset", 5)


@pytest.mark.fault(81)
@on_each_store
def test_through_a_rolling_deploy_and_back_one_release_at_a_time_decides_and_no_tick_is_doubled(site: Site) -> None:
    run = Run(site)
    old, new = run.app(release="A", name="app"), run.app("every=2.0", release="B", name="other")
    text = (site.folder / "other.py").read_text()
    (site.folder / "b").mkdir()
    (site.folder / "b" / "app.py").write_text(text)
    first = site.tree(old, environment={"REGIMENT_RELEASE": "1.9"})
    run.until(time.time() + 2)
    second = Tree(
        site.folder / "b", site.runtime, [old], site.folder / "logb", environment={"REGIMENT_RELEASE": "1.10"}
    )
    site.trees.append(second)
    second.ready()
    second.event("schedule.written", 10)
    time.sleep(2.5)
    begun = time.time()
    run.until(begun + 6)
    assert all(tick % 2 == 0 for tick in run.ticks() if begun < tick < begun + 6)
    third = site.tree(old, environment={"REGIMENT_RELEASE": "1.9"})
    second.stop()
    eventually(
        lambda: (
            "schedule.written" in first.text()[1:]
            and len([*first.events("schedule.written"), *third.events("schedule.written")]) > 1
        ),
        40,
        site.logs,
    )
    begun = time.time() + 2.5
    run.until(begun + 4)
    assert any(tick % 2 for tick in run.ticks() if tick > begun)
    assert set(run.ticks().values()) == {1}
    assert new
