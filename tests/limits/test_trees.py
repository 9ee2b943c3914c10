"""Limits with real workers: what runs at once, what a killed worker leaves, what `Later` closes, whose turn it is, who writes the rules."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from harness.site import Site
from harness.tree import Tree
from harness.wait import eventually
from regiment.contracts import Rule
from regiment_limits.stores import flowing

APP = """
import os, time
from regiment import Queue, Use, current
from regiment_limits import Lane, Later, Limits, Pool

work = Queue("work", connector={connector}, lease=3.0, max_retries=0, plugins=[Limits({limits})], {settings})
OUT = os.open({out!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

def note(*words):
    os.write(OUT, (" ".join(map(str, words)) + "\\n").encode())

@work.task(pool="crm", lane="{{tenant}}")
def call(tenant: str, number: int, seconds: float = 0.05) -> None:
    note("start", tenant, number, time.monotonic(), os.getpid())
    time.sleep(seconds)
    note("end", tenant, number, time.monotonic(), os.getpid())

@work.task(pool="crm", lane="{{tenant}}")
def busy(tenant: str, number: int, scope: str = "lane") -> None:
    note("start", tenant, number, time.monotonic(), current().task.run_count)
    if number == 0 and not os.path.exists({out!r} + ".once"):
        open({out!r} + ".once", "w").close()
        raise Later(2.0, scope, reason="429")
    note("end", tenant, number, time.monotonic(), os.getpid())
"""


class Run:
    """An application with limits, its trees, and what its tasks have written."""

    def __init__(self, site: Site) -> None:
        self.site, self.out = site, site.folder / "out.txt"
        self.out.touch()

    def tree(self, limits: str, workers: int = 1, settings: str = "", name: str = "app", **options: Any) -> Tree:
        text = APP.format(connector=repr(self.site.url), limits=limits, settings=settings, out=str(self.out))
        (self.site.folder / f"{name}.py").write_text(text)
        return self.site.tree(f"{name}:work", workers, **options)

    def push(self, name: str, many: list[dict[str, Any]]) -> None:
        """Push from a process that has the application's limits: this one."""
        import importlib.util

        spec = importlib.util.spec_from_file_location("pushing_app", self.site.folder / "app.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        getattr(module, name).push_many(many)
        module.work.broker.close()

    def lines(self, what: str = "") -> list[list[str]]:
        return [words for line in self.out.read_text().splitlines() if (words := line.split())[0].startswith(what)]

    def ended(self, number: int, within: float = 30.0) -> None:
        eventually(lambda: len({(w[1], w[2]) for w in self.lines("end")}) >= number, within, self.site.logs)

    def most(self, tenant: str = "") -> int:
        """How many of a tenant, or of all, ran at the same time."""
        running = most = 0
        for words in sorted(self.lines(), key=lambda words: float(words[3])):
            if tenant in ("", words[1]):
                running += 1 if words[0] == "start" else -1
                most = max(most, running)
        return most

    def store(self) -> Any:
        return flowing(self.site.queue.broker.open("duty"), "this test needs")


def test_no_more_run_at_once_than_the_lane_and_the_pool_may_and_the_small_are_not_starved(site: Site) -> None:
    run = Run(site)
    run.tree('pools={"crm": Pool(at_once=3, lane=Lane(at_once=2))}', 2, "number_of_threads=6")
    run.push(
        "call",
        [{"tenant": "flood", "number": n} for n in range(60)]
        # The first one takes long: beside it there is room for the flood, however slow the machine is.
        + [{"tenant": "small", "number": n, "seconds": 0.05 if n else 2.0} for n in range(5)],
    )
    run.ended(65)
    assert (run.most(), run.most("flood")) == (3, 2)
    order = [words[1] for words in sorted(run.lines("start"), key=lambda words: float(words[3]))]
    assert len(order) - 1 - order[::-1].index("small") < 40, (
        "the last of the small one is served beside the flood, not behind it"
    )
    assert run.store().recount("work") == []


@pytest.mark.parametrize("_", range(2))
def test_a_worker_that_is_killed_leaks_no_slot_and_none_is_given_twice(site: Site, _: int) -> None:
    run = Run(site)
    run.tree('pools={"crm": Pool(at_once=1)}', 2)
    run.push("call", [{"tenant": "a", "number": n, "seconds": 0.3} for n in range(8)])
    events: list[tuple[float, str, str]] = []
    for _kill in range(3):
        begun = len(run.lines("start"))
        eventually(lambda begun=begun: len(run.lines("start")) > begun, 20, site.logs)
        victim = run.lines("start")[-1][4]
        events.append((time.monotonic(), "killed", victim))
        os.kill(int(victim), signal.SIGKILL)
    run.ended(8, 60)
    running: set[str] = set()
    for _at, what, pid in sorted(events + [(float(w[3]), w[0], w[4]) for w in run.lines()]):
        if what == "start":
            assert not running, f"{running} ran beside {pid}: {run.lines()} {events}"
            running.add(pid)
        else:
            running.discard(pid)
    eventually(lambda: run.store().flow("work", [("crm", "")])[0].running == 0, 10)
    assert run.store().recount("work") == []


def test_later_closes_the_lane_for_all_workers_and_counts_as_no_run(site: Site) -> None:
    run = Run(site)
    tree = run.tree("pools={'crm': Pool()}", 2)
    run.push("busy", [{"tenant": "a", "number": 0}])
    tree.event("limits.closed", within=15)
    closed = time.monotonic()
    run.push("busy", [{"tenant": "a", "number": 1}, {"tenant": "b", "number": 1}])
    run.ended(3)
    at = {(w[1], w[2]): float(w[3]) for w in run.lines("end")}
    assert at["b", "1"] < closed + 1.5 and at["a", "1"] > closed + 1.0
    assert {w[4] for w in run.lines("start")} == {"0"}, "no run was counted"


def test_later_can_close_the_whole_queue(site: Site) -> None:
    run = Run(site)
    tree = run.tree("pools={'crm': Pool()}", 1)
    run.push("busy", [{"tenant": "a", "number": 0, "scope": "queue"}])
    tree.event("limits.closed", within=15)
    assert run.store().flow("work", [("", "")])[0].gate > 0
    run.push("busy", [{"tenant": "b", "number": 1}])
    run.ended(2)
    first, second = sorted(float(w[3]) for w in run.lines("end"))
    assert second >= first


def test_a_rate_is_kept_by_all_workers_together(site: Site) -> None:
    run = Run(site)
    run.tree('pools={"crm": Pool(rate="10/s", burst=3)}', 2)
    run.push("call", [{"tenant": "a", "number": n, "seconds": 0.0} for n in range(23)])
    run.ended(23)
    starts = sorted(float(w[3]) for w in run.lines("start"))
    # 23 leases need at least (23 - burst) / 10 seconds, by the store's clock; a start follows its lease at once
    assert starts[-1] - starts[0] > 1.7, starts


def test_the_limits_of_the_newest_release_count_and_those_of_the_old_one_as_long_as_it_lives(site: Site) -> None:
    run = Run(site)
    old = run.tree('pools={"crm": Pool(at_once=1), "sms": Pool(at_once=5)}', environment={"REGIMENT_RELEASE": "1"})

    def rules() -> dict[str, Rule | None]:
        return {one.spot[0]: one.rule for one in run.store().standings("work") if one.rule is not None}

    assert rules() == {"crm": Rule(at_once=1), "sms": Rule(at_once=5)}, "before the first task"
    new_says = 'pools={"crm": Pool(at_once=2), "new": Pool(at_once=3)}'
    new = run.tree(new_says, name="new", environment={"REGIMENT_RELEASE": "2"})
    both = {"crm": Rule(at_once=1), "sms": Rule(at_once=5), "new": Rule(at_once=3)}
    assert rules() == both, "while the old release lives, what it bounds stays bounded"
    for tree in (new, old):  # the workers that come for these say what their code says once more
        os.kill(tree.workers()[0], signal.SIGKILL)
        tree.ready(1)
    run.push("call", [{"tenant": "a", "number": n} for n in range(12)])
    run.ended(12)
    assert run.most() == 1 and rules() == both
    assert old.stop() == 0
    eventually(lambda: rules() == {"crm": Rule(at_once=2), "new": Rule(at_once=3)}, 40, site.logs)


def test_solo_has_its_limits_as_well(site: Site, tmp_path: Path) -> None:
    import subprocess
    import sys

    text = APP.format(
        connector=repr(site.url), limits="at_once=1, pools={'crm': Pool()}", settings="", out=str(tmp_path / "solo")
    )
    (tmp_path / "solo_app.py").write_text(text)
    text = text.replace("lease=3.0, ", "")
    (tmp_path / "solo_app.py").write_text(text)
    told = subprocess.run(
        [sys.executable, "-m", "regiment", "run", "solo_app:work", "--solo", "--burst"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert Run(site).store().flow("work", [("", "")])[0].rule == Rule(at_once=1)


SCHEDULED = """
import os, time
from regiment import Queue
from regiment_limits import Lane, Limits
from regiment_schedules import schedule, tick

work = Queue("work", connector={connector}, plugins=[Limits(lane=Lane(at_once=1))])
OUT = os.open({out!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

@work.task(lane="report", schedules=[schedule(every=1)])
def report() -> None:
    due = tick().timestamp()
    os.write(OUT, f"start report {{due:.0f}} {{time.monotonic()}}\\n".encode())
    time.sleep(1.5)
    os.write(OUT, f"end report {{due:.0f}} {{time.monotonic()}}\\n".encode())
"""


def test_ticks_of_a_task_whose_lane_has_room_for_one_run_one_after_the_other_and_none_is_left_out(site: Site) -> None:
    run = Run(site)
    text = SCHEDULED.format(connector=repr(site.url), out=str(run.out))
    (site.folder / "scheduled.py").write_text(text)
    site.tree("scheduled:work", 2)
    run.ended(4, 40)
    assert run.most() == 1
    ticks = [int(words[2]) for words in run.lines("start")]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
