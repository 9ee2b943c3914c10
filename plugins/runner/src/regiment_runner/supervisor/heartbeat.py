"""Signs of life for others: the heartbeat file, systemd's notifications, and the roster that `regiment workers` reads."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from regiment import log
from regiment.errors import ConfigError

BEAT = "heartbeat.json"
"""Name of the heartbeat file that every tree has in its folder."""


def write(path: Path, record: dict[str, Any]) -> None:
    """Replace `path` by `record`, at once: a reader sees the old one or the new one."""
    part = f"{path}.{os.getpid()}"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, json.dumps(record).encode())
    finally:
        os.close(fd)
    os.replace(part, path)


class Heartbeat:
    """A file that `regiment health` reads: touched at every tick (`tick` seconds), removed at the end.

    It is written when what it says has changed; else its modification time alone is set, to the boot clock.
    """

    def __init__(self, path: str, tick: float) -> None:
        self.path, self._tick = Path(os.path.abspath(path)), tick
        self._said: dict[str, Any] = {}
        try:
            self.beat(0, 0, missing=(), stopping=False)
        except OSError as error:
            raise ConfigError(
                f"the heartbeat file {str(self.path)!r} cannot be written: {error.strerror}; name one in a folder "
                "that exists and that this user may write to"
            ) from None

    def beat(self, ready: int, wanted: int, *, missing: Sequence[str], stopping: bool, dozing: bool = False) -> None:
        """Say that the supervisor lives now, how many of its workers are ready, and which targets have none;
        `dozing`: that it beats next when it is asked to.
        """
        record = {
            "pid": os.getpid(),
            "tick": self._tick,
            "ready": ready,
            "wanted": wanted,
            "missing": list(missing),
            "stopping": stopping,
            "dozing": dozing,
        }
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if record != self._said or not self._touch(now):
            write(self.path, {**record, "boot": now / 1e9})
            self._said = record
            self._touch(now)

    def _touch(self, now: int) -> bool:
        try:
            os.utime(self.path, ns=(now, now))
        except FileNotFoundError:
            return False
        return True

    def end(self) -> None:
        """The supervisor ends."""
        self.path.unlink(missing_ok=True)


class Notify:
    """systemd's `Type=notify` and its watchdog; does nothing where NOTIFY_SOCKET is not set."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self._ready = False
        self._throttle = log.Throttle()
        self.watchdog = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()) and bool(
            os.environ.get("WATCHDOG_USEC")
        )

    def ready(self) -> None:
        """All targets have a worker that is ready: said once, and at the next tick again if it could not be said."""
        if not self._ready:
            self._ready = self._say("READY=1")

    def stopping(self) -> None:
        """The tree ends."""
        self._say("STOPPING=1")

    def reloading(self) -> None:
        """The tree ends, and the same process starts it anew: systemd is to wait for READY=1, not for the end."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def alive(self) -> None:
        """The loop turns."""
        if self.watchdog:
            self._say("WATCHDOG=1")

    def _say(self, words: str) -> bool:
        if not self._address:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
                speaker.setblocking(False)  # one that does not read must not hold up the loop
                speaker.sendto(words.encode(), self._address)
        except OSError as error:
            if self._throttle() is not None:
                what = words.partition("=")[0]
                log.event(logging.ERROR, "supervisor.notify", error=str(error), what=f"systemd is not told of {what}")
            return False
        return True
