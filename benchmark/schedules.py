"""Schedulers side by side: two instances of each, one stopped for a while, then the other killed; ticks lost and doubled.

    python -m benchmark.schedules [NAME …]

Prints a table as docs/schedules.md has it. A tick a second, or the finest that a system has; each step lasts ten ticks (huey,
by the minute: two). Where a task can say for which tick it runs, that is counted; where it cannot, the time at which it runs, and
a tick that comes half a period late counts as lost and, where the next has one already, as doubled.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmark.measure import venvs
from benchmark.measure.places import place as placed
from benchmark.peers.system import Store, System
from harness.wait import children

APPS = Path(__file__).parent / "peers" / "ticking"
FIRST, LATE = 90.0, 45.0
"""Seconds until the first tick has to come, and for which late ones are waited for in the end."""


class Peer(NamedTuple):
    """How a system's schedulers are started; `worker` is beside them where they run nothing themselves."""

    name: str
    packages: tuple[str, ...]
    scheduler: Callable[[Path, str, int], list[str]]
    """From the folder of programs, the URL of the store and the number of the instance."""
    worker: Callable[[Path, str], list[str]] | None = None
    period: float = 1.0
    steps: int = 10
    """Ticks of each step."""
    store: Store = "redis"


PEERS = [
    Peer("regiment", (), lambda bin, url, n: [f"{bin}/regiment", "run", "ticks_regiment"]),
    Peer(
        "celery",
        ("celery[redis]", "hiredis", "setuptools"),
        lambda bin, url, n: [f"{bin}/celery", "-A", "ticks_celery", "beat", "-s", f"beat-{n}", "--pidfile", ""],
        lambda bin, url: [f"{bin}/celery", "-A", "ticks_celery", "worker", "-c", "1", "-l", "WARNING"],
    ),
    Peer(
        "rq",
        ("rq", "hiredis"),
        lambda bin, url, n: [f"{bin}/rq", "cron", "-u", url, "ticks_rq"],
        lambda bin, url: [f"{bin}/rq", "worker", "ticks", "-q", "-u", url],
    ),
    Peer(
        "huey",
        ("huey", "redis", "hiredis"),
        lambda bin, url, n: [f"{bin}/huey_consumer", "ticks_huey.huey", "-w", "1"],
        period=60.0,
        steps=2,
    ),
    Peer(
        "taskiq",
        ("taskiq", "taskiq-redis", "hiredis"),
        lambda bin, url, n: [f"{bin}/taskiq", "scheduler", "ticks_taskiq:scheduler"],
        lambda bin, url: [f"{bin}/taskiq", "worker", "ticks_taskiq:broker", "--workers", "1"],
    ),
    Peer(
        "saq",
        ("saq[redis]", "hiredis", "typing_extensions"),
        lambda bin, url, n: [f"{bin}/saq", "ticks_saq.settings"],
        period=2.0,  # it looks once a second for what is due, and with a tick a second leaves some out in peace
        steps=6,
    ),
    Peer(
        "apscheduler",
        ("apscheduler==4.0.0a6", "pymongo"),
        lambda bin, url, n: [f"{bin}/python", "ticks_apscheduler.py"],
        store="mongo",
    ),
]


class Instance:
    """A scheduler with all its processes."""

    def __init__(self, line: list[str], environment: dict[str, str], folder: Path, log: Path) -> None:
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                line,
                cwd=folder,
                env=environment,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def pids(self) -> list[int]:
        """Its processes, the first one first."""
        found = [self.process.pid]
        for pid in found:
            found += children(pid)
        return found

    def send(self, number: signal.Signals) -> None:
        """The signal to all of them."""
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def end(self) -> None:
        """Leave nothing of it."""
        self.send(signal.SIGKILL)
        self.process.wait()


class Counted(NamedTuple):
    """What became of the ticks of one run."""

    due: int
    lost: int
    doubled: int
    stopped: int
    """Lost while one instance was stopped."""
    killed: int
    """Lost after the other was killed."""


def programs(peer: Peer) -> Path:
    """The folder of its programs, in an environment that is made once."""
    return venvs.programs(System(peer.name, "", peer.packages, (), lambda job: []))


@contextmanager
def running(line: list[str] | None, environment: dict[str, str], folder: Path, log: Path) -> Iterator[Instance | None]:
    made = None if line is None else Instance(line, environment, folder, log)
    try:
        yield made
    finally:
        if made is not None:
            made.end()


def ran(out: Path) -> list[float]:
    """The tick of each run."""
    return [float(line.split()[0]) for line in out.read_text().splitlines()] if out.exists() else []


def measure(peer: Peer, log: Path) -> Counted:
    """Two instances; the first is stopped for a step and goes on; then the second is killed."""
    bin, step = programs(peer), peer.steps * peer.period
    with placed(peer.store) as place:
        for file in APPS.glob("*.py"):
            shutil.copy(file, place.folder)
        out = place.folder / "ticks.txt"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("REGIMENT")},
            "PYTHONPATH": str(place.folder),
            "TICKS_STORE": place.url,
            "TICKS_OUT": str(out),
        }
        worker = None if peer.worker is None else peer.worker(bin, place.url)
        lines = [peer.scheduler(bin, place.url, number) for number in (1, 2)]
        with (
            running(worker, environment, place.folder, log),
            running(lines[0], environment, place.folder, log) as first,
            running(lines[1], environment, place.folder, log) as second,
        ):
            assert first is not None and second is not None
            begun = time.monotonic()
            while not ran(out):
                if time.monotonic() - begun > FIRST + peer.period:
                    raise RuntimeError(f"{peer.name} has not run a tick; see {log}")
                time.sleep(0.1)
            time.sleep(3 * peer.period if peer.period < 5 else 0.5 * peer.period)  # both have begun
            times = []
            for one, number in (
                (first, None),
                (first, signal.SIGSTOP),
                (first, signal.SIGCONT),
                (second, signal.SIGKILL),
            ):
                times.append(time.time())
                if number is not None:
                    one.send(number)
                time.sleep(step)
            times.append(time.time())
            return counted(peer, out, times)


def counted(peer: Peer, out: Path, times: list[float]) -> Counted:
    """Ticks by their number since the first; who comes late is waited for."""
    until = time.monotonic() + LATE
    while True:
        found = ran(out)
        base, period = found[0] - peer.period / 2, peer.period
        runs = Counter(int((tick - base) // period) for tick in found)
        due = range(int((times[0] - base) // period) + 1, int((times[-1] - base) // period))
        lost = [number for number in due if not runs[number]]
        if not lost or time.monotonic() > until:
            break
        time.sleep(1.0)
    at = [base + number * period for number in lost]
    return Counted(
        len(due),
        len(lost),
        sum(max(0, runs[number] - 1) for number in due),
        sum(times[1] - period <= one < times[2] for one in at),
        sum(times[3] - period <= one for one in at),
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmark.schedules", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(one.name for one in PEERS))
    names = parser.parse_args().names
    logs = Path(tempfile.mkdtemp(prefix="regiment-bench-ticks-"))
    print("| system | period | ticks due | lost | of them while one was stopped | after one was killed | doubled |")
    print("|---|---|---|---|---|---|---|")
    for peer in PEERS:
        if names and peer.name not in names:
            continue
        try:
            made = measure(peer, logs / f"{peer.name}.log")
        except Exception as error:
            print(f"{peer.name}: {error}", file=sys.stderr)
            continue
        name, *found = peer.name, f"{peer.period:g} s", made.due, made.lost, made.stopped, made.killed, made.doubled
        print(f"| {name} | {' | '.join(map(str, found))} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
