"""The machine: what it is, and whether it has time for a measurement."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path

BUSY = 0.25
"""The part of the machine that others may use."""


def busy(seconds: float = 0.5) -> float:
    """The part of the processors' time that is used now, by whoever; not the load average, which remembers our own work."""

    def look() -> tuple[int, int]:
        fields = [int(word) for word in Path("/proc/stat").read_bytes().splitlines()[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]

    total, idle = look()
    time.sleep(seconds)
    total_after, idle_after = look()
    return 1 - (idle_after - idle) / max(1, total_after - total)


def wait_for_quiet(seconds: float) -> float:
    """Wait up to so long until the machine has time; the part that is in use at the end."""
    until = time.monotonic() + seconds
    while (now := busy()) > BUSY and time.monotonic() < until:
        time.sleep(2)
    return now


def description() -> dict[str, object]:
    """What a reader must know to compare."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "processor": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory[1]) / 2**20, 1) if memory else None,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
