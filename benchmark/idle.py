"""What a tree costs that has nothing to do: CPU, wake-ups and memory of each process, commands at the server; and how soon a
tree runs its first task.

    python -m benchmark.idle [--seconds 60] [--workers 2] [--starts 0] [sqlite redis]

CPU is the scheduler's, wake-ups are voluntary context switches of all threads, memory is the proportional share (PSS) of one
tree on a machine that runs no other. Commands are those of INFO commandstats, with those inside of scripts. `--starts` times so
many starts, each from the command line to the first statement of a task that waits, in turn with a bare Python that imports
redis-py, connects and pops (or opens SQLite and deletes).
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from harness import servers
from harness.wait import children

APP = """
import os, time
from regiment import Queue

q = Queue("idle", connector={url!r})

@q.task
def note() -> None:
    os.write(1, b"%.6f\\n" % time.clock_gettime(time.CLOCK_BOOTTIME))
"""

BARE = """
import os, sys, time
url = sys.argv[1]
if url.startswith("redis"):
    import redis
    redis.Redis.from_url(url).blpop("bare")
else:
    import sqlite3
    made = sqlite3.connect(url.removeprefix("sqlite:///"))
    made.execute("SELECT 1").fetchone()
os.write(1, b"%.6f\\n" % time.clock_gettime(time.CLOCK_BOOTTIME))
"""


class Process(NamedTuple):
    """One process: milliseconds of CPU and wake-ups so far, bytes of memory."""

    cpu: float
    wakes: int
    pss: int


def look(pid: int) -> Process:
    """What /proc says of a process and its threads."""
    used, wakes = 0, 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        used += int((thread / "schedstat").read_text().split()[0])
        found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (thread / "status").read_text(), re.MULTILINE)
        wakes += int(found[1]) if found else 0
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return Process(used / 1e6, wakes, int(found[1]) * 1024 if found else 0)


@contextmanager
def _store(name: str, folder: Path) -> Iterator[str]:
    if name == "sqlite":
        yield f"sqlite:///{folder}/q.db"
    else:
        with servers.address() as url:
            yield url


def _commands(url: str) -> dict[str, int]:
    """How often each command was called; none where there is no server."""
    if not url.startswith("redis"):
        return {}
    import redis

    with redis.Redis.from_url(url) as client:
        found = client.info("commandstats")
    return {
        name.removeprefix("cmdstat_"): said["calls"]
        for name, said in found.items()
        if not name.startswith(("cmdstat_info", "cmdstat_client", "cmdstat_hello"))
    }


def _push(place: str) -> None:
    subprocess.run([sys.executable, "-c", "import app; app.note.push()"], cwd=place, check=True)


def _seen(path: Path, many: int, seconds: float = 30.0) -> list[float]:
    end = time.monotonic() + seconds
    while len(lines := path.read_text().split()) < many:
        if time.monotonic() > end:
            raise SystemExit(f"{many} tasks were to run within {seconds:g} s, and {len(lines)} did")
        time.sleep(0.002)
    return [float(line) for line in lines]


@contextmanager
def _tree(place: str, seen: Path, workers: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "regiment", "run", f"app:q={workers}", "--log-format", "off"]
    with open(seen, "wb") as output:
        made = subprocess.Popen(command, cwd=place, stdout=output)
    try:
        yield made
    finally:
        made.send_signal(signal.SIGTERM)
        made.wait(60)


def idle(name: str, workers: int, seconds: float) -> None:
    """Print what an idle tree costs on a store."""
    with tempfile.TemporaryDirectory() as place, _store(name, Path(place)) as url:
        Path(place, "app.py").write_text(APP.format(url=url))
        with _tree(place, Path(place, "seen"), workers) as made:
            _push(place)
            _seen(Path(place, "seen"), 1)
            time.sleep(10)  # until all are ready and have seen for a while that nothing runs
            pids = [made.pid, *sorted(children(made.pid))]
            before, sent, began = {pid: look(pid) for pid in pids}, _commands(url), time.monotonic()
            time.sleep(seconds)
            took, after, now_sent = time.monotonic() - began, {pid: look(pid) for pid in pids}, _commands(url)
    # The keeper is forked right after the first worker.
    names = ["supervisor", "worker", "keeper", *["worker"] * workers][: len(pids)]
    rows = [
        (role, (after[pid].cpu - before[pid].cpu) / took, (after[pid].wakes - before[pid].wakes) / took, after[pid].pss)
        for role, pid in zip(names, pids, strict=True)
    ]
    whole = ("all", sum(row[1] for row in rows), sum(row[2] for row in rows), sum(row[3] for row in rows))
    for role, cpu, wakes, pss in [*rows, whole]:
        print(f"{name:<8}{role:<11}{cpu:7.3f} ms/s {wakes:6.2f} wake-ups/s {pss / 1048576:6.1f} MiB")
    calls = {one: count - sent.get(one, 0) for one, count in now_sent.items() if count > sent.get(one, 0)}
    if calls:
        told = ", ".join(f"{one} {count}" for one, count in sorted(calls.items(), key=lambda item: -item[1]))
        print(f"{name:<8}{sum(calls.values()) / took:.2f} commands/s ({told} in {took:.0f} s)", flush=True)


def starts(name: str, times: int) -> None:
    """Print how long starts take, beside those of a bare Python."""
    ours, bare = [], []
    with tempfile.TemporaryDirectory() as place, _store(name, Path(place)) as url:
        Path(place, "app.py").write_text(APP.format(url=url))
        Path(place, "bare.py").write_text(BARE)
        seen = Path(place, "seen")
        for _ in range(times):
            _push(place)
            began = time.clock_gettime(time.CLOCK_BOOTTIME)
            with _tree(place, seen, 1):
                ours.append(_seen(seen, 1)[0] - began)
            if url.startswith("redis"):
                import redis

                with redis.Redis.from_url(url) as client:
                    client.rpush("bare", 1)
            began = time.clock_gettime(time.CLOCK_BOOTTIME)
            told = subprocess.run([sys.executable, "bare.py", url], cwd=place, stdout=subprocess.PIPE, check=True)
            bare.append(float(told.stdout) - began)
    ratio = statistics.median(one / other for one, other in zip(ours, bare, strict=True))
    print(
        f"{name:<8}first task after {statistics.median(ours) * 1000:.0f} ms (least {min(ours) * 1000:.0f}); bare "
        f"{statistics.median(bare) * 1000:.0f} ({min(bare) * 1000:.0f}); {ratio:.2f} times, median of {times} pairs",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="*", default=["sqlite", "redis"], metavar="STORE")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--starts", type=int, default=0)
    given = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in given.stores:
        if given.starts:
            starts(name, given.starts)
        else:
            idle(name, given.workers, given.seconds)


if __name__ == "__main__":
    main()
