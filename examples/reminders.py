"""Tasks by the clock: a schedule in code, one that is added at run time, a pause, and the ticks of a night with a changing clock.

    python examples/reminders.py

starts two trees that could both fire, and ends when a few ticks have run: each of them once.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from regiment import Queue
from regiment_schedules import schedule, schedules, tick

reminders = Queue("reminders")
RAN = Path("reminders.txt")


@reminders.task(schedules=[schedule(every=1.0, name="second", kwargs={"text": "a second has passed"})])
def remind(text: str) -> None:
    due = tick()  # for which time it was pushed, however late it runs; None if it was pushed by hand
    with RAN.open("a") as file:
        file.write(f"{due:%H:%M:%S} {text}\n" if due else f"by hand {text}\n")


@schedule("30 2 * * *", name="nightly", tz="Europe/Berlin")
@reminders.task
def clean_up() -> None:
    RAN.unlink(missing_ok=True)


def wait(text: str, times: int = 1) -> None:
    """Until so many lines have this text."""
    deadline = time.monotonic() + 60
    while not RAN.exists() or RAN.read_text().count(text) < times:
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing says {text!r}")
        time.sleep(0.1)


def main() -> None:
    RAN.unlink(missing_ok=True)
    command = [sys.executable, "-m", "regiment", "run", "reminders", "--app-dir", str(Path(__file__).parent)]
    trees = [subprocess.Popen(command) for _ in range(2)]
    plan = schedules(reminders)
    try:
        wait("a second has passed", 3)
        plan.add("report-acme", remind, "0 6 1 * *", tz="Asia/Tokyo", kwargs={"text": "the report of ACME"})
        plan.pause("second")
        print("pushed", plan.run_now("report-acme").partition("!")[0], flush=True)
        wait("by hand the report of ACME")
        for one in plan.list():
            print(f"{one.name}: {one.when}, {'paused' if one.paused else f'next {one.next:%Y-%m-%d %H:%M} UTC'}")
        plan.remove("report-acme")
    finally:
        for tree in trees:
            tree.terminate()
        for tree in trees:
            tree.wait()
    lines = [line for line in RAN.read_text().splitlines() if "a second" in line]
    print(f"{len(lines)} ticks, {len(lines) - len(set(lines))} of them twice")
    print("the night in which the clock goes back, and 02:30 comes twice:")
    for due in plan.next("nightly", 3, since=datetime(2026, 10, 24, tzinfo=UTC)):
        print(f"  {due:%Y-%m-%d %H:%M} UTC")


if __name__ == "__main__":
    main()
