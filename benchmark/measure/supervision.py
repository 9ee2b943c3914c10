"""What supervision costs: memory of a tree, CPU of an idle one, how fast workers start and are replaced, and renewals.

`python -m benchmark.measure.supervision` prints each figure with its bound from `docs/guarantees.md`; the embedded store, serial workers.
Times on a shared machine drift; memory, CPU per second and counts hardly do.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

from harness.ledger import boot_ns  # noqa: E402
from harness.site import Site  # noqa: E402
from harness.tree import Tree  # noqa: E402
from harness.wait import alive, children, eventually  # noqa: E402

MIB = 1024 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def site(settings: str = "", *, losing: bool = False) -> Iterator[Site]:
    with (
        tempfile.TemporaryDirectory(prefix="regiment-bench-") as folder,
        Site(Path(folder), f"sqlite:///{folder}/queue.db") as made,
    ):
        made.app(settings or "lease=30", losing=losing)
        yield made


def pss(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def cpu(pid: int) -> float:
    """Seconds of CPU, from the scheduler: nanoseconds, where ticks would be 10 ms."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def members(tree: Tree) -> list[int]:
    return [tree.pid, *(pid for pid in children(tree.pid) if alive(pid))]


def memory(workers: int, bound: int) -> None:
    with site() as here:
        tree = here.tree(workers=workers)
        here.ended(*here.push_many([{}] * 50))
        time.sleep(1)
        parts = {pid: pss(pid) for pid in members(tree)}
        total = sum(parts.values())
        others = sorted(size for pid, size in parts.items() if pid != tree.pid)
        print(
            f"PSS, supervisor + keeper + {workers} workers      {total / MIB:6.1f} MiB   (bound {bound} MB); supervisor "
            f"{parts[tree.pid] / MIB:.1f}, others {others[0] / MIB:.1f} to {others[-1] / MIB:.1f}"
        )


def idle(workers: int, windows: int = 6, seconds: float = 5.0) -> None:
    """The least of some windows: what others do on the machine only adds, by emptying its caches."""
    with site() as here:
        tree = here.tree(workers=workers)
        time.sleep(2)
        pids, keeper, found = members(tree), tree.keeper(), []
        for _ in range(windows):
            before = {pid: cpu(pid) for pid in pids}
            began = time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - began
            found.append({pid: 1000 * (cpu(pid) - before[pid]) / took for pid in pids})
        used = min(found, key=lambda one: sum(one.values()))
        others = sum(used.values()) - used[tree.pid] - used[keeper]
        print(
            f"CPU of an idle tree of {workers}               {sum(used.values()):6.2f} ms/s  (bound 1); supervisor "
            f"{used[tree.pid]:.2f}, keeper {used[keeper]:.2f}, all workers {others:.2f}"
        )


def start(workers: int) -> None:
    with site() as here:
        began = time.monotonic()
        tree = here.tree(workers=workers, ready=False)
        tree.ready(workers, 60)
        print(f"{workers} workers ready after                {time.monotonic() - began:6.2f} s     (bound 2)")


def takeover(kills: int) -> None:
    with site("recheck=0.2, poison_delays=(0.0,)") as here:
        tree = here.tree(workers=2)
        waits = []
        for _ in range(kills):
            n = here.push(seconds=0.2)
            victim = here.started(n).starts[n][0].pid
            os.kill(victim, signal.SIGKILL)
            killed = boot_ns()
            books = here.ended(n)
            waits.append((books.starts[n][-1].at - killed) / 1e6)
            tree.ready(2)
        waits.sort()
        print(
            f"kill -9 of a worker: its task runs again after {waits[len(waits) // 2]:5.0f} ms median, "
            f"{waits[int(len(waits) * 0.99)]:.0f} ms p99 of {kills} (goal 250, bound 1000)"
        )


def orphans(kills: int) -> None:
    with site() as here:
        worst = 0.0
        for _ in range(kills):
            tree = here.tree(workers=4)
            pids = members(tree)
            tree.kill()
            killed = time.monotonic()
            eventually(lambda pids=pids: not any(alive(pid) for pid in pids), 5)  # type: ignore[misc]
            worst = max(worst, time.monotonic() - killed)
        print(f"kill -9 of the supervisor: no process after {worst * 1000:5.0f} ms at worst of {kills} (bound 1000)")


def renewals(workers: int, lease: float) -> None:
    with site(f"lease={lease}", losing=True) as here:
        calls = here.folder / "orders" / "calls"
        calls.parent.mkdir()
        calls.touch()
        here.tree(workers=workers)
        time.sleep(1)
        before, began = len(calls.read_text().split()), time.monotonic()
        time.sleep(4 * lease)
        count = len(calls.read_text().split()) - before
        leases = (time.monotonic() - began) / lease
        print(f"renewals, {workers} workers on one store      {count / leases:6.1f} requests in the time of a lease")


def probe() -> None:
    def best(*args: str) -> float:
        times = []
        for _ in range(15):
            began = time.perf_counter()
            subprocess.run([sys.executable, *args], stdout=subprocess.DEVNULL, check=False)
            times.append(time.perf_counter() - began)
        return sorted(times)[len(times) // 2] * 1000

    with site() as here:
        tree = here.tree(workers=1)
        os.environ["XDG_RUNTIME_DIR"] = str(tree.runtime)
        print(
            f"regiment health                       {best('-m', 'regiment', 'health'):6.0f} ms    (bound 60); a bare python {best('-c', 'pass'):.0f}"
        )


def main() -> None:
    runs: list[Callable[[], None]] = [
        lambda: memory(2, 45),
        lambda: memory(8, 110),
        lambda: idle(2),
        lambda: idle(8),
        lambda: start(32),
        lambda: takeover(50),
        lambda: orphans(10),
        lambda: renewals(1, 3.0),
        lambda: renewals(8, 3.0),
        probe,
    ]
    for run in runs:
        run()


if __name__ == "__main__":
    main()
