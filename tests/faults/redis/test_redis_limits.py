"""Rows 48 and 50 of the fault matrix on Redis: a disk that is full or refuses, and too few connections."""

from __future__ import annotations

import os
import resource
import socket
import time

import pytest

from harness.ledger import boot_ns
from harness.load import Load
from harness.scale import size
from harness.servers import RedisServer
from harness.site import Site
from harness.wait import descriptors, eventually, took
from regiment.errors import QueueFull

RESUME = 2.0


def refuse_to_save(server: RedisServer) -> None:
    """Its snapshot fails: a folder stands where the file shall be."""
    server.ask("CONFIG", "SET", "save", "3600 1")
    snapshot = server.folder / "dump.rdb"
    snapshot.unlink(missing_ok=True)
    snapshot.mkdir()
    server.ask("BGSAVE")


def save_again(server: RedisServer) -> None:
    (server.folder / "dump.rdb").rmdir()
    server.ask("BGSAVE")


def fill_the_disk(server: RedisServer) -> None:
    """Its log cannot grow any more."""
    # Redis 7 has a folder of logs.
    now = max(path.stat().st_size for path in server.folder.rglob("*.aof"))
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (now, resource.RLIM_INFINITY))


def make_room(server: RedisServer) -> None:
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.fault(48)
@pytest.mark.parametrize(("breaks", "heals"), [(refuse_to_save, save_again), (fill_the_disk, make_room)])
def test_a_server_that_cannot_write_refuses_pushes_and_its_workers_pause_and_go_on(
    site: Site, server: RedisServer, breaks: object, heals: object
) -> None:
    site.app("tasks_per_transaction=8, recheck=0.2")
    tree = site.tree(workers=3)
    for _ in range(size(1, 10)):
        numbers = site.push_many([{"seconds": 0.01}] * 300)
        site.started(numbers[20])
        breaks(server)  # type: ignore[operator]

        def refused() -> bool:
            try:
                site.push()
            except QueueFull as error:
                return "it cannot write to its disk" in str(error)
            return False

        eventually(refused, 10, "a push was refused")
        tree.event("connector.lost", 5)
        os.kill(tree.workers()[0], 9)
        time.sleep(1.0)  # who starts while nothing can be written has to wait, too
        heals(server)  # type: ignore[operator]
        eventually(lambda: server.ask("SET", "x", 1) == "OK", 5)
        back = boot_ns()
        books = site.ended(*numbers, within=20)
        first = min(line.at for lines in books.starts.values() for line in lines if line.at > back)
        assert took(back, first) < RESUME
        tree.ready(3)
    site.settle(10, extra_starts=size(1, 10))
    assert not [e for e in tree.events("worker.crashed") if e["reason"] != "killed by SIGKILL"]
    site.reached(tree)
    assert tree.stop() == 0


@pytest.mark.fault(50)
def test_workers_beyond_the_connections_of_the_server_wait_and_leave_no_socket_open(
    site: Site, server: RedisServer
) -> None:
    site.app("tasks_per_transaction=8, recheck=0.2, lease=30")
    tree = site.tree(workers=4)
    with Load(site, push_timeout=30) as load:
        site.until(lambda books: len(books.ends) > 50, 10)
        workers, keeper = tree.workers(), tree.keeper()
        before = {pid: descriptors(pid) for pid in [*workers, keeper]}
        for _ in range(size(2, 10)):
            with socket.create_connection(("127.0.0.1", server.port), 5) as one:
                one.sendall(b"CONFIG SET maxclients 5\r\nCLIENT KILL TYPE normal SKIPME yes\r\n")
                tree.event("connector.lost", 5)
                time.sleep(1.0)  # who has a connection works, who has none tries again
                one.sendall(b"CONFIG SET maxclients 100\r\n")
                eventually(lambda: server.ask("PING") == "PONG", 5)
            ends = len(site.books().ends)
            site.until(lambda books: len(books.ends) > ends + 50, 10)
    site.settle(15, extra_starts=0)
    assert load.refused == 0
    assert sorted(tree.workers()) == sorted(workers)
    eventually(
        lambda: all(descriptors(pid) <= before[pid] for pid in before),
        5,
        lambda: f"{before} before, {[(pid, descriptors(pid)) for pid in before]} now",
    )
    site.reached(tree)
    assert tree.stop() == 0
