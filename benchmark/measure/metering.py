"""What processes and servers have used, read from the kernel and from the server itself."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


def cpu(pid: int) -> float:
    """Seconds of CPU of one living process, all its threads, ended ones too, in nanoseconds; 0 when it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3) of another process
    except OSError:
        return 0.0


def waited(pid: int) -> float:
    """Seconds of CPU of the children that a process has waited for, to 10 ms."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) * TICK


def descendants(roots: Iterable[int]) -> list[int]:
    """These processes and everything that they have started, as far as it lives."""
    found, open_ends = list[int](), list(roots)
    while open_ends:
        pid = open_ends.pop()
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
        except OSError:
            continue
        found.append(pid)
        for task in tasks:
            try:
                open_ends += map(int, (task / "children").read_bytes().split())
            except OSError:
                continue
    return found


def tree_cpu(roots: Iterable[int]) -> float:
    """Seconds of CPU of whole trees, exited children included."""
    return sum(cpu(pid) + waited(pid) for pid in descendants(roots))


def pss(roots: Iterable[int]) -> float:
    """MiB of memory of whole trees, shared pages counted in parts."""
    total = 0
    for pid in descendants(roots):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
        total += int(found[1]) * 1024 if found else 0
    return total / MIB


def redis_counters(info: str) -> dict[str, float]:
    """What a Redis says about itself in INFO: commands, round trips (reads from sockets), bytes, memory."""
    found = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    return {
        "commands": float(found["total_commands_processed"]),
        "trips": float(found.get("total_reads_processed", 0)),
        "bytes": float(found["total_net_input_bytes"]) + float(found["total_net_output_bytes"]),
        "memory": float(found["used_memory"]),
    }
