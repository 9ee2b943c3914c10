"""What an attempt costs: µs of CPU for each no-op task of one worker on the store in memory, of this tree and of another.

    python -m benchmark.measure.attempts --beside ../other-checkout --rounds 9

Each measurement is a process of its own, with the plugins of one tree; both trees take turns, so that what disturbs the machine
disturbs both. Only what runs in the worker is counted: no supervisor, no keeper, and the pushes are over before.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KINDS = {
    "serial, batches of 1": ("serial", 1, 20_000),
    "serial, batches of 100": ("serial", 100, 60_000),
    "serial, batches of 1,000": ("serial", 1000, 60_000),
    "asyncio, batches of 1,000": ("asyncio", 1000, 20_000),
}
"""What is measured -> executor, tasks for each exchange, tasks."""


def nothing(n: int) -> None: ...


async def anothing(n: int) -> None: ...


def once(executor: str, batch: int, count: int) -> float:
    """µs of CPU for each of `count` tasks, in this process."""
    from regiment import Queue, Use
    from regiment_runner.parts import assemble, terms_of
    from regiment_runner.shared import page
    from regiment_runner.worker.lease import Lease
    from regiment_runner.worker.runtime import Runtime
    from regiment_runner.worker.source import Source

    function: Any = anothing if executor == "asyncio" else nothing
    queue = Queue("attempts", connector="memory:", executor=Use(executor), tasks_per_transaction=batch)
    queue.task(function)
    queue.options(name=function.__name__).push_many({"n": n} for n in range(count))
    parts = assemble(queue)
    parts.connector.open("lease")
    folder = tempfile.TemporaryDirectory()
    words = page.Page(Path(folder.name) / "page", create=True)
    calls = {"call": parts.executor.call} if hasattr(parts.executor, "call") else {}
    runtime = Runtime(queue, parts.broker.codec, words, parts.killer, **calls)
    wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    lease = Lease(parts.connector, "attempts", terms_of(queue.config))
    source = Source(runtime, lease, parts.executor.slots, wake, burst=True, elsewhere=parts.executor.place != "main")
    gc.collect()
    gc.freeze()
    used = time.process_time()
    parts.executor.run(source)
    used = time.process_time() - used
    folder.cleanup()
    assert source.over == count, f"{source.over} of {count} tasks have ended"
    return used / count * 1e6


def measured(tree: Path, kind: str) -> float:
    """The same in a process that has the plugins of `tree`."""
    sources = [str(tree / "core" / "src"), *map(str, tree.glob("plugins/*/src"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sources)}
    command = [sys.executable, __file__, "--once", kind]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def compare(trees: dict[str, Path], rounds: int, kinds: list[str]) -> None:
    """Measure in turns, and print a table: least and median of each, and their ratios to the first."""
    for kind in kinds:
        found: dict[str, list[float]] = {name: [] for name in trees}
        for number in range(rounds):
            order = list(trees.items())
            for name, tree in order if number % 2 else reversed(order):
                found[name].append(measured(tree, kind))
        first = next(iter(found.values()))
        for name, each in found.items():
            ratios = sorted(mine / theirs for mine, theirs in zip(each, first, strict=True))
            print(
                f"{kind:<28}{name:<10}least {min(each):7.2f} µs  median {statistics.median(each):7.2f} µs  ratio of the least "
                f"{min(each) / min(first):.3f}, of pairs (median) {statistics.median(ratios):.3f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, help="the root of another checkout")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--once", choices=list(KINDS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        print(once(*KINDS[given.once]))
        return
    trees = {"this": ROOT} if given.beside is None else {"beside": given.beside, "this": ROOT}
    compare(trees, given.rounds, given.kinds)


if __name__ == "__main__":
    main()
