"""Rows 34 to 36, 40, 45 and 46 of the fault matrix: Redis goes away, forgets, stands still, fills up, under whole trees."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time

import pytest

from harness.ledger import boot_ns
from harness.load import Load
from harness.scale import size
from harness.servers import RedisServer, redis
from harness.site import Site
from harness.wait import eventually, took
from regiment import Use
from regiment.errors import QueueFull

RESUME = 2.0
"""Seconds within which every worker works again when the store is back."""


def first_start_after(site: Site, at: int) -> float:
    """Seconds from the boot time `at` to the next start of a task."""
    books = site.until(lambda books: any(line.at > at for lines in books.starts.values() for line in lines), 10)
    return min(line.at - at for lines in books.starts.values() for line in lines if line.at > at) / 1e9


def refused_writes(server: RedisServer) -> int:
    """How often the server has refused something: of a script's write to a replica, Redis 6.2 counts an ERR."""
    told = server.ask("INFO", "errorstats").decode()
    return sum(int(count) for count in re.findall(r"errorstat_(?:ERR|READONLY):count=(\d+)", told))


@pytest.mark.fault(34)
def test_a_restart_of_the_server_costs_no_task_no_worker_and_no_second_run(site: Site, server: RedisServer) -> None:
    site.app("tasks_per_transaction=8, recheck=0.2")
    tree = site.tree(workers=4)
    workers, keeper = tree.workers(), tree.keeper()
    with Load(site) as load:
        for _ in range(size(2, 10)):
            before = len(site.books().ends)
            site.until(lambda books: len(books.ends) > before + 50, 10)
            server.stop()
            server.start()
            back = boot_ns()
            assert first_start_after(site, back) < RESUME
    books = site.settle(15, extra_starts=0)
    assert len(books.acknowledged) > 50 * size(2, 10)
    assert load.refused == 0, "a push waits out a restart"
    assert sorted(tree.workers()) == sorted(workers) and tree.keeper() == keeper
    site.reached(tree)
    assert tree.stop() == 0


@pytest.mark.fault(35)
@pytest.mark.parametrize("fsync", ["everysec", "always"])
def test_no_acknowledged_push_is_lost_when_the_server_is_killed_under_load(site: Site, fsync: str) -> None:
    """The log of `everysec` lies in memory: Redis answers before it writes only while a disk keeps it waiting."""
    chance = random.Random(35)
    parent = "/dev/shm" if fsync == "everysec" else None
    with redis("--appendfsync", fsync, parent=parent) as server:
        site.app("tasks_per_transaction=8, recheck=0.2", connector=repr(server.url))
        tree = site.tree(workers=2)
        workers = tree.workers()
        with Load(site, server.url, push_timeout=5) as load:
            for _ in range(size(4, 20)):
                pushed = len(site.books().acknowledged)
                site.until(lambda books: len(books.acknowledged) > pushed + 30, 20)
                time.sleep(chance.uniform(0, 0.3))  # a random moment is the row itself
                if fsync == "everysec":
                    info = server.ask("INFO", "persistence")
                    assert isinstance(info, bytes) and b"aof_delayed_fsync:0" in info
                server.kill()
                server.start()
        ends = site.until(lambda books: books.acknowledged <= books.ends.keys(), 20)
        ends.check(extra_starts=0)
        assert load.refused == 0
        assert sorted(tree.workers()) == sorted(workers)
        site.reached(tree)
        assert tree.stop() == 0


@pytest.mark.fault(36)
def test_workers_outlive_a_server_that_forgot_everything_and_run_what_is_pushed_next(
    site: Site,
) -> None:
    with redis(aof=False) as server:
        site.app("tasks_per_transaction=8, recheck=0.2", connector=repr(server.url))
        tree = site.tree(workers=3)
        workers = tree.workers()
        load = Load(site, server.url)
        for _ in range(size(2, 10)):
            forgotten = [load.producer.push(seconds=0.02) for _ in range(40)]
            site.started(forgotten[3])
            server.kill()
            server.start()
            back = boot_ns()
            numbers = [load.producer.push() for _ in range(20)]
            books = site.ended(*numbers)
            assert took(back, min(books.starts[n][0].at for n in numbers)) < RESUME
        load.queue.broker.close()
        assert sorted(tree.workers()) == sorted(workers)
        assert tree.event("lease.lost"), "what they held before is lost, and said so"
        assert len(tree.events("connector.lost")) <= 8 * size(2, 10), "told once for each, not in a storm"
        assert not site.books().twice
        site.reached(tree)
        assert tree.stop() == 0
        assert "Traceback" not in tree.text()


@pytest.mark.fault(40)
def test_calls_to_a_server_that_stands_still_end_in_time_and_what_they_repeat_is_done_once(
    site: Site, server: RedisServer
) -> None:
    way = Use("redis", url=server.url, timeout=0.5)
    site.app(
        "tasks_per_transaction=8, lease=1, recheck=0.2",
        connector=f'Use("redis", url={server.url!r}, timeout=0.5)',
    )
    tree = site.tree(workers=3)
    workers = tree.workers()
    with Load(site, way, push_timeout=1.0) as load:
        site.until(lambda books: len(books.ends) > 100, 10)
        for _ in range(size(1, 3)):
            slow = site.push_many([{"seconds": 0.5}] * 6)
            site.started(slow[0])
            server.pause()
            try:
                refused = load.refused
                eventually(lambda: load.refused > refused, 1.0 + 0.5 + 2, "a push gave up")
                time.sleep(size(2, 20))  # longer than the lease, the fault itself
            finally:
                server.resume()
            back = boot_ns()
            assert first_start_after(site, back) < RESUME
            site.ended(*slow)
    books = site.settle(15, extra_starts=0)
    assert books.unknown, "the pushes that gave up may have arrived, and say so"
    assert sorted(tree.workers()) == sorted(workers)
    site.reached(tree)
    assert tree.stop() == 0


@pytest.mark.fault(45)
def test_workers_wait_for_a_server_that_loads_its_data(site: Site) -> None:
    with redis() as server:
        site.app("tasks_per_transaction=8, recheck=0.2", connector=repr(server.url))
        tree = site.tree(workers=2)
        workers = tree.workers()
        with Load(site, server.url, push_timeout=15) as load:
            site.until(lambda books: len(books.ends) > 50, 10)
            server.ask("EVAL", "for n = 1, 4000 do redis.call('SET', 'filler:' .. n, 1) end", 0)
            server.stop()
            server.options = (
                "--key-load-delay",
                "300",
            )  # microseconds; it answers every thousand commands
            server.launch()
            assert str(server.ask("GET", "filler:1")).startswith("-LOADING")
            server.await_ready(30)
            back = boot_ns()
            assert first_start_after(site, back) < RESUME
        ends = site.until(lambda books: books.acknowledged <= books.ends.keys(), 20)
        ends.check(extra_starts=0)
        assert load.refused == 0
        assert sorted(tree.workers()) == sorted(workers)
        site.reached(tree)
        assert tree.stop() == 0


@pytest.mark.fault(45)
def test_workers_wait_while_their_server_is_a_replica(site: Site, server: RedisServer) -> None:
    site.app("tasks_per_transaction=8, recheck=0.2")
    tree = site.tree(workers=2)
    workers = tree.workers()

    def told() -> bool:
        """A worker was refused, too, and not the producer alone; said at the first time, and then once in half a minute."""
        return any("is a replica" in event["error"] for event in tree.events("connector.lost"))

    with Load(site, push_timeout=15) as load:
        for _ in range(size(2, 10)):
            before = len(site.books().ends)
            site.until(lambda books: len(books.ends) > before + 30, 10)
            known = refused_writes(server)
            server.ask("REPLICAOF", "127.0.0.1", "1")
            eventually(lambda known=known: refused_writes(server) > known and told(), 10)
            server.ask("REPLICAOF", "NO", "ONE")
            back = boot_ns()
            assert first_start_after(site, back) < RESUME
    site.settle(15, extra_starts=0)
    assert load.refused == 0
    assert sorted(tree.workers()) == sorted(workers)
    site.reached(tree)
    assert tree.stop() == 0


@pytest.mark.fault(45)
def test_a_wrong_password_ends_the_start_within_five_seconds_and_is_not_shown(site: Site, server: RedisServer) -> None:
    site.app(connector=repr(f"redis://:wrong-one@127.0.0.1:{server.port}/0"))
    server.ask("CONFIG", "SET", "requirepass", "right-one")
    server.password = "right-one"
    tree = site.tree(workers=2, ready=False)
    assert tree.end(20) == 4
    assert tree.lived() < 5
    assert tree.text().count("error: ") == 1
    assert "the user name or the password is wrong" in tree.text()
    assert "wrong-one" not in tree.text() and "right-one" not in tree.text()
    server.ask("CONFIG", "SET", "requirepass", "")
    server.password = None


@pytest.mark.fault(46)
def test_a_full_server_refuses_pushes_and_its_workers_drain_it(site: Site, server: RedisServer) -> None:
    site.app(
        "tasks_per_transaction=8, recheck=0.2, max_retries=2, backoff=Backoff(first=0.05)",
        body="""
@work.task
def twice(n, text):
    begin(n)
    if current().task.run_count == 0:
        raise Retry
    end(n)
""",
    )
    numbers = [site.push("twice", text="x" * 1000) for _ in range(200)]
    server.ask("CONFIG", "SET", "maxmemory", "1mb")
    with pytest.raises(QueueFull, match="takes no more tasks: it has reached maxmemory"):
        site.push()
    tree = site.tree(workers=2)
    site.started(numbers[10])
    os.kill(tree.workers()[0], 9)
    site.ended(*numbers, within=20)
    site.settle(10, extra_starts=len(numbers) + 1)
    server.ask("CONFIG", "SET", "maxmemory", "0")
    site.ended(site.push())
    site.reached(tree)
    assert tree.stop() == 0


@pytest.mark.fault(47)
def test_the_check_of_an_application_says_that_its_server_may_evict_tasks(site: Site) -> None:
    with redis("--maxmemory-policy", "allkeys-lru") as server:
        site.app("lease=30", connector=repr(server.url))
        done = subprocess.run(
            [sys.executable, "-m", "regiment", "check", "app:work", "--connect"],
            cwd=site.folder,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert "maxmemory-policy allkeys-lru" in done.stdout + done.stderr
