"""Rows 51 and 52 of the fault matrix on Redis: clocks that are wrong, and jump."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from harness.clock import Clock
from harness.ledger import boot_ns
from harness.scale import size
from harness.servers import redis, release_of, using
from harness.site import Site

HOUR = 3600

DELAYED = """
@work.task
def later(n):
    begin(n)
    write("I", 1_000_000 + n)
    nap.options(delay=0.5).push(n=1_000_000 + n)
    write("A", 1_000_000 + n)
    end(n)
"""


@pytest.mark.fault(51)
def test_a_tree_whose_clock_jumps_by_an_hour_keeps_its_leases_its_limits_and_its_delays(
    site: Site, tmp_path: Path
) -> None:
    chance = random.Random(51)
    clock = Clock(tmp_path)
    site.app(
        "tasks_per_transaction=8, recheck=0.2, timeouts=Timeouts(1.5, grace=0.3)",
        body=DELAYED,
    )
    jumping = site.tree(workers=2, environment=clock.of_tree())
    right = site.tree(workers=1)
    mine = set(jumping.workers())
    for _ in range(size(1, 10)):
        hangs = [site.push("deaf") for _ in range(2)]
        parents = [site.push("later") for _ in range(30)]
        numbers = site.push_many([{"seconds": 0.01}] * size(200, 1000))
        children = [1_000_000 + n for n in parents]
        until = time.monotonic() + 30
        while not site.books().ends.keys() >= {*numbers, *parents, *children}:
            assert time.monotonic() < until, site.logs()
            clock.set(chance.choice([HOUR, -HOUR, 0]))
            time.sleep(0.1)  # the distance of the jumps is the row itself
        site.store.quiet(10)
        books, dead = site.books(), site.store.dead()
        for parent, child in zip(parents, children, strict=True):
            # Due times are whole milliseconds of the server. Behind what waits, seconds late; no clock's hour.
            assert 0.499 <= (books.starts[child][0].at - books.starts[parent][0].at) / 1e9 < 60
        assert {dead[n]["kind"] for n in hangs} == {"timeout"}
    books.check(dead, extra_starts=0)
    assert any(line.pid in mine for lines in books.starts.values() for line in lines)
    assert not jumping.events("lease.lost") and not right.events("lease.lost")
    assert jumping.stop() == right.stop() == 0


@pytest.mark.fault(52)
@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_when_the_clock_of_redis_jumps_leases_expire_once_at_most_and_dead_hosts_are_still_noticed(
    site: Site, tmp_path: Path, jump: int
) -> None:
    clock = Clock(tmp_path)
    # redis-server 7 allocates with jemalloc's own library, and under libfaketime hangs at its start.
    with using(release_of("6.2")), redis(environment=clock.of_server()) as server:
        site.app("tasks_per_transaction=1, lease=1, recheck=0.2", connector=repr(server.url))
        here = Site(tmp_path, server.url)  # looks at this server
        try:
            first, second = site.tree(workers=2), site.tree(workers=1)
            long = here.push_many([{"seconds": 2.5}] * 3)
            short = here.push_many([{"seconds": 0.01}] * 300)
            here.started(*long)
            assert int(server.ask("TIME")[0]) == pytest.approx(time.time(), abs=60)  # type: ignore[index]
            clock.set(jump)
            assert int(server.ask("TIME")[0]) == pytest.approx(time.time() + jump, abs=60)  # type: ignore[index]
            here.ended(*long, *short, within=20)
            here.settle(10, extra_starts=3, extra_ends=3)
            held = here.push_many([{"seconds": 0.8}] * 4)
            books = here.started(held[0], held[1], held[2])
            whole = [first.keeper(), *first.workers(), first.pid]
            mine = {n for n in held if n in books.starts and books.starts[n][0].pid in whole}
            assert mine
            for pid in whole:
                os.kill(pid, signal.SIGSTOP)
            for pid in whole:
                os.kill(pid, signal.SIGKILL)
            first.process.wait()
            gone = boot_ns()
            books = here.until(lambda books: any(line.at > gone for n in mine for line in books.starts[n]), 1 + 5)
            here.ended(*held, within=20)
            here.settle(10, extra_starts=3 + 2, extra_ends=3 + 2)
            assert second.stop() == 0
        finally:
            here.close()
