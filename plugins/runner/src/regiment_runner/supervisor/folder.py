"""Being told that something was taken from a folder, without looking at it: inotify, by way of the C library."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from typing import Any

from regiment_runner.shared.ledger import PART

_MOVED = 0x40
"""IN_MOVED_FROM."""
_TAKEN = _MOVED | 0x200 | 0x400 | 0x800
"""And IN_DELETE, IN_DELETE_SELF, IN_MOVE_SELF."""
_EVENT = struct.Struct("iIII").unpack_from


class Watch:
    """Watches one folder; `fd` is readable when something was taken from it, and -1 while it watches none."""

    def __init__(self) -> None:
        self.fd, self._over = -1, (0, 0)
        self._libc: Any = None

    def over(self, folder: str) -> bool:
        """True if it watches the folder that bears this name now, or begins to; False where this system lets it not."""
        if self._libc is None:
            self._libc = ctypes.CDLL(None, use_errno=True)
        found = os.stat(folder)
        if self.fd < 0 or self._over != (found.st_dev, found.st_ino):
            self.close()
            self.fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            if self.fd < 0 or self._libc.inotify_add_watch(self.fd, os.fsencode(folder), _TAKEN) < 0:
                self.close()
                return False
            self._over = (found.st_dev, found.st_ino)
        return True

    def read(self) -> bool:
        """Take note of what was told; whether anything was taken but the parts of files that this process and its keeper (`ledger`) write."""
        found, parts = False, (f".{os.getpid()}".encode(), PART.encode())
        with contextlib.suppress(BlockingIOError):
            while self.fd >= 0:
                told, at = os.read(self.fd, 65536), 0
                while at < len(told):
                    _, mask, _, size = _EVENT(told, at)
                    name, at = told[at + 16 : at + 16 + size].rstrip(b"\0"), at + 16 + size
                    found = found or mask != _MOVED or not name.endswith(parts)
        return found

    def close(self) -> None:
        """Watch no more."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
