"""Limiters side by side: a rate over two workers, slots that ten `kill -9` leave, and how long a small tenant waits behind a flood.

    python -m benchmark.limits [NAME …]

Prints a table as docs/limits.md has it. Each system runs two workers of five slots each on a Redis of its own, with what it has to limit;
"–" is said where it has nothing for that.

rate         150 tasks, at most 10 a second: starts in 15 s, and the most that started within any second
slots        at most 4 at once; workers are killed ten times while their tasks run; how many of tasks that come then run at once
small tenant 1,000 tasks of 0.1 s of one tenant, then 8 of another, one each half second: the median and the longest wait
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmark.measure.places import place as placed
from benchmark.schedules import Instance, Peer, programs

APPS = Path(__file__).parent / "peers" / "limiting"
RATE, SLOTS, SECONDS, KILLS = 10, 4, 15.0, 10
START, PATIENCE = 60.0, 45.0
"""Seconds until a first task has to start, and for which slots are looked for."""


class Limiter(NamedTuple):
    """How a system's workers are started, and which of the three it has anything for."""

    peer: Peer
    has: tuple[str, ...] = ("rated", "slot", "tenant")


def _peer(name: str, packages: tuple[str, ...], line: Callable[[Path, str], list[str]]) -> Peer:
    return Peer(name, packages, lambda bin, url, n: line(bin, url))


LIMITERS = [
    Limiter(_peer("regiment", (), lambda bin, url: [f"{bin}/regiment", "run", "limits_regiment"])),
    Limiter(
        _peer(
            "dramatiq",
            ("dramatiq[redis]", "hiredis"),
            lambda bin, url: [f"{bin}/dramatiq", "limits_dramatiq", "-p", "1", "-t", "5"],
        )
    ),
    Limiter(
        _peer(
            "huey",
            ("huey", "redis", "hiredis"),
            lambda bin, url: [f"{bin}/huey_consumer", "limits_huey.huey", "-w", "5", "-q"],
        )
    ),
    Limiter(
        _peer(
            "rq", ("rq", "hiredis"), lambda bin, url: [f"{bin}/rq", "worker-pool", "limits", "-n", "5", "-q", "-u", url]
        ),
        ("slot", "tenant"),
    ),
    Limiter(
        _peer(
            "celery",
            ("celery[redis]", "hiredis", "setuptools"),
            lambda bin, url: [f"{bin}/celery", "-A", "limits_celery", "worker", "-c", "5", "-l", "ERROR"],
        ),
        ("rated", "tenant"),
    ),
    Limiter(
        _peer(
            "saq",
            ("saq[redis]", "hiredis", "typing_extensions"),
            lambda bin, url: [f"{bin}/saq", "limits_saq.settings", "--quiet"],
        ),
        ("tenant",),
    ),
]


class Place:
    """One system on an empty store: two workers, and what their tasks have written."""

    def __init__(self, limiter: Limiter, folder: Path, url: str, log: Path) -> None:
        self.limiter, self.folder, self.url, self.log = limiter, folder, url, log
        self.bin, self.out = programs(limiter.peer), folder / "out.txt"
        self.out.touch()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("REGIMENT")},
            "PYTHONPATH": str(folder),
            "LIMITS_STORE": url,
            "LIMITS_OUT": str(self.out),
        }
        self.workers = [self.worker(), self.worker()]

    def worker(self) -> Instance:
        """Start one more."""
        line = self.limiter.peer.scheduler(self.bin, self.url, 0)
        return Instance(line, self.environment, self.folder, self.log)

    def push(
        self, what: str, many: int, seconds: float = 0.0, tenant: str = "one", base: int = 0, pause: float = 0.0
    ) -> None:
        """Push from a process of the system's own."""
        program = f"limits_{self.limiter.peer.name}.py"
        words = [str(word) for word in (what, many, seconds, tenant, base, pause)]
        with open(self.log, "ab") as out:
            line = [str(self.bin / "python"), program, *words]
            subprocess.run(line, cwd=self.folder, env=self.environment, check=True, stdout=out, stderr=out)

    def lines(self, kind: str, tenant: str = "") -> list[list[str]]:
        """What was written: kind, what, number, tenant, time."""
        found = (line.split() for line in self.out.read_text().splitlines())
        return [words for words in found if words[0] == kind and tenant in ("", words[3])]

    def times(self, kind: str, tenant: str = "") -> list[float]:
        """When."""
        return sorted(float(words[4]) for words in self.lines(kind, tenant))

    def until(self, number: int, tenant: str, kind: str = "start", within: float = START) -> bool:
        """Wait for so many of a tenant; False if they do not come."""
        end = time.monotonic() + within
        while len(self.lines(kind, tenant)) < number:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def begin(self, what: str) -> None:
        """Both workers take tasks."""
        self.push(what, 4, 0.0, "warm")
        if not self.until(4, "warm", "end"):
            raise RuntimeError(f"{self.limiter.peer.name} has not run its first tasks; see {self.log}")
        time.sleep(3.0)


@contextmanager
def running(limiter: Limiter, log: Path) -> Iterator[Place]:
    with placed("redis") as place:
        for file in APPS.glob("*.py"):
            shutil.copy(file, place.folder)
        made = Place(limiter, place.folder, place.url, log)
        try:
            yield made
        finally:
            for one in made.workers:
                one.end()


def rated(place: Place) -> str:
    """Starts in a second, over all of the time and in the fullest one."""
    place.begin("rated")
    place.push("rated", int(RATE * SECONDS))
    place.until(1, "one")
    time.sleep(SECONDS)
    starts = place.times("start", "one")
    within = [at for at in starts if at < starts[0] + SECONDS]
    fullest = max(sum(at <= other < at + 1.0 for other in starts) for at in within)
    return f"{len(within) / SECONDS:.1f}, {fullest}"


def slots(place: Place) -> str:
    """Of the tasks that come after ten kills, how many run at once."""
    place.begin("slot")
    for number in range(KILLS):
        before = len(place.lines("start", "one"))
        place.push("slot", SLOTS, 1.0, "one", SLOTS * number)
        place.until(before + 1, "one", within=10.0)
        index = number % 2
        place.workers[index].end()
        place.workers[index] = place.worker()
    time.sleep(5.0)
    begun = time.time()
    place.push("slot", 4 * SLOTS, 2.0, "after")
    place.until(4 * SLOTS, "after", "end", PATIENCE)
    # Tasks that were killed before and run again now have their slots, too.
    starts = {(words[3], words[2]): float(words[4]) for words in place.lines("start") if float(words[4]) > begun}
    ends = {(words[3], words[2]): float(words[4]) for words in place.lines("end") if float(words[4]) > begun}
    events = [(at, 1) for at in starts.values()] + [(ends[one], -1) for one in starts if one in ends]
    now = most = 0
    for _, step in sorted(events):
        now += step
        most = max(most, now)
    return f"{most} of {SLOTS}"


def tenant(place: Place) -> str:
    """Median and longest wait of the small tenant, seconds."""
    place.begin("tenant")
    place.push("tenant", 1000, 0.1, "flood")
    place.push("tenant", 8, 0.1, "small", pause=0.5)
    place.until(8, "small", within=120.0)
    pushed = {words[2]: float(words[4]) for words in place.lines("push", "small")}
    waits = [float(words[4]) - pushed[words[2]] for words in place.lines("start", "small")]
    return f"{statistics.median(waits):.2f} / {max(waits):.2f}"


PARTS = {"rated": rated, "slot": slots, "tenant": tenant}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmark.limits", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(one.peer.name for one in LIMITERS))
    names = parser.parse_args().names
    logs = Path(tempfile.mkdtemp(prefix="regiment-bench-limits-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(
        "| system | rate of 10/s: starts a second, most within one | of 4 slots after ten kills | small tenant waits, s: median / longest |"
    )
    print("|---|---|---|---|")
    for limiter in LIMITERS:
        if names and limiter.peer.name not in names:
            continue
        cells = []
        for what, measure in PARTS.items():
            if what not in limiter.has:
                cells.append("–")
                continue
            try:
                with running(limiter, logs / f"{limiter.peer.name}-{what}.log") as place:
                    cells.append(measure(place))
            except Exception as error:
                print(f"{limiter.peer.name}, {what}: {error!r}", file=sys.stderr)
                cells.append("failed")
        print(f"| {limiter.peer.name} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
