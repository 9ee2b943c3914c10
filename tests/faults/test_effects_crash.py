"""Tasks that each push a child and keep a result, while workers, keepers and supervisors are killed at random: the accounts.

Every child writes a line of its own to a file. The line, and the result of the child's parent, bear the name of the attempt that
left them: so nothing that is lost, comes twice, or was left by an attempt that is not the settled one hides behind another.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from typing import Any

import pytest

from harness.each_store import on_each_store
from harness.scale import seeds, size
from harness.site import Site
from harness.tree import Tree
from harness.wait import children
from regiment import Queue
from regiment.broker import extras
from regiment_results import Results, as_completed

SETTINGS = (
    'recheck=0.2, max_deliveries=1000, poison_delays=[0.05], plugins=[Use("results", ttl=3600)], tasks_per_transaction='
)

BODY = """
LINES = os.open({folder!r} + "/children", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


@work.task
def child(n, attempt):
    os.write(LINES, f"{{n}} {{attempt}} {{current().task.id}}\\n".encode())


@work.task
def parent(n, seconds):
    attempt = os.urandom(8).hex()
    current().commit.push(child, n=n, attempt=attempt)
    time.sleep(seconds)
    return [n, attempt]
"""

SHARES = {"worker": 6, "keeper": 3, "supervisor": 1}
"""How often who is killed; a keeper's share is also that of the process beside it that notes what runs."""


class Killer:
    """Kills somebody of a tree of two workers at random moments, and starts the tree again when its supervisor is gone."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site, self.chance = site, random.Random(seed)
        self.kills = dict.fromkeys(SHARES, 0)
        self.tree: Tree = site.tree(workers=2)

    def strike(self) -> None:
        (whom,) = self.chance.choices(list(SHARES), list(SHARES.values()))
        workers = self.tree.workers()
        found = {
            "worker": workers,
            "keeper": [pid for pid in children(self.tree.pid) if pid not in workers],
            "supervisor": [self.tree.pid],
        }[whom]
        if not found:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.chance.choice(found), signal.SIGKILL)
            self.kills[whom] += 1
        if whom == "supervisor":
            self.tree.process.wait()
            self.tree = self.site.tree(workers=2, ready=False)


@pytest.mark.fault(73)
@on_each_store
@pytest.mark.parametrize("batch", [1, 100])
@pytest.mark.parametrize("seed", seeds(1, 1))
def test_each_parent_has_one_child_and_one_result_whoever_is_killed_and_when(site: Site, batch: int, seed: int) -> None:
    if "effects" not in extras(site.store.look):
        pytest.skip("this store keeps no effects")
    number, seconds = size(300, 10_000), size(4, 60)
    site.app(f"{SETTINGS}{batch}", body=BODY.format(folder=str(site.folder)))
    queue = Queue(site.queue.name, connector=site.url, push_timeout=20, plugins=[Results(ttl=3600)])
    parent, handles, told = queue.options(name="parent"), list[Any](), list[int]()

    def push() -> None:
        for n in range(number):
            handles.append(parent.push(n=n, seconds=0.003))
            time.sleep(0.7 * seconds / number)

    killer, until = Killer(site, seed), time.monotonic() + seconds
    pusher = threading.Thread(target=push)
    pusher.start()
    while time.monotonic() < until:
        time.sleep(killer.chance.uniform(0.05, 0.45))  # the random moment is the row itself
        killer.strike()
    pusher.join()
    waiter = threading.Thread(target=lambda: told.extend(one.result(0)[0] for one in as_completed(handles, 300)))
    waiter.start()
    site.store.quiet(300)
    waiter.join(30)
    lines = [line.split() for line in (site.folder / "children").read_text().splitlines()]
    results = [one.result(5) for one in handles]
    born: dict[int, set[tuple[str, str]]] = {}
    for n, attempt, id in lines:
        born.setdefault(int(n), set()).add((attempt, id))
    print(
        f"{killer.kills} killed; {len(results):,} results of {number:,} tasks, {sum(map(len, born.values())):,} children, "
        f"which ran {len(lines):,} times"
    )
    assert len(handles) == number and sum(killer.kills.values())
    assert not site.store.dead()
    assert [n for n, _ in results] == list(range(number)), "one result each"
    assert {n: len(ids) for n, ids in born.items()} == dict.fromkeys(range(number), 1), "one child each"
    assert dict(results) == {n: next(iter(ids))[0] for n, ids in born.items()}, "of one attempt"
    assert len(lines) - number <= killer.kills["worker"] + 2 * killer.kills["supervisor"], (
        "runs of children, one for a kill"
    )
    assert sorted(told) == list(range(number)), "who waits has heard of each"
    assert killer.tree.stop() == 0
    queue.broker.close()
