"""Memory of workers: the limit between tasks, the hard limit within one, and the kernel's own kills.

What counts is resident memory (RSS) as procfs tells it: one small read, no walk over the process's mappings. It includes
the pages that a worker still shares with its supervisor, some 15 MB.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from regiment_runner.shared import procfs
from regiment_runner.shared.process import MIB

_UNITS = {
    "": 1,
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KIB": 1024,
    "MIB": MIB,
    "GIB": 1024 * MIB,
}
_LEAST = 32 * MIB
"""What an idle worker needs; a limit below it would recycle workers for ever."""


def parse_size(text: str) -> int:
    """`512MiB`, `1.5GB`, `800000000` in bytes; ValueError says what was expected."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(f"{text!r} is no size; expected a number with a unit, such as 512MiB or 1.5GB")
    size = int(float(match[1]) * _UNITS[match[2].upper()])
    if size < _LEAST:
        raise ValueError(f"{text!r} is too small: an idle worker needs up to {_LEAST // MIB} MiB")
    return size


class Kills:
    """Counts the processes that the kernel has killed for memory in our control group, where it can be read."""

    def __init__(self) -> None:
        self._file = _counter()
        self._seen = self._read()

    def another(self) -> bool:
        """Whether there was one more since the last question."""
        before, self._seen = self._seen, self._read()
        return self._seen > before

    def _read(self) -> int:
        if self._file is None:
            return 0
        try:
            match = re.search(r"^oom_kill (\d+)$", self._file.read_text(), re.MULTILINE)
        except OSError:
            return 0
        return int(match[1]) if match else 0


def _counter() -> Path | None:
    """The file that counts them: memory.events (cgroup 2) or memory.oom_control (cgroup 1)."""
    places: list[Path] = []
    for line in procfs.lines("self", "cgroup"):
        _, controllers, path = os.fsdecode(line).split(":", 2)
        if controllers == "":
            places += [Path(f"{root}{path}/memory.events") for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")]
        elif "memory" in controllers.split(","):
            places.append(Path(f"/sys/fs/cgroup/memory{path}/memory.oom_control"))
    return next((place for place in places if place.is_file() and "oom_kill " in place.read_text()), None)
