"""When the machine ran nobody: a virtual one that is held up, or one that hangs on its disk, delays everything in it.

A process that only sleeps for a hundredth of a second at a time notes when it woke late. What a promise bounds in seconds
is bounded in seconds in which the machine ran; a product that is slow by itself does not make this process late.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEP = 0.01
"""Seconds of one sleep."""
LATE = 0.04
"""Seconds of lateness that count; less is the scheduler's turn-taking under load."""
_SAMPLER = f"""
import os, sys, time
clock = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
parent, last = os.getppid(), clock()
while os.getppid() == parent:
    time.sleep({STEP})
    now = clock()
    if now - last > {STEP + LATE} * 1e9:
        os.write(out, b"%d %d\\n" % (last, now))
    last = now
"""
_file: Path | None = None


def watch() -> None:
    """Watch from now on, until this process ends."""
    global _file
    if _file is None:
        folder = tempfile.TemporaryDirectory(prefix="regiment-stalls-")
        _file = Path(folder.name) / "stalls"
        sampler = subprocess.Popen([sys.executable, "-c", _SAMPLER, str(_file)])
        atexit.register(folder.cleanup)
        atexit.register(sampler.kill)


def lost(since: int, until: int | None = None) -> float:
    """Seconds in which the machine ran nobody between two moments of the boot clock, in nanoseconds; `until` now."""
    until = time.clock_gettime_ns(time.CLOCK_BOOTTIME) if until is None else until
    if _file is None or not _file.exists():
        return 0.0
    total = 0.0
    for line in _file.read_text().splitlines():
        slept, woke = map(int, line.split())
        total += max(0, min(woke, until) - max(slept, since)) / 1e9
    return total
