"""What goes wrong while somebody waits: the store is restarted, connections are cut or fall silent, the program ends."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import mongod
from harness.proxy import Proxy
from harness.servers import RedisServer, redis
from regiment.contracts import Keep
from regiment.outcome import Outcome as Ended
from regiment_results import Handle, ResultQueue, Results, listening
from regiment_results.records import key_of, outcome_record, rank_of


def ended(queue: ResultQueue, handles: list[Handle[Any]], value: int = 7) -> None:
    """What a worker keeps when these tasks have succeeded."""
    for one in handles:
        key = key_of(one.id)
        made = outcome_record(1, Ended("success", value=value), time.time(), 0.1)
        keep = Keep(key, queue.broker.codec.pack(made, (queue.name, key)), 600.0, rank_of(time.time() + 1))
        there = queue.handle(one.id)  # it asks again where the store does not answer
        there._ask(lambda store, keep=keep: store.apply(queue.name, [keep], token=keep.key))


def queue_on(url: str) -> tuple[ResultQueue, Callable[[], Handle[int]]]:
    queue = ResultQueue("shop", plugins=[Results()], connector=url, push_timeout=20)
    return queue, lambda: queue.options(name="add").push(x=1)  # type: ignore[return-value]


def waiting(handles: list[Handle[int]]) -> tuple[list[threading.Thread], list[int]]:
    got: list[int] = []
    threads = [threading.Thread(target=lambda one=one: got.append(one.result(timeout=60))) for one in handles]
    for thread in threads:
        thread.start()
    return threads, got


def both_answered(threads: list[threading.Thread], got: list[int], since: float, within: float) -> None:
    for thread in threads:
        thread.join(60)
    assert got == [7] * len(threads)
    assert time.monotonic() - since < within


@pytest.mark.parametrize("how", [RedisServer.stop, RedisServer.kill], ids=["stopped", "killed"])
def test_a_wait_outlives_a_restart_of_redis(how: Callable[[RedisServer], None]) -> None:
    with redis("--appendfsync", "always") as server:
        queue, push = queue_on(server.url)
        handles = [push() for _ in range(20)]
        threads, got = waiting(handles)
        time.sleep(0.3)
        how(server)
        time.sleep(0.5)
        server.start()
        ended(queue, handles)
        both_answered(threads, got, time.monotonic(), 10)
        queue.broker.close()


def test_a_wait_outlives_a_restart_of_mongod() -> None:
    with mongod.cluster(1, "rs") as found:
        queue, push = queue_on(found.at("shop"))
        handles = [push() for _ in range(20)]
        threads, got = waiting(handles)
        time.sleep(0.3)
        member = found.primary()
        member.kill()
        member.start()
        member.wait()
        ended(queue, handles)
        both_answered(threads, got, time.monotonic(), 20)
        queue.broker.close()


@pytest.mark.parametrize("what", ["reset", "half_open"])
def test_a_connection_that_is_cut_or_falls_silent_delays_an_answer_and_loses_none(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "AGAIN", 1.0)
    with redis() as server, Proxy(int(server.url.rpartition(":")[2].partition("/")[0])) as proxy:
        proxied, push = queue_on(proxy.url)
        direct, _ = queue_on(server.url)
        handles = [push() for _ in range(5)]
        threads, got = waiting(handles)
        time.sleep(0.3)
        getattr(proxy, what)()
        ended(direct, handles)
        time.sleep(0.5)
        proxy.pass_on()
        both_answered(threads, got, time.monotonic(), 20)
        proxied.broker.close()
        direct.broker.close()


PROGRAM = """
import sys, threading, time
from regiment_results import ResultQueue, Results, ResultTimeout
queue = ResultQueue("shop", plugins=[Results()], connector=sys.argv[1])
handle = queue.options(name="add").push(x=1)
threading.Thread(target=lambda: handle.result(), daemon=True).start()
try:
    handle.result(timeout=0.5)
except ResultTimeout:
    print("late", flush=True)
"""


@pytest.mark.parametrize("store", ["sqlite", "redis", "silent"])
def test_a_program_that_waits_ends_when_it_ends(store: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))

    def run(url: str, before: Callable[[], None] = lambda: None) -> None:
        program = subprocess.Popen(
            [sys.executable, "program.py", url], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert program.stdout is not None
        assert program.stdout.readline() == "late\n"
        before()
        told, said = program.communicate(timeout=20)
        assert (program.returncode, told, said) == (0, "", "")

    if store == "sqlite":
        run(f"sqlite:///{tmp_path}/queue.db")
        return
    with redis() as server:
        run(server.url, server.pause if store == "silent" else lambda: None)
        server.resume()
