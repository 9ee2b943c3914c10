"""Limits while workers, keepers and supervisors are killed: no budget is exceeded, nothing leaks, no key is there twice or outlives its task."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from harness.each_store import on_each_store
from harness.scale import FULL, seeds, size
from harness.site import LEASE, Site
from harness.tree import START, Tree
from harness.wait import children, eventually
from regiment_limits.stores import flowing

BODY = """
import fcntl
from contextlib import contextmanager
from regiment_limits import Lane, Later, Limits, Pool

@contextmanager
def alone(what, n):
    # A lock of the kernel, which ends with its process: two of one lane or key at a time meet here
    fd = os.open(f"{LOCKS}/{what}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        write("T", what, n, os.getpid())
    yield
    os.close(fd)

@work.task(pool="crm", lane="{tenant}")
def call(n, tenant, seconds):
    with alone(tenant, n):
        begin(n)
        write("B", tenant, n, at())
        time.sleep(seconds)
        end(n)

@work.task(pool="crm", lane="{key}", unique="{key}")
def only(n, key, seconds=0.0, fails=0):
    with alone(key, n):
        begin(n)
        time.sleep(seconds)
        if current().task.run_count < fails:
            raise ValueError("not yet")
        write("K", key, n)
        end(n)
"""

SETTINGS = (
    'plugins=[__import__("regiment_limits").Limits(pools={{"crm": __import__("regiment_limits").Pool(lane='
    '__import__("regiment_limits").Lane(at_once={at_once}))}})], max_deliveries=1000, poison_delays=(0.0,), '
)


def limited(site: Site, at_once: int | None, settings: str = "") -> None:
    """An application whose lanes have a budget, and whose tasks say if they are not alone."""
    locks = site.folder / "locks"
    locks.mkdir()
    site.app(SETTINGS.format(at_once=at_once) + settings, body=f"LOCKS = {str(locks)!r}\n{BODY}")


def imported(site: Site) -> Any:
    """The application, in this process."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("limited_app", site.folder / "app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Killer:
    """Kills a part of a site's two trees, and starts another tree for one whose supervisor it killed."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site, self.chance, self.did = site, random.Random(seed), Counter[str]()
        self.trees = [site.tree(workers=2) for _ in range(2)]

    def strike(self) -> None:
        index = self.chance.randrange(2)
        tree = self.trees[index]
        verbs: list[Callable[[Tree], None]] = [*[self.worker] * 6, *[self.keeper] * 2, self.supervisor, self.host]
        verb = self.chance.choice(verbs)
        self.did[verb.__name__] += 1
        verb(tree)
        if verb in (self.supervisor, self.host):
            self.trees[index] = self.site.tree(workers=2, ready=False)

    def worker(self, tree: Tree) -> None:
        for pid in tree.workers()[:1]:
            kill(pid)

    def keeper(self, tree: Tree) -> None:
        for pid in self.keepers(tree):
            kill(pid)

    def keepers(self, tree: Tree) -> list[int]:
        """Its keeper, or none yet: a tree that starts, or a worker, may be struck as well."""
        workers = tree.workers()
        return [pid for pid in children(tree.pid) if workers and pid not in workers][:1]

    def supervisor(self, tree: Tree) -> None:
        tree.kill()

    def host(self, tree: Tree) -> None:
        """All at once: nobody is left to give anything back before the leases are over."""
        pids = children(tree.pid)
        tree.kill()
        for pid in pids:
            kill(pid)

    def during(self, seconds: float) -> None:
        over = time.monotonic() + seconds
        while time.monotonic() < over:
            time.sleep(self.chance.uniform(0.1, 0.8))
            self.strike()


def counted(site: Site) -> None:
    """What the store counts is what is there, and nothing is there."""
    store = flowing(site.queue.broker.open("duty"), "this test needs")
    assert store.recount("work") == []
    assert [one for one in store.standings("work") if one.running or one.waiting] == []
    assert list(store.standings("work", pool="crm")) == [], "the last task of a lane takes the lane with it"


@pytest.mark.fault(90)
@on_each_store
@pytest.mark.parametrize("seed", seeds(1, 5))
def test_no_lane_runs_two_at_once_or_stands_still_while_everything_is_killed(site: Site, seed: int) -> None:
    limited(site, at_once=1)
    killer = Killer(site, seed)
    app, chance, number = imported(site), killer.chance, 0
    many = []
    for number in range(size(80, 600)):
        site.producer.write(f"I {number}")
        site.producer.write(f"A {number}")
        many.append({"n": number, "tenant": f"t{number % 6}", "seconds": chance.uniform(0, 0.3)})
    app.call.push_many(many)
    killer.during(size(5, 30))
    books = site.settle(60 + size(0, 120), extra_starts=None, extra_ends=sum(killer.did.values()) * 2)
    assert not [words for words in books.words if words[0] == "T"], killer.did
    began: dict[str, list[int]] = {}
    for _, tenant, _n, at in (words for words in books.words if words[0] == "B"):
        began.setdefault(tenant, []).append(int(at))
    for tenant, times in began.items():
        times.sort()
        worst = max(b - a for a, b in itertools.pairwise(times)) / 1e9
        assert worst < LEASE + START, f"{tenant} stood still for {worst:.1f} s"
    counted(site)


PUSHER = """
import sys, time, random
sys.path.insert(0, {folder!r})
import app
DELAYS = {{"keep": (0, 0, 0.3), "replace": (0, 0, 0.3), "later": (0.05, 0.3)}}
me, seconds, clash = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
chance, n, over = random.Random(me), me * 1_000_000, time.monotonic() + seconds
while time.monotonic() < over:
    n += 1
    app.write("I", n)
    key = f"k{{chance.randrange(5)}}"
    got = app.only.options(clash=clash, delay=chance.choice(DELAYS[clash])).push(n=n, key=key, seconds=chance.uniform(0, 0.1))
    app.write("P", n, got.did, got.new, key, got.holder or "-")
    if got.new and clash == "keep":
        app.write("A", n)
    time.sleep(0.005)
"""


@pytest.mark.fault(91)
@on_each_store
@pytest.mark.parametrize("clash", ["keep", "replace", "later"] if FULL else ["keep", "replace"])
@pytest.mark.parametrize("seed", seeds(1, 3))
def test_of_one_key_never_two_wait_or_run_while_many_push_and_workers_are_killed(
    site: Site, seed: int, clash: str
) -> None:
    limited(site, at_once=None if clash == "keep" else 1)  # kept: it is the key that excludes, not the lane
    killer = Killer(site, seed)
    (site.folder / "pusher.py").write_text(PUSHER.format(folder=str(site.folder)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    seconds = size(4, 30)
    pushers = [
        subprocess.Popen([sys.executable, "pusher.py", str(me), str(seconds), clash], cwd=site.folder, env=environment)
        for me in range(1, 4)
    ]
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        killer.during(0.3)
    assert [one.wait(30) for one in pushers] == [0, 0, 0]
    site.store.quiet(60)
    books = site.books()
    did = Counter(words[2] for words in books.words if words[0] == "P")
    assert not [words for words in books.words if words[0] == "T"], (killer.did, did)
    if clash == "keep":
        books.check(extra_starts=None, extra_ends=sum(killer.did.values()) * 2)
        assert did["kept"] and did["new"]
    counted(site)
    app = imported(site)
    for key in range(5):
        assert app.only.push(n=key + 1, key=f"k{key}").new, "no key outlives its task"
    site.ended(*range(1, 6))


@pytest.mark.fault(91)
@on_each_store
@pytest.mark.parametrize("clash", ["replace", "later"])
def test_the_last_word_of_a_key_runs_though_its_workers_are_killed(site: Site, clash: str) -> None:
    limited(site, at_once=1)
    killer, app = Killer(site, 1), imported(site)
    for turn in range(size(3, 40)):
        for key in range(3):
            for last in range(3):
                n = turn * 100 + key * 10 + last + 1
                app.only.options(clash=clash, delay=0.05).push(n=n, key=f"k{key}", seconds=0.05)
        for tree in killer.trees:
            killer.worker(tree)
        site.ended(*(turn * 100 + key * 10 + 3 for key in range(3)), within=30)
    site.store.quiet(30)
    counted(site)


@pytest.mark.fault(91)
@on_each_store
def test_a_unique_task_that_dies_frees_its_key_and_takes_it_again_when_it_is_revived(site: Site) -> None:
    limited(site, at_once=1, settings="max_retries=1, backoff=Backoff(0.2), ")
    site.tree(workers=2)
    app = imported(site)
    assert app.only.push(n=1, key="k", fails=3).new
    site.started(1)
    assert not app.only.push(n=2, key="k").new, "held while it waits to be tried again"
    eventually(lambda: 1 in site.store.dead(), 15, site.logs)
    look = site.queue.broker.open("duty")
    [letter] = look.dead("work", 10)
    second = app.only.push(n=3, key="k", seconds=1.5)
    assert second.new, "dead: the key is free"
    site.started(3)
    assert look.revive("work", {letter.id: None}) == 0, "held by another: it stays a letter"
    site.ended(3)
    site.store.quiet(10)
    assert look.revive("work", {letter.id: None}) == 1
    eventually(lambda: len(site.books().starts[1]) > 2, 10, site.logs)
    eventually(lambda: 1 in site.store.dead(), 15, site.logs)
    site.store.quiet(10)
    counted(site)
