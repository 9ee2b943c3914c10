"""How processes that share the file wake each other without polling: a FIFO for each connector that waits.

The FIFOs lie in a folder beside the file (`queue.db-wake`). Who waits has registered the name of its FIFO in the
transaction that found the queue empty; who pushes reads the names in its own transaction, and writes to them after the
commit. So no wake-up falls between, and the bytes of one that came before the wait stay in the FIFO.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Iterable


class Pipe:
    """The FIFO of one connector; open for reading and writing, so that it never reports an end."""

    def __init__(self, folder: str, name: str | None = None) -> None:
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            sweep(folder)
        self.name = name or f"{os.getpid()}-{os.urandom(6).hex()}"
        self.path = os.path.join(folder, self.name)
        # It gets its name when it has a reader: before, a sweep would take it for one that was left behind.
        unborn = os.path.join(folder, f".{self.name}")
        os.mkfifo(unborn, 0o600)
        self.fd = os.open(unborn, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        os.rename(unborn, self.path)

    def sleep(self, seconds: float, wake_fd: int | None) -> set[str]:
        """Sleep until a topic is called, `wake_fd` is readable or `seconds` have passed; the topics that were called."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        if wake_fd is not None:
            poll.register(wake_fd, select.POLLIN)
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            # poll counts whole milliseconds; rounding up keeps it from spinning through the last one
            events = poll.poll(max(0, min(int(left * 1000) + 1, 2**31 - 1)) if left > 0 else 0)
            if events or left <= 0:
                break
        if any(fd == self.fd for fd, _ in events):
            return self.drain()
        return set()

    def drain(self) -> set[str]:
        """The topics that were called since the last look."""
        called = b""
        while True:
            try:
                read = os.read(self.fd, 65_536)
            except BlockingIOError:
                break
            called += read
        return set(called.decode("utf-8", "replace").split("\n")) - {""}

    def close(self) -> None:
        """Close and remove."""
        os.close(self.fd)
        try:
            os.unlink(self.path)
        except OSError:
            pass


def call(folder: str, topic: str, names: Iterable[str]) -> None:
    """Tell the FIFOs of these names that something happened to `topic`."""
    for name in names:
        fd = _writer(os.path.join(folder, name))
        if fd is None:
            continue
        try:
            os.write(fd, f"{topic}\n".encode())
        except BlockingIOError:
            pass  # it is full of earlier calls, so it wakes all the same
        finally:
            os.close(fd)


def sweep(folder: str) -> None:
    """Remove the FIFOs of processes that are gone."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if not name.startswith("."):
            fd = _writer(path)
            if fd is not None:
                os.close(fd)
        elif _age(path) > 60:
            _remove(path)  # its maker was killed before it had a reader


def _age(path: str) -> float:
    try:
        return time.time() - os.lstat(path).st_ctime
    except OSError:
        return 0.0  # it has its name by now


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _writer(path: str) -> int | None:
    """A descriptor to write to the FIFO, or None; a FIFO that nobody reads any more is removed."""
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            _remove(path)
        return None
