"""The soak: a tree under load for as long as you like, with everything that goes wrong going wrong, then the accounting.

`python -m tests.harness.soak --seconds 1800 --seed 1`. Workers, the keeper and the whole tree are killed at random, workers
are recycled, run out of memory and are struck; the store is locked for a while. At the end: nothing lost (L0), nothing that
nobody pushed (L1), starts beyond one within what the kills allow (D), no process, page or descriptor left, memory flat (P).
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.site import Site
from harness.tree import Tree
from harness.wait import alive, descriptors, eventually

BODY = """
KEPT = []


@work.task
def grow(n, mib):
    begin(n)
    KEPT.append(bytearray(b"x") * (mib << 20))
    end(n)


@work.task
def burst(n, mib):
    begin(n)
    KEPT.append(bytearray(b"x") * (mib << 20))
    time.sleep(60)


@work.task
def shaky(n):
    begin(n)
    if current().task.run_count < 2:
        raise Retry(delay=0.1)
    end(n)
"""
SETTINGS = (
    "lease=3, recheck=0.5, tasks_per_transaction=20, max_tasks_per_run=400, timeouts=Timeouts(1.5, grace=0.3), "
    "max_retries=5, poison_delays=(0.0, 0.1), give_back_after=0.5, max_deliveries=20"
)
WORKERS = 4
MAX_MEMORY = "96MiB"


class Soak:
    """One soak; `run` returns whether the account is in order."""

    def __init__(self, site: Site, seconds: float, seed: int) -> None:
        self.site, self.seconds, self.chance = site, seconds, random.Random(seed)
        self.did: Counter[str] = Counter()
        self.doomed: set[int] = set()
        """Numbers of tasks that are to die."""
        self.tree = self._start()
        self.flat: list[tuple[int, int]] = []
        """Descriptors and resident bytes of a supervisor, first and last seen of the tree of now."""

    def run(self) -> bool:
        """Load and faults until the time is over; then the accounting."""
        faults: list[tuple[int, Callable[[], None]]] = [
            (30, self.kill_worker),
            (6, self.kill_keeper),
            (2, self.kill_tree),
            (8, self.stop_worker),
            (4, self.lock_store),
            (6, self.hog),
            (4, self.hang),
            (2, self.hang_up),
            (3, self.two_trees),
        ]
        weights, verbs = [weight for weight, _ in faults], [verb for _, verb in faults]
        until, said = time.monotonic() + self.seconds, time.monotonic()
        while time.monotonic() < until:
            self.load()
            self.chance.choices(verbs, weights)[0]()
            time.sleep(self.chance.uniform(0.1, 0.6))
            if time.monotonic() - said > 30:
                said = time.monotonic()
                print(f"{until - said:6.0f} s left  {self.summary()}", flush=True)
        return self.account()

    # Load

    def load(self) -> None:
        """A few hundred tasks of all kinds, unless many wait already."""
        if self.site.store.counts().ready > 3000:
            return
        self.site.push_many([{"seconds": self.chance.choice((0.0, 0.001, 0.01))} for _ in range(200)])
        self.site.push_many([{"mib": 4}] * 10, task="grow")
        self.site.push_many([{}] * 10, task="shaky")
        self.site.push("nap", seconds=self.chance.uniform(0.3, 0.8))

    # Faults

    def kill_worker(self) -> None:
        """`kill -9` of a worker, at a random moment."""
        workers = self.tree.workers()
        if workers:
            self._kill(self.chance.choice(workers))
            self.did["worker killed"] += 1

    def kill_keeper(self) -> None:
        """`kill -9` of the keeper, sometimes with a worker at the same time."""
        keeper = self.tree.keeper()
        self._kill(keeper)
        self.did["keeper killed"] += 1
        if self.chance.random() < 0.5:
            self.kill_worker()

    def kill_tree(self) -> None:
        """`kill -9` of the supervisor, or of everything; a new tree starts at once."""
        if self.chance.random() < 0.5:
            for pid in [self.tree.keeper(), *self.tree.workers()]:
                self._kill(pid)
            self.did["deliveries of a lost host"] += WORKERS * 21
        self.tree.kill()
        self.did["tree killed"] += 1
        self.tree = self._start()

    def hang_up(self) -> None:
        """SIGHUP: the tree is executed anew."""
        self._check_flat()
        before = len(self.tree.events("supervisor.stopped"))
        self.tree.send(signal.SIGHUP)
        self.tree.event("supervisor.stopped", 60, before + 1)
        self.tree.ready(WORKERS, 60)
        self.did["hung up"] += 1
        self.flat = []

    def stop_worker(self) -> None:
        """SIGTERM to a worker: it finishes what it runs, and is replaced."""
        workers = self.tree.workers()
        if workers:
            try:
                os.kill(self.chance.choice(workers), signal.SIGTERM)
            except ProcessLookupError:
                return
            self.did["worker stopped"] += 1

    def lock_store(self) -> None:
        """The store answers nobody for up to 4 s, more than a lease."""
        away = sqlite3.connect(self.site.folder / "queue.db", isolation_level=None, timeout=5)
        try:
            away.execute("BEGIN EXCLUSIVE")
            time.sleep(self.chance.uniform(0.5, 4.0))
            away.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return  # it was busy
        finally:
            away.close()
        self.did["store locked"] += 1

    def hog(self) -> None:
        """A task far above the hard limit of memory: it kills its worker until it is dead."""
        n = self.site.push("burst", mib=400)
        self.doomed.add(n)
        self.did["hog"] += 1

    def hang(self) -> None:
        """A task that obeys nobody."""
        self.doomed.add(self.site.push("deaf"))
        self.did["hang"] += 1

    def two_trees(self) -> None:
        """Another tree for a moment."""
        other = self._start()
        other.ready(1, 60)
        if self.chance.random() < 0.5:
            other.kill()
            self.did["tree killed"] += 1
        else:
            assert other.stop(60) == 0, other.text()[-2000:]
        self.did["two trees"] += 1

    # Accounting

    def account(self) -> bool:
        """Wait until all is done; say what was lost, doubled, left or leaked."""
        print(f"load and faults are over: {self.summary()}", flush=True)
        self.site.store.quiet(120 + 15 * len(self.doomed))
        books, dead = self.site.books(), self.site.store.dead()
        kills = sum(self.did[name] for name in ("worker killed", "worker stopped"))
        once = kills + self.did["tree killed"] * WORKERS + self.did["deliveries of a lost host"]
        once += self.did["hog"] * 20 + self.did["hang"] * 20
        retries = sum(len(lines) - 1 for n, lines in books.starts.items() if len(lines) == 3)
        books.check(dead, extra_starts=None, extra_ends=once)
        wrong = []
        surprise = set(dead) - self.doomed
        if surprise:
            wrong.append(
                f"{len(surprise)} dead letters that nobody expected: {[(n, dead[n].get('error')) for n in list(surprise)[:5]]}"
            )
        if self.doomed - set(dead):
            wrong.append(f"tasks that were to die and did not: {sorted(self.doomed - set(dead))[:10]}")
        self._check_flat()
        code = self.tree.stop(60)
        if code != 0:
            wrong.append(f"the last tree ended with {code}")
        print(
            f"pushed {len(books.acknowledged):,}, ended {len(books.ends):,}, dead {len(dead):,}; starts beyond the first "
            f"{books.extra_starts():,} (retries asked for: some {retries:,}), whole runs again {books.extra_ends():,} of {once:,} allowed"
        )
        for one in wrong:
            print(f"WRONG: {one}")
        return not wrong

    def summary(self) -> str:
        """What was done so far."""
        return ", ".join(f"{count} × {name}" for name, count in sorted(self.did.items()))

    def _check_flat(self) -> None:
        """The supervisor has no more descriptors than when all its workers were ready, and hardly more memory."""
        self.tree.ready(WORKERS, 60)

        def now() -> tuple[int, int]:
            with open(f"/proc/{self.tree.pid}/statm") as file:
                return descriptors(self.tree.pid), int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        if not self.flat:
            self.flat = [now()]
            return
        most = self.flat[0][0]
        eventually(lambda: now()[0] <= most, 20, lambda: f"descriptors: {most} before, {now()[0]} now")
        grown = now()[1] - self.flat[0][1]
        assert grown < 4 << 20, f"the supervisor has grown by {grown / 1024:.0f} KiB"

    def _start(self) -> Tree:
        self.flat = []
        tree = self.site.tree(workers=WORKERS, ready=False, max_memory=MAX_MEMORY)
        tree.ready(WORKERS, 60)
        return tree

    def _kill(self, pid: int) -> None:
        if alive(pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def main() -> int:
    """0 if the account is in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    said = parser.parse_args()
    print(f"soak for {said.seconds:g} s, seed {said.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="regiment-soak-") as folder:
        with Site(Path(folder), f"sqlite:///{folder}/queue.db") as site:
            site.app(SETTINGS, body=BODY)
            good = Soak(site, said.seconds, said.seed).run()
    print("nothing lost, duplicates within the promise, nothing left" if good else "the account is NOT in order")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
