"""What effects cost the embedded store: CPU per task beside the same exchanges without, in turns of short blocks.

    python -m benchmark.stores.local_effects [blocks]

Two files are worked off alternately, so that what else the machine does hits both alike: read the difference. It includes
that the caller makes the effects. "steady" keeps records that have expired when the next block begins, so that each one kept
is matched by one swept.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmark.stores.local_connector import MIB, PAYLOAD, opened
from regiment.contracts import Arrive, Done, Effect, Keep, Send, Terms

VALUE = bytes(100)
TASKS = 4000
"""Tasks of a block in batches; a tenth of it one by one."""

Make = Callable[[int], Sequence[Effect]]


def key(receipt: int) -> str:
    """As long as a task's id."""
    return f"01jd{receipt:012x}-1f"


KINDS: dict[str, Make] = {
    "keep": lambda receipt: [Keep(key(receipt), VALUE, 3600.0)],
    "keep, steady": lambda receipt: [Keep(key(receipt), VALUE, 0.05)],
    "keep, listed": lambda receipt: [Keep(key(receipt), VALUE, 3600.0, 0, True)],
    "keep, others are followed": lambda receipt: [Keep(key(receipt), VALUE, 3600.0)],
    "keep, each is followed": lambda receipt: [Keep(key(receipt), VALUE, 3600.0)],
    "send": lambda _: [Send("child", [VALUE])],
    "arrive": lambda receipt: [Arrive("q", f"j{receipt // 1000}", receipt % 1000)],
}


class Side:
    """One file, its worker, and what each of its tasks leaves behind."""

    def __init__(self, path: Path, make: Make | None, follow: str) -> None:
        self.store, self.make, self.follow = opened(path, "lease"), make, follow
        self.follower = opened(path, "follow")
        self.turn = self.pushed = 0
        self.base = 1
        self.store.join("q", "worker", Terms())
        if follow == "others":
            self.follower.follow({("q", f"other{n}"): 0 for n in range(1000)}, 3600.0)

    def block(self, tasks: int, size: int) -> float:
        """CPU microseconds of each task, settled in batches of `size`."""
        self.pushed += 1
        self.store.push("q", [PAYLOAD] * tasks, priority=1, token=str(self.pushed))
        if self.follow == "each":
            self.follower.follow({("q", key(r)): 0 for r in range(self.base, self.base + tasks)}, 600.0)
        start = time.process_time()
        done: list[Done] = []
        effects: Mapping[int, Sequence[Effect]] = {}
        for left in range(tasks // size, -1, -1):
            self.turn += 1
            taken = self.store.exchange(
                "q", "worker", self.turn, self.base, done, size if left else 0, 8 * MIB, effects=effects
            ).deliveries
            if taken:
                first, last = taken[0].receipt, taken[-1].receipt
                done, self.base = [Done(first, last)], last + 1
                make = self.make
                effects = {} if make is None else {receipt: make(receipt) for receipt in range(first, last + 1)}
        used = (time.process_time() - start) / tasks * 1e6
        while self.follower.heard(0):
            pass
        return used

    def close(self) -> None:
        self.store.close()
        self.follower.close()


def compare(kind: str, size: int, blocks: int) -> str:
    """One line of the table."""
    follow = "each" if "each" in kind else "others" if "others" in kind else ""
    with tempfile.TemporaryDirectory() as folder:
        plain = Side(Path(folder, "a", "queue.db"), None, "")
        with_effects = Side(Path(folder, "b", "queue.db"), KINDS[kind], follow)
        tasks = TASKS if size > 1 else TASKS // 10
        pairs = []
        for number in range(blocks + 1):
            both = [plain, with_effects] if number % 2 else [with_effects, plain]
            used = {side: side.block(tasks, size) for side in both}
            pairs.append((used[plain], used[with_effects]))
        plain.close()
        with_effects.close()
    pairs = pairs[1:]  # the first one makes the tables
    more = [after - before for before, after in pairs]
    low, middle, high = statistics.quantiles(more, n=4)
    before, after = (statistics.median(column) for column in zip(*pairs, strict=True))
    return f"{kind:<28}{size:>5}{before:>10.2f}{after:>10.2f}{middle:>10.2f}   ({low:.2f} to {high:.2f})"


def main() -> None:
    blocks = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"{'CPU µs per task':<28}{'batch':>5}{'without':>10}{'with':>10}{'more':>10}   (half of the blocks)")
    for size in (100, 1):
        for kind in KINDS:
            print(compare(kind, size, blocks))


if __name__ == "__main__":
    main()
