"""The one reader of /proc. Everything there is bytes: a process may have any name, cut after 15 bytes within a letter.

Every function answers None, or nothing, of a process that is gone. Only `os` is imported: a probe pays for it, too.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TICKS, PAGE_BYTES = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


class Stat:
    """What /proc/PID/stat says of a process: `started` is in clock ticks since boot, `cpu` in seconds, `resident` in bytes."""

    __slots__ = ("cpu", "parent", "resident", "started", "state")

    def __init__(self, fields: list[bytes]) -> None:
        self.state, self.parent = fields[0].decode("ascii", "replace"), int(fields[1])
        self.cpu = (int(fields[11]) + int(fields[12])) / TICKS
        self.started, self.resident = int(fields[19]), int(fields[21]) * PAGE_BYTES

    @property
    def lives(self) -> bool:
        """True if it is no zombie."""
        return self.state not in "ZX"


def read(pid: int | str, name: str) -> bytes:
    """The file `name` of a process; empty if there is none, or if it may not be read."""
    try:
        with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return b""


def stat(pid: int | str) -> Stat | None:
    """What is known of a process, a zombie included."""
    try:
        return Stat(read(pid, "stat").rpartition(b")")[2].split())
    except (IndexError, ValueError):
        return None


def start_ticks(pid: int | str) -> int | None:
    """When a process started, in clock ticks since boot: with the pid it names one process for good."""
    found = stat(pid)
    return None if found is None else found.started


def cpu_seconds(pid: int | str) -> float | None:
    """CPU time that a process has used."""
    found = stat(pid)
    return None if found is None else round(found.cpu, 2)


def resident(pid: int | str = "self") -> int | None:
    """Resident memory of a process in bytes."""
    try:
        return int(read(pid, "statm").split()[1]) * PAGE_BYTES
    except (IndexError, ValueError):
        return None


def open_statm() -> int:
    """A descriptor of this process's statm, for who reads it again and again with `resident_of`."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)


def resident_of(statm: int) -> int:
    """Resident memory in bytes, by a descriptor of `open_statm`."""
    return int(os.pread(statm, 64, 0).split()[1]) * PAGE_BYTES


def descriptors(pid: int | str) -> int:
    """How many files a process has open; 0 if it may not be known."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def lines(pid: int | str, name: str) -> list[bytes]:
    """The lines of a file of a process."""
    return read(pid, name).splitlines()


def everyone() -> Iterator[int]:
    """The pids of all processes that this one sees."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        if name.isdigit():
            yield int(name)


def children(pid: int | str = "self") -> list[int]:
    """The children of a process, zombies included, whichever of its threads made them."""
    pid, found = os.getpid() if pid == "self" else int(pid), list[int]()
    if not os.path.exists(f"/proc/{pid}/task/{pid}/children"):  # a kernel without these lists
        return [one for one in everyone() if (known := stat(one)) and known.parent == pid]
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    for thread in threads:
        found += map(int, read(pid, f"task/{thread}/children").split())
    return found


def pid_namespace() -> int:
    """The number of this process's PID namespace; pids of another one name other processes. 0 where there is none."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def removed(path: str) -> str | None:
    """Where a file that was removed from `path` can still be opened by others, if this process has it open."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}") == f"{path} (deleted)":
                return f"/proc/{os.getpid()}/fd/{name}"
        except OSError:
            continue
    return None


def exists(pid: int) -> bool:
    """True if there is a process of this number, a zombie included."""
    return os.path.exists(f"/proc/{pid}")
