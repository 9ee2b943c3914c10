"""Asking a supervisor for a sign of life: a byte in a FIFO of its folder, upon which it touches its heartbeat.

For one that dozes: it gives none by itself. Only `os` and `time` are imported, because probes ask.
"""

from __future__ import annotations

import os
import time

NAME = "ask"
"""Name of the FIFO in a tree's folder."""
PATIENCE = 1.0
"""Seconds that an answer may take."""


def listen(folder: str) -> int:
    """In the supervisor: the descriptor that is readable when somebody asks; OSError where there can be none."""
    path = f"{folder}/{NAME}"
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    os.mkfifo(path, 0o600)
    # Open for writing, too: else it is readable for ever once the first who asked has gone.
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)


def heard(folder: str, fd: int) -> bool:
    """In the supervisor: whether who asks now is heard by that descriptor."""
    try:
        return os.path.samestat(os.stat(f"{folder}/{NAME}"), os.fstat(fd))
    except FileNotFoundError:
        return False


def ask(folder: str, beat: str) -> None:
    """Ask, and wait until the heartbeat file `beat` was touched or `PATIENCE` is over; does nothing where nobody listens."""
    try:
        before = os.stat(beat).st_mtime_ns
        fd = os.open(f"{folder}/{NAME}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(fd, b"?")
    except OSError:
        return  # full: it was asked often enough
    finally:
        os.close(fd)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if os.stat(beat).st_mtime_ns != before:
                return
        except OSError:
            return
        time.sleep(0.002)
