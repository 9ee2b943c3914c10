"""Striking what hangs: the supervisor's half of R12 and R16, and the evidence that is kept."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from regiment.contracts import Reading
from regiment.outcome import CANCELLED
from regiment_runner.shared import page, process, procfs
from regiment_runner.shared.page import DRAIN_WAIT, Page
from regiment_runner.supervisor.cancels import Cancels

DUMP_WAIT = 0.1
"""Seconds given to faulthandler to write the stacks; it runs in C, also while the GIL is held."""

STACKS_LIMIT = 8192
"""Characters of stacks that a note keeps."""

ANSWER_WAIT = 0.1
"""Seconds in which the driver of a worker wakes, if no thread keeps the interpreter from it."""

UNENDED = "cancelled, and it did not end within its grace"
SUSPECT = "its worker was killed for a time limit while others ran beside it, and nobody knows which of them is guilty"


class WorkerView:
    """One worker as its killer sees it (`regiment.contracts.View`)."""

    def __init__(self, sheet: Page, pid: int, pidfd: int, wake: int = -1) -> None:
        self.page, self.pid, self.pidfd, self._wake = sheet, pid, pidfd, wake
        self.cancels = Cancels(sheet)
        self.struck: dict[int, dict[str, Any]] = {}
        """Number -> note, of what was struck for good."""
        self._softly: dict[int, int] = {}
        """Slot -> number, of what was struck softly."""
        self._beside: dict[int, dict[str, Any]] = {}
        """Number -> note, of what runs beside something that was struck while nobody could tell which of them is guilty."""

    def readings(self) -> Iterable[Reading]:
        """The slots that have a task started and armed, or one that is to be cancelled."""
        return self.cancels.readings() if self.page.words[page.CANCELS] else self.page.readings()

    def soft(self, slot: int, number: int) -> None:
        """Strike softly, once a number."""
        self._softly[slot] = number
        self.page.words[page.slot_index(slot) + page.STRUCK] = number
        process.send(self.pidfd, page.SOFT_SIGNAL)

    def softly_struck(self) -> Iterator[tuple[int, int]]:
        """(slot, number) of what was struck softly and is still noted as started."""
        for slot, number in self._softly.items():
            if self.page.slot_word(slot) == (number, page.STARTED):
                yield slot, number

    def ended_softly(self) -> None:
        """The worker died of a soft strike: what that was for is a timeout, or cancelled."""
        for slot, number in self.softly_struck():
            self.struck[number] = {
                "kind": self._kind(slot, number),
                "rung": "soft",
                "reason": "ended by the signal of its soft strike, which it had reset",
                "exit": process.in_words(-page.SOFT_SIGNAL),
                **self.evidence(slot, dump=False),
            }

    def condemn(self, slot: int, number: int) -> bool:
        """R16 for one slot."""
        return bool(self.condemn_all([(slot, number)]))

    def condemn_all(self, late: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """R16: name them, wait once, read again; those that went on are not condemned any more, the others are returned."""
        words = self.page.words
        for slot, number in late:
            words[page.slot_index(slot) + page.CONDEMNED] = number
        time.sleep(DRAIN_WAIT)
        still = []
        for slot, number in late:
            at = page.slot_index(slot)
            if words[at] == number << 3 | page.STARTED:
                still.append((slot, number))
            else:
                words[at + page.CONDEMNED] = 0
        return still

    def kill(self, slot: int, number: int, reason: str) -> None:
        """The last rung: stacks to the black box, then SIGKILL; once, however many are named in one look."""
        first, kind = not self.struck, self._kind(slot, number)
        self.struck[number] = note = {
            "kind": kind,
            "rung": "hard",
            "reason": UNENDED if kind == CANCELLED else reason,
            "exit": "killed by SIGKILL",
            **self.evidence(slot, dump=first),
        }
        if first:
            if kind != CANCELLED:
                self._look_beside(number, note)
            process.send(self.pidfd, signal.SIGKILL)

    def _kind(self, slot: int, number: int) -> str:
        return CANCELLED if self.page.cancelling(slot, number) else "timeout"

    def _look_beside(self, number: int, note: dict[str, Any]) -> None:
        """Note what runs beside `number`, if a loop that does not turn, or a lock that is not let go, may have made it late."""
        others = [
            (slot, other) for slot, other, phase in self.page.numbers() if phase == page.STARTED and other != number
        ]
        if others and (loop_stands(note.get("stacks", "")) or self._interpreter_stands()):
            self._beside = {other: self._suspicion(note, slot) for slot, other in others}

    def _interpreter_stands(self) -> bool:
        """Whether the worker's driver does not answer: one of its threads holds the interpreter's lock, in C."""
        if self._wake < 0:
            return False
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._wake, 1)
        unread = select.poll()  # until the driver has read what wakes it
        unread.register(self._wake, select.POLLIN)
        deadline = time.monotonic() + ANSWER_WAIT
        while unread.poll(0):
            if time.monotonic() > deadline:
                return True
            time.sleep(0.002)
        return False

    def _suspicion(self, note: dict[str, Any], slot: int) -> dict[str, Any]:
        started = self.page.words[page.slot_index(slot) + page.START]
        seconds = round((page.now() - started) / 1e9, 3)
        return {"kind": "suspect", "reason": SUSPECT, "exit": note["exit"], "seconds": seconds}

    def notes(self) -> dict[int, dict[str, Any]]:
        """Number -> note, once it is dead. One that was late alone is judged. Where several were, or others ran beside
        one on a loop that stood still, nobody knows who is guilty: there is no verdict, and all are suspects (R19). Who was
        to be cancelled is no suspect, whoever else is.
        """
        late = {number: note for number, note in self.struck.items() if note["kind"] != CANCELLED}
        if not late or (len(self.struck) == 1 and not self._beside):
            return self.struck
        suspects = dict(self._beside)
        for slot, number, _ in self.page.numbers():
            if number in late:
                suspects[number] = self._suspicion(late[number], slot)
            elif number not in suspects and self.page.slot_word(slot)[1] == page.STARTED:
                suspects[number] = self._suspicion(next(iter(late.values())), slot)
        return suspects | {number: note for number, note in self.struck.items() if number not in late}

    @property
    def only_cancelled(self) -> bool:
        """Whether all that it was struck for was to be cancelled."""
        return bool(self.struck) and all(note["kind"] == CANCELLED for note in self.struck.values())

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


def loop_stands(stacks: str) -> bool:
    """Whether stacks show an event loop that does not wait for its events, but is in what one coroutine does."""
    for thread in re.split(r"^(?:Current thread|Thread) ", stacks, flags=re.MULTILINE):
        frames = [line for line in thread.splitlines() if line.startswith("  File ")]
        if any("base_events.py" in frame and " in run_forever" in frame for frame in frames):
            return "selectors.py" not in frames[0]
    return False


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
