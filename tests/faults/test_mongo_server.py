"""Rows 12, 34, 37, 38, 40 to 43, 45 and 51 on MongoDB: whole trees under load while the server dies, steps down, stands still."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import mongod
from harness.ledger import Books, Producer, boot_ns
from harness.load import Load
from harness.proxy import Proxy
from harness.scale import seeds, size
from harness.site import Site
from harness.wait import eventually
from regiment import Queue
from regiment.errors import StoreUnavailable

JOURNAL = 0.3
"""Seconds: what the server's memory may be ahead of its journal (0.1 by default), and some for a busy machine. A server
that is killed forgets claims and settlements of that time, so they happen again."""


@pytest.fixture(scope="module")
def server() -> Iterator[mongod.Cluster]:
    """A replica set of one that these tests stop, kill and start again."""
    with mongod.cluster(replica_set="faults") as made:
        yield made


@pytest.fixture(scope="module")
def three() -> Iterator[mongod.Cluster]:
    with mongod.cluster(3, replica_set="three") as made:
        yield made


@pytest.fixture
def store(server: mongod.Cluster) -> str:
    mongod.empty(server.url, "faults")
    return server.at("faults")


@pytest.fixture
def proxy(server: mongod.Cluster, site: Site) -> Iterator[Proxy]:
    """Between the workers and the server; the producer goes straight."""
    with Proxy(server.members[0].port) as made:
        site.url = f"mongodb://127.0.0.1:{made.port}/faults?directConnection=true"
        yield made
        for tree in site.trees:
            tree.stop()  # while what it speaks to is there


@contextmanager
def pushing(site: Site) -> Iterator[list[float]]:
    """Push one task after another meanwhile, in a thread; the seconds that each push took, also one that failed."""
    took: list[float] = []
    ended = threading.Event()

    def produce() -> None:
        while not ended.is_set():
            begun = time.monotonic()
            try:
                site.push(seconds=0.002)
            except StoreUnavailable:
                pass
            took.append(time.monotonic() - begun)

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        yield took
    finally:
        ended.set()
        producer.join()


def forgotten(books: Books, faults: list[int], held: int) -> int:
    """How many tasks may run again: what ended just before each fault (boot clock), and what was on lease."""
    ends = [line.at for lines in books.ends.values() for line in lines]
    return sum(held + sum(fault - JOURNAL * 1e9 <= at <= fault + 1e9 for at in ends) for fault in faults)


@pytest.mark.fault(37)
@pytest.mark.parametrize("seed", seeds(1, 2))
def test_no_acknowledged_push_is_lost_when_mongod_is_killed_under_load(
    site: Site, server: mongod.Cluster, seed: int
) -> None:
    chance = random.Random(seed)
    site.app("tasks_per_transaction=8, recheck=0.2")
    tree = site.tree(workers=2)
    before = tree.workers()
    kills: list[int] = []
    with pushing(site):
        for _ in range(size(2, 10)):
            time.sleep(chance.uniform(0.3, 1.0))  # the random moment is the row itself
            kills.append(boot_ns())
            server.members[0].kill()
            server.members[0].start()
            server.primary()
            done = len(site.books().ends)
            eventually(lambda: len(site.books().ends) > done, 10, site.logs)
        site.until(lambda books: len(books.acknowledged) > 100, 60)
    bound = forgotten(site.books(), kills, 16)
    site.settle(30, extra_starts=bound, extra_ends=bound)
    assert tree.workers() == before, "no process was replaced"


@pytest.mark.fault(34)
def test_workers_go_on_within_two_seconds_of_a_restart_and_nothing_is_lost_or_doubled(
    site: Site, server: mongod.Cluster
) -> None:
    site.app("tasks_per_transaction=8")
    tree = site.tree(workers=2)
    before = tree.workers()
    with pushing(site):
        for _ in range(size(2, 10)):
            time.sleep(0.5)
            server.members[0].stop()
            server.members[0].start()
            server.primary()
            back = boot_ns()
            eventually(
                lambda: any(lines[-1].at > back for lines in list(site.books().starts.values())[-50:]),
                2.5,
                site.logs,
            )
    # A clean stop writes everything down, and what was under way is repeated.
    site.settle(30, extra_starts=0)
    assert tree.workers() == before, "no process was replaced"


@pytest.mark.fault(38)
def test_a_primary_that_steps_down_again_and_again_costs_nothing_and_nobody_notices(
    tmp_path: Path, three: mongod.Cluster
) -> None:
    mongod.empty(three.url, "faults")
    with Site(tmp_path, three.at("faults")) as site:
        producer = Producer(site.ledger, Queue("work", connector=site.url, push_timeout=20.0))
        site.app("tasks_per_transaction=8", hooks=True)
        tree = site.tree(workers=2)
        site.producer = producer
        site.push = producer.push
        faults: list[int] = []
        with pushing(site) as took:
            for _ in range(size(2, 8)):
                time.sleep(size(1, 15))  # the period of the row
                with three.primary().client() as client:
                    faults.append(boot_ns())
                    client.admin.command({"replSetStepDown": 5, "force": True})
                many = len(took)
                eventually(lambda: len(took) > many + 20, 30, site.logs)
        assert len(site.books().acknowledged) > 50
        site.store.quiet(60)
        books = site.books()
        bound = forgotten(books, faults, 16)
        books.check(site.store.dead(), extra_starts=bound, extra_ends=bound)
        told = {one.outcome for lines in books.told.values() for one in lines}
        assert told == {"success"}, "no error reaches the user's code"
        assert not tree.events("worker.crashed")
        producer.queue.broker.close()
        assert not books.unknown, "an election is shorter than the time for which a push is repeated"
        assert books.invoked == books.acknowledged


@pytest.mark.fault(40)
def test_a_server_that_stands_still_makes_pushes_fail_in_time_and_none_twice(
    site: Site, server: mongod.Cluster
) -> None:
    site.app("tasks_per_transaction=8")
    site.tree(workers=2)
    with pushing(site) as took:
        time.sleep(0.5)
        server.members[0].pause()
        try:
            time.sleep(size(5, 20))  # longer than lease and push_timeout: the row itself
        finally:
            server.members[0].resume()
        eventually(lambda: len(took) > 20, 10)
        time.sleep(0.5)
    assert max(took) < 6, "a push ends within its push_timeout and one call's timeout"
    # Nobody's lease was taken for over, and a push whose answer was lost is one task.
    books = site.settle(20, extra_starts=0)
    assert books.unknown <= books.ends.keys() | set(range(1, site.producer.next))


@pytest.mark.fault(41)
def test_a_cut_network_is_used_again_within_two_seconds_of_its_return(site: Site, proxy: Proxy) -> None:
    site.app("tasks_per_transaction=8")
    tree = site.tree(workers=2)
    before = tree.workers()
    with pushing(site):
        time.sleep(0.5)
        proxy.drop()
        time.sleep(size(2, 10))  # the outage
        back = boot_ns()
        proxy.pass_on()
        eventually(
            lambda: any(lines[-1].at > back for lines in list(site.books().starts.values())[-200:]),
            2.5,
            site.logs,
        )
    site.settle(20, extra_starts=0 if size(1, 0) else None, extra_ends=0 if size(1, 0) else 16)
    assert tree.workers() == before, "no process was replaced"


@pytest.mark.fault(42)
def test_idle_workers_notice_within_three_seconds_that_their_connections_are_dead(site: Site, proxy: Proxy) -> None:
    """Everything on them vanishes in silence: the hint that wakes them, and the answers that they wait for."""
    site.app()
    site.tree(workers=1)
    site.ended(site.push())
    proxy.half_open()
    time.sleep(1)
    lost = site.push()
    time.sleep(3)
    proxy.pass_on()
    site.ended(lost, within=5)
    for _ in range(3):
        time.sleep(0.5)
        begun = time.monotonic()
        site.ended(site.push(), within=3)
    assert time.monotonic() - begun < 1, "hints arrive again"
    site.settle(5, extra_starts=0)


@pytest.mark.fault(43)
def test_a_slow_server_costs_time_and_no_duplicate_and_no_storm_of_connections(site: Site, proxy: Proxy) -> None:
    site.app("tasks_per_transaction=20")
    tree = site.tree(workers=2)
    many = proxy.connections
    proxy.delay(0.2)
    site.push_many([{"seconds": 0.1}] * size(80, 800))
    books = site.settle(size(60, 200), extra_starts=0)
    assert all(line.delivery == 0 for lines in books.starts.values() for line in lines)
    assert proxy.connections - many < 20
    assert not tree.events("worker.crashed")


@contextmanager
def no_primary(member: mongod.Mongod, state: str) -> Iterator[None]:
    """The only member takes no writes meanwhile; if it is "recovering", it answers no reads either."""
    with member.client() as client:
        client.admin.command({"replSetStepDown": 60, "force": True})
        if state == "recovering":
            client.admin.command("replSetMaintenance", True)
        yield
        if state == "recovering":
            client.admin.command("replSetMaintenance", False)
        client.admin.command("replSetFreeze", 0)  # it may be elected again


@pytest.mark.fault(45)
@pytest.mark.parametrize("state", ["secondary", "recovering"])
def test_workers_wait_while_their_server_takes_no_writes(site: Site, server: mongod.Cluster, state: str) -> None:
    site.app("tasks_per_transaction=1, recheck=0.2", hooks=True)
    tree = site.tree(workers=2)
    before = tree.workers()
    with Load(site, push_timeout=25) as load:
        for _ in range(size(2, 10)):
            many = len(site.books().ends)
            site.until(lambda books, many=many: len(books.ends) > many + 30, 20)
            known = len(tree.events("connector.lost"))
            with no_primary(server.members[0], state):
                eventually(lambda known=known: len(tree.events("connector.lost")) > known, 10, tree.text)
            server.primary()
            back = boot_ns()
            eventually(
                lambda back=back: any(lines[-1].at > back for lines in list(site.books().starts.values())[-50:]),
                2.5,
                site.logs,
            )
    books = site.settle(30, extra_starts=0)
    assert load.refused == 0 and not books.unknown
    assert {one.outcome for lines in books.told.values() for one in lines} == {"success"}
    assert tree.workers() == before, "no process was replaced"


@pytest.mark.fault(45)
def test_a_wrong_password_ends_the_start_of_a_tree_within_five_seconds_and_is_not_shown(
    site: Site, tmp_path: Path
) -> None:
    locked = mongod.Mongod(tmp_path / "locked", None, "--auth").start()
    try:
        with locked.client() as client:
            client.admin.command("createUser", "ann", pwd="right-one", roles=["root"])
        where = f"127.0.0.1:{locked.port}/q?authSource=admin"
        site.app(connector=repr(f"mongodb://ann:wrong-one@{where}"))
        tree = site.tree(workers=2, ready=False)
        assert tree.end(20) == 4
        assert tree.lived() < 5
        said = [line for line in tree.text().splitlines() if line.startswith("error: ")]
        assert len(said) == 1 and "refuses the user name or the password" in said[0]
        assert "wrong-one" not in tree.text()
    finally:
        locked.kill()


@pytest.mark.fault(12)
def test_a_limit_that_passes_inside_a_push_leaves_a_connection_that_works(site: Site) -> None:
    site.app(
        "timeouts=Timeouts(soft=0.1, hard=5.0)",
        hooks=True,
        body="""
@work.task
def busy(n, first):
    begin(n)
    for i in range(10_000):
        write("I", first + i)
        nap.push(n=first + i)
        write("A", first + i)
    end(n)
""",
    )
    site.tree(workers=1)
    many = size(5, 50)
    for i in range(many):
        n = site.push("busy", first=1_000_000 * (i + 1))
        site.until(lambda books: books.told[n], 10)
    site.store.quiet(30)
    books = site.books()
    invoked = {n for n in books.invoked if n >= 1_000_000}
    ran = {n for n in books.ends if n >= 1_000_000}
    assert books.acknowledged - set(range(1_000_000)) <= ran, "a push that returned was executed"
    assert ran <= invoked
    assert len(invoked - books.acknowledged) <= many, "only the one that the limit struck is unknown"
    assert all(len(lines) == 1 for lines in books.starts.values())
    timeouts = [n for n, lines in books.told.items() if lines[0].outcome == "timeout"]
    assert len(timeouts) == many


@pytest.mark.fault(51)
@pytest.mark.parametrize("shift", [3600, -3600])
def test_a_worker_whose_clock_is_an_hour_wrong_keeps_its_leases_and_runs_everything_once(
    site: Site, shift: int
) -> None:
    """As Python tells the time there: libfaketime breaks CPython's own `time.sleep` (EINVAL, tried with 0.9.10)."""
    site.app(
        "tasks_per_transaction=8",
        name="wrong",
        body=f"""
true = time.time
time.time = lambda: true() + {shift}
""",
    )
    site.app("tasks_per_transaction=8")
    site.tree("wrong:work")
    site.tree()
    site.push_many([{"seconds": 0.02}] * size(200, 2000))
    late = site.push(options={"delay": 1.0})
    long = site.push(seconds=7.0)
    books = site.settle(60, extra_starts=0)
    assert late in books.ends
    assert long in books.ends, "longer than two leases"
    assert len({line.pid for lines in books.starts.values() for line in lines}) == 2
