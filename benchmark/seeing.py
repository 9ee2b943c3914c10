"""What it costs a worker to be seen: tasks that do nothing, a hundred at a time, in pairs of trees one after the other.

    python -m benchmark.seeing [--rounds 9] [--tasks 200000] [sqlite redis]

One tree of each pair counts nothing and serves nothing. The other one counts what ends, tells it to the store, and serves metrics and the
dashboard, with somebody who asks for both once a second. What is compared is the CPU time of the worker for each task, by its own clock.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from benchmark.measure.places import place
from benchmark.peers.system import Store
from harness import servers
from harness.store import connector
from regiment.build import make_broker
from regiment.config import WorkerConfig
from regiment.task import Task

APP = """
import os, time
from regiment import Queue

q = Queue("seen", connector={url!r}, tasks_per_transaction=100)

if os.environ.get("SEEN") == "off":
    from regiment_runner.worker.tallying import Tally
    Tally.turn = Tally.fold = Tally.ended = lambda self, *args: None

@q.task
def nothing(n: int) -> None:
    pass

@q.task
def mark(n: int) -> None:
    os.write(1, b"%d\\n" % time.process_time_ns())
"""
PART = 1000
"""Tasks of one push."""


def payloads(url: str, number: int) -> list[bytes]:
    """So many tasks; the clock is read after a tenth of them, and at nine tenths."""
    codec, marks = make_broker(WorkerConfig(name="seen", connector=url)).codec, (number // 10, number * 9 // 10)
    return [
        codec.encode(Task(f"t{n}", "seen", "mark" if n in marks else "nothing", {"n": n}, time.time()))
        for n in range(number)
    ]


def once(url: str, folder: Path, tasks: Sequence[bytes], seen: bool) -> float:
    """Microseconds of CPU that a task costs the worker of one tree."""
    with closing(connector(url, "push")) as store:
        for start in range(0, len(tasks), PART):
            store.push("seen", tasks[start : start + PART], priority=5, token=os.urandom(8).hex())
    ports = [servers.free_port(), servers.free_port()]
    more = [f"--metrics=127.0.0.1:{ports[0]}", f"--dashboard=127.0.0.1:{ports[1]}"] if seen else []
    words = [sys.executable, "-m", "regiment", "--log-format", "off", "run", "app", "--burst", *more]
    over = threading.Event()
    with open(folder / "said", "wb") as said:
        tree = subprocess.Popen(
            words, cwd=folder, stdout=said, env={**os.environ, "SEEN": "on" if seen else "off", "PYTHONUNBUFFERED": "1"}
        )
        watcher = threading.Thread(target=watch, args=(ports, over)) if seen else None
        if watcher:
            watcher.start()
        code = tree.wait(600)
    over.set()
    if watcher:
        watcher.join()
    marks = [int(line) for line in (folder / "said").read_text().split()]
    if code or len(marks) != 2:
        raise RuntimeError(
            f"the tree ended with exit code {code} and read its clock {len(marks)} times; expected 0 and 2"
        )
    return (marks[1] - marks[0]) / 1000 / (len(tasks) * 8 // 10)


def watch(ports: Sequence[int], over: threading.Event) -> None:
    """Ask for metrics and for the dashboard once a second."""
    while not over.wait(1.0):
        for port, path in zip(ports, ("metrics", "?fragment=1"), strict=True):
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
                answer.read()


def measured(kind: Store, rounds: int, number: int) -> list[tuple[float, float]]:
    """Microseconds for each task, seen by nobody and by everybody, in each pair; the order changes from pair to pair."""
    found = []
    with place(kind) as where, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.py").write_text(APP.format(url=where.url))
        tasks = payloads(where.url, number)
        once(where.url, folder, tasks, seen=True)
        for turn in range(rounds):
            order = (False, True) if turn % 2 else (True, False)
            pair = {seen: once(where.url, folder, tasks, seen) for seen in order}
            found.append((pair[False], pair[True]))
            print(f"{kind}: {pair[False]:.3f} and {pair[True]:.3f} µs, {pair[True] / pair[False]:.3f}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmark.seeing")
    parser.add_argument("stores", nargs="*", default=["sqlite", "redis"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tasks", type=int, default=200_000)
    asked = parser.parse_args()
    for kind in asked.stores:
        found = measured(kind, asked.rounds, asked.tasks)
        ratios = sorted(on / off for off, on in found)
        off, on = (statistics.median(each) for each in zip(*found, strict=True))
        quarter = len(ratios) // 4
        print(
            f"{kind}: {off:.2f} µs a task, {on:.2f} µs when it is seen; ratio {statistics.median(ratios):.3f} "
            f"(half of the pairs: {ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f}), load {os.getloadavg()[0]:.1f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
