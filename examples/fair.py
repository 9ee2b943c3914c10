"""Limits: a tenant that floods and one that does not, a service that wants few at once, and a task that is there once.

    python examples/fair.py

starts two workers, and ends when all tasks have run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from regiment import Queue
from regiment_limits import Lane, Later, Limits, Pool

fair = Queue(
    "fair",
    number_of_threads=8,
    plugins=[Limits(pools={"crm": Pool(at_once=4, lane=Lane(at_once=2)), "mail": Pool(rate="20/s")})],
)
LOG, REFUSED = Path("fair.txt"), Path("fair.refused")


def note(*words: object) -> None:
    with LOG.open("a") as file:
        file.write(" ".join(map(str, words)) + "\n")


@fair.task(pool="crm", lane="{tenant}")
def call(tenant: str, number: int) -> None:
    note("start", tenant, number, time.monotonic())
    time.sleep(0.02)
    if tenant == "busy" and not REFUSED.exists():  # the service answers 429 once: nothing of this tenant for a second
        REFUSED.touch()
        note("end", tenant, number, time.monotonic())
        raise Later(1.0)
    note("end", tenant, number, time.monotonic())


@fair.task(pool="mail", unique="{to}")
def digest(to: str) -> None:
    note("digest", to)


def most_at_once(events: list[list[str]]) -> int:
    """How many ran at the same time."""
    running = most = 0
    for what, *_ in sorted(events, key=lambda words: float(words[3])):
        running += 1 if what == "start" else -1
        most = max(most, running)
    return most


def main() -> None:
    LOG.unlink(missing_ok=True)
    REFUSED.unlink(missing_ok=True)
    call.push_many({"tenant": "flood", "number": number} for number in range(100))
    call.push_many({"tenant": tenant, "number": number} for tenant in ("small", "busy") for number in range(3))
    pushes = [digest.push(to="ada@example.org") for _ in range(5)]
    print(
        f"5 pushes of one digest: {sum(push.new for push in pushes)} new, all of the task {len({push.id for push in pushes})}"
    )
    command = [sys.executable, "-m", "regiment", "run", "fair", "--burst", "--workers", "2"]
    subprocess.run([*command, "--app-dir", str(Path(__file__).parent)], check=True)
    lines = [line.split() for line in LOG.read_text().splitlines()]
    calls = [words for words in lines if words[0] in ("start", "end")]
    order = [words[1] for words in calls if words[0] == "start"]
    print(
        f"at once: {most_at_once(calls)} of 4 in the pool, {most_at_once([w for w in calls if w[1] == 'flood'])} of 2 in a lane"
    )
    print(f"the small tenant was served with {order.index('small')} of 100 tasks of the flood before it")
    print(f"the busy tenant: {order.count('busy')} starts of 3 tasks, one of them turned away")
    print(f"digests: {sum(words[0] == 'digest' for words in lines)}")


if __name__ == "__main__":
    main()
