"""Striking what hangs: the supervisor's half of R12 and R16, and the evidence that is kept."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from regiment.contracts import Reading
from regiment_runner.shared import page, process, procfs
from regiment_runner.shared.page import DRAIN_WAIT, Page

DUMP_WAIT = 0.1
"""Seconds given to faulthandler to write the stacks; it runs in C, also while the GIL is held."""

STACKS_LIMIT = 8192
"""Characters of stacks that a note keeps."""


class WorkerView:
    """One worker as its killer sees it (`regiment.contracts.View`)."""

    def __init__(self, sheet: Page, pid: int, pidfd: int) -> None:
        self.page, self.pid, self.pidfd = sheet, pid, pidfd
        self.struck: dict[int, dict[str, Any]] = {}
        """Number -> note, of what was struck for good."""

    def readings(self) -> Iterable[Reading]:
        """The slots that have a task started and armed."""
        return self.page.readings()

    def soft(self, slot: int, number: int) -> None:
        """Strike softly, once a number."""
        self.page.words[page.slot_index(slot) + page.STRUCK] = number
        process.send(self.pidfd, page.SOFT_SIGNAL)

    def condemn(self, slot: int, number: int) -> bool:
        """R16: name it, wait, read again; a worker that went on is not condemned any more."""
        words, at = self.page.words, page.slot_index(slot)
        words[at + page.CONDEMNED] = number
        time.sleep(DRAIN_WAIT)
        if words[at] == number << 3 | page.STARTED:
            return True
        words[at + page.CONDEMNED] = 0
        return False

    def kill(self, slot: int, number: int, reason: str) -> None:
        """The last rung: stacks to the black box, then SIGKILL."""
        self.struck[number] = {
            "kind": "timeout",
            "rung": "hard",
            "reason": reason,
            "exit": "killed by SIGKILL",
            **self.evidence(slot, dump=True),
        }
        process.send(self.pidfd, signal.SIGKILL)

    def evidence(self, slot: int, *, dump: bool) -> dict[str, Any]:
        """The black box: stacks, resident memory, CPU seconds, seconds run."""
        words, at = self.page.words, page.slot_index(slot)
        found: dict[str, Any] = {"seconds": round((page.now() - words[at + page.START]) / 1e9, 3)}
        found["rss"] = procfs.resident(self.pid)
        found["cpu"] = procfs.cpu_seconds(self.pid)
        if dump:
            found["stacks"] = self._dump()
        return found

    def _dump(self) -> str:
        box = self.page.path.with_suffix(".stacks")
        before = _size(box)
        process.send(self.pidfd, page.DUMP_SIGNAL)
        deadline, seen = time.monotonic() + DUMP_WAIT, before
        while time.monotonic() < deadline:
            time.sleep(0.005)
            size = _size(box)
            if size > before and size == seen:
                break
            seen = size
        with contextlib.suppress(OSError), open(box, "rb") as file:
            file.seek(before)
            return file.read(STACKS_LIMIT).decode(errors="replace")
        return ""


def crash_note(view: WorkerView, status: int) -> dict[str, Any]:
    """The evidence of a worker that ended by itself in the middle of a task."""
    words = view.page.words
    starts = [words[page.slot_index(slot) + page.START] for slot, _, phase in view.page.numbers() if phase in page.OPEN]
    found: dict[str, Any] = {
        "kind": "crash",
        "reason": process.in_words(status),
        "exit": process.in_words(status),
        "signal": -status if status < 0 else None,
        "stacks": last_words(view.page.path.with_suffix(".stacks")),
    }
    if starts:
        found["seconds"] = round((page.now() - min(starts)) / 1e9, 3)
    return found


def last_words(box: Path) -> str:
    """What faulthandler wrote of a fatal signal; empty if there was none that it sees."""
    with contextlib.suppress(OSError):
        text = box.read_text(errors="replace")
        at = text.rfind("Fatal Python error")
        return text[at : at + STACKS_LIMIT] if at >= 0 else ""
    return ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
