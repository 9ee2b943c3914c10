"""The page: shared memory in which one worker notes what it does, so that its death loses nothing.

One file per worker incarnation. The worker writes batch and slots, its keeper the lease and the revoked range, its
supervisor strikes and orders (`words` says where what lies). Each field is an aligned 64-bit word with one writer; number and
phase of a slot share one word, written last, because two words are never seen together (`docs/guarantees.md`, "The rules").
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from regiment.contracts import MOST_SLOTS, Reading, Span
from regiment.errors import ConfigError
from regiment_runner.shared import places
from regiment_runner.shared.room import NoRoom as NoRoom
from regiment_runner.shared.room import reserve
from regiment_runner.shared.words import *


class Join(NamedTuple):
    """A consumer of this worker: of its own queue (the first), or of one that a task took from."""

    queue: str
    consumer: str
    first: int
    last: int
    """Last number of a `take`; 0 for the worker's own queue."""


class SlotState(NamedTuple):
    """What a slot is doing, for people and post-mortems."""

    slot: int
    number: int
    phase: int
    started: int
    head: bytes
    name: str
    progress: tuple[int, int]
    note: str


class Page:
    """One page, mapped. Words are read and written through `words`; the methods are for what needs more than one."""

    SOFT_SIGNAL = SOFT_SIGNAL

    def __init__(self, path: Path, *, create: bool = False, read_only: bool = False) -> None:
        self.path = path
        self.wake_watcher: Callable[[], object] = lambda: None
        """In a worker: tells its supervisor that a deadline came earlier than the one it sleeps for."""
        self.write_off: Callable[[int, int, str], object] = lambda slot, number, stack: None
        """In a worker: gives up the thread that runs `number` in `slot` and stands at `stack`, and its task ends there."""
        self.seen_strike = 0
        access = os.O_RDONLY if read_only else os.O_RDWR
        flags = access | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        fd = os.open(path, flags, 0o600)
        try:
            if create:
                reserve(fd, path, 0, SLOTS_AT + SHARED_SLOTS * SLOT_SIZE)
                reserve(fd, path, TALLY_AT, TALLY_SIZE)
            elif os.fstat(fd).st_size not in SIZES:
                raise ValueError(f"{path} is no page of this release")
            self.map = mmap.mmap(fd, SIZE, access=mmap.ACCESS_READ if read_only else mmap.ACCESS_WRITE)
        except BaseException:
            if create:
                os.unlink(path)
            raise
        finally:
            os.close(fd)
        self.words = memoryview(self.map).cast("Q")
        if create:
            self.words[BORN] = now()
            self.words[MAGIC] = PAGE_MAGIC
        elif self.words[MAGIC] != PAGE_MAGIC:
            raise ValueError(f"{path} is no page of this release")
        self._read_only, self._given_up = read_only, False
        self._born, self._slots, self._effects = self.words[BORN], 0, 0
        self.area: mmap.mmap | None = None
        """The annex, once it is mapped here."""

    # Whether it can be believed: a task can write anything on its worker's page, and cut the file off.

    def damage(self) -> str | None:
        """What is wrong with the page, or None. Whoever reads a page that another process writes asks this first.

        A page that is damaged has been given up when this returns: from then on it reads as that of a worker that never
        did anything, and touching it is no SIGBUS. Its worker has crashed, whatever it still does.
        """
        if self._given_up:
            return "it was damaged before"
        size, whole = self.map.size(), SIZES[bool(self.words[EFFECTS]) if self.map.size() >= SIZE else 0]
        if size < whole:
            why = f"it was cut to {size:,} of {whole:,} bytes"
        else:
            wrong = self._nonsense() and self._nonsense()  # the worker may have been writing
            if wrong is None:
                return None
            why = wrong
        if not self._read_only:
            self._lay_over(bytes(SIZE))
            self._given_up = True
        return why

    def _nonsense(self) -> str | None:
        words = self.words
        if words[MAGIC] != PAGE_MAGIC or words[BORN] != self._born:
            return "its head was overwritten"
        slots = words[SLOTS]
        if slots > MOST_SLOTS or (self._slots and slots != self._slots):
            return f"it says that its worker has {slots:,} slots"
        self._slots = slots
        for slot in range(slots):
            number, phase = self.slot_word(slot)
            last = words[LAST]  # read after what is written after it
            if phase >= len(PHASES) or (last and number > last):
                return f"slot {slot} holds number {number:,} in phase {phase}; the last number leased is {last:,}"
        if any(words[(JOINS_AT + index * JOIN_SIZE) >> 3] > 1 for index in range(JOINS)):
            return "its consumers were overwritten"
        effects = words[EFFECTS]
        if effects > words[LAST] + 1 or (self._effects and effects != self._effects):
            return (
                f"it says that there are records from number {effects:,} on; the last number leased is {words[LAST]:,}"
            )
        if max(words[END_A], words[END_B]) > HALF:
            return "the ends of its annex were overwritten"
        self._effects = effects
        return self._notices_nonsense(slots) if words[BOARD] or words[CANCELS] else None

    def _notices_nonsense(self, slots: int) -> str | None:
        words = self.words
        if words[BOARD] > MOST or words[CANCELS] > 1:
            return "its notices were overwritten"
        for slot in range(slots):
            number = words[slot_index(slot) + CANCELLING]
            if number > words[LAST]:
                return f"slot {slot} is to cancel number {number:,}; the last number leased is {words[LAST]:,}"
        return None

    def have_slots(self, slots: int) -> None:
        """In the worker: reserve the memory of its slots, and say how many it has."""
        if slots > SHARED_SLOTS:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                reserve(fd, self.path, 0, SLOTS_AT + slots * SLOT_SIZE)
            finally:
                os.close(fd)
        self.words[SLOTS] = slots

    def close(self) -> None:
        """Unmap; the file stays."""
        self.words.release()
        self.map.close()
        if self.area is not None:
            self.area.close()

    def detach(self) -> None:
        """In a process forked from the worker: its own copy of the page from now on, so that it writes to nobody's."""
        self._lay_over(bytes(self.map))

    def _lay_over(self, copy: bytes) -> None:
        """Put memory of this process alone, with these bytes, in the place of the shared page."""
        import ctypes

        size = len(self.map)
        here = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        remap = ctypes.CDLL(None, use_errno=True).mmap
        remap.restype = ctypes.c_void_p
        remap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
        fixed = 0x10  # MAP_FIXED: over the shared pages, at the same address
        access, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        if remap(here, size, access, flags | fixed, -1, 0) != here:
            os._exit(1)
        self.map[:] = copy

    # What the worker writes

    def start(self, slot: int, number: int, payload: bytes, at: int, phase: int = STARTED) -> None:
        """Note that `number` starts in `slot`; disarms what was armed there."""
        offset = SLOTS_AT + slot * SLOT_SIZE
        PACK_START(self.map, offset + START_AT, at, 0, 0, 0, 0, payload)
        self.words[offset >> 3] = number << 3 | phase

    def arm(self, slot: int, soft: int, hard: int) -> None:
        """Arm limits of the task noted in `slot`, nanoseconds from now; 0: none. Wakes a watcher that sleeps longer."""
        words, at, at_once = self.words, (SLOTS_AT + slot * SLOT_SIZE) >> 3, now()
        first = 0
        if soft:
            first = words[at + SOFT] = at_once + soft
        if hard:
            words[at + HARD] = at_once + hard
            first = first or at_once + hard
        if first and first < words[WATCHING]:
            self.wake_watcher()

    def limits(self, slot: int) -> tuple[int, int, int]:
        """Indexes in `words` of a slot's soft and hard limit and of the time up to which nobody watches, for a guard that
        does by itself what `arm` does.
        """
        at = slot_index(slot)
        return at + SOFT, at + HARD, WATCHING

    def softly_struck(self) -> int | None:
        """In the worker: the number that a soft strike is for, if it still runs; each number at most once."""
        for slot, number, phase in self.numbers():
            if phase == STARTED and self.words[slot_index(slot) + STRUCK] == number > self.seen_strike:
                self.seen_strike = number
                return number
        return None

    def struck(self) -> Iterator[tuple[int, int]]:
        """In the worker: (slot, number) of what was struck softly and still runs."""
        for slot, number, phase in self.numbers():
            if phase == STARTED and self.words[slot_index(slot) + STRUCK] == number:
                yield slot, number

    def cancelling(self, slot: int, number: int) -> bool:
        """True if `number` is to be cancelled in `slot`."""
        return bool(self.words[slot_index(slot) + CANCELLING] == number)

    def name(self, slot: int, name: str) -> None:
        """Note the task's name, for `regiment workers`."""
        offset = SLOTS_AT + slot * SLOT_SIZE + NAME_AT
        self.map[offset : offset + NAME_SIZE] = _cut(name)

    def progress(self, slot: int, done: int, total: int, note: str) -> None:
        """Note how far the task is."""
        offset = SLOTS_AT + slot * SLOT_SIZE
        note_bytes = note.encode(errors="replace")[:NOTE_SIZE].ljust(NOTE_SIZE, b"\0")
        self.map[offset + NOTE_AT : offset + NOTE_AT + NOTE_SIZE] = note_bytes
        self.words[(offset >> 3) + TOTAL] = min(MOST, max(0, int(total)))
        # Never 0, which says that the task has told nothing: then the note is that of an earlier one.
        self.words[(offset >> 3) + PROGRESS] = min(MOST, max(0, int(done))) << 1 | 1

    def join(self, index: int, queue: str, consumer: str, first: int, last: int = 0) -> None:
        """Write a consumer down, before its join is sent (R1)."""
        offset = JOINS_AT + index * JOIN_SIZE
        self.words[offset >> 3] = 0
        JOIN.pack_into(self.map, offset, 0, first, last, consumer.encode(), queue.encode())
        self.words[offset >> 3] = 1

    def leave(self, index: int) -> None:
        """The consumer at `index` holds nothing any more."""
        self.words[(JOINS_AT + index * JOIN_SIZE) >> 3] = 0

    # What others read

    def joins(self) -> Iterator[tuple[int, Join]]:
        """The consumers that are written down, each read until two readings agree."""
        for index in range(JOINS):
            offset = JOINS_AT + index * JOIN_SIZE
            for _ in range(TRIES):
                raw = bytes(self.map[offset : offset + JOIN.size])
                if raw == bytes(self.map[offset : offset + JOIN.size]):
                    break
            valid, first, last, consumer, queue = JOIN.unpack(raw)
            if valid:
                yield index, Join(_text(queue), _text(consumer), first, last)

    def slot_word(self, slot: int) -> tuple[int, int]:
        """Number and phase of a slot."""
        word = self.words[slot_index(slot)]
        return word >> 3, word & 7

    def numbers(self) -> Iterator[tuple[int, int, int]]:
        """(slot, number, phase) of each slot that was ever used."""
        for slot in range(self.used()):
            number, phase = self.slot_word(slot)
            if number and phase < len(PHASES):
                yield slot, number, phase

    def used(self) -> int:
        """How many slots to look at; what a worker says of it is believed up to the size of the page."""
        return min(max(1, self.words[SLOTS]), MOST_SLOTS)

    def highest(self) -> int:
        """The highest number noted; 0 if none."""
        return max((number for _, number, _ in self.numbers()), default=0)

    def readings(self) -> Iterator[Reading]:
        """Slots with a task started and a limit armed; each reading is of one and the same number."""
        for slot in range(self.used()):
            at = slot_index(slot)
            word = self.words[at]
            if word & 7 != STARTED:
                continue
            started, hard = self.words[at + START], self.words[at + HARD]
            soft = self.words[at + SOFT]  # after the other, which says whether both are a hook's
            if (soft or hard) and not hard >> HOOK_SHIFT and self.words[at] == word:
                yield Reading(slot, word >> 3, STARTED, started, soft, hard, self.words[at + STRUCK])

    def slots(self) -> Iterator[SlotState]:
        """All slots ever used, for people."""
        for slot, number, phase in self.numbers():
            at = SLOTS_AT + slot * SLOT_SIZE
            words, start = self.words, slot_index(slot)
            yield SlotState(
                slot,
                number,
                phase,
                words[start + START],
                bytes(self.map[at + HEAD_AT : at + HEAD_AT + HEAD_BYTES]),
                self.name_of(slot),
                (words[start + PROGRESS] >> 1, words[start + TOTAL]),
                _text(self.map[at + NOTE_AT : at + NOTE_AT + NOTE_SIZE]) if words[start + PROGRESS] else "",
            )

    def name_of(self, slot: int) -> str:
        """The name of the task in a slot, as far as there is room for it."""
        at = SLOTS_AT + slot * SLOT_SIZE + NAME_AT
        return _text(self.map[at : at + NAME_SIZE])

    def finished(self, first: int) -> list[Span]:
        """Every number from `first` to the highest noted that no slot shows as open (R2), as spans; of those before EFFECTS."""
        seen = list(self.numbers())
        top = max((number for _, number, _ in seen), default=0)
        still = sorted({number for _, number, phase in seen if phase in OPEN and number >= first})
        spans, low = [], first
        for number in [*still, top + 1]:
            if low < number:
                spans.append((low, number - 1))
            low = number + 1
        since = self.words[EFFECTS]  # after the slots, whose words its worker writes after it
        return [(low, min(high, since - 1)) for low, high in spans if low < since] if since else spans

    def returned(self, first: int, last: int) -> None:
        """In the worker: the store has taken these back."""
        for slot, number, phase in self.numbers():
            if phase == RETURNING and first <= number <= last:
                self.words[slot_index(slot)] = number << 3 | DONE

    def cancel(self, slot: int, number: int) -> None:
        """Mark that `number` is to be cancelled in `slot`; for its keeper."""
        self.words[slot_index(slot) + CANCELLING] = number
        self.words[CANCELS] = 1

    def revoke(self, low: int, last: int) -> None:
        """Write the revoked range; at most once a batch, and it never rises (R13)."""
        self.words[REVOKED] = low << 24 | (last - low)

    def revoked(self) -> Span | None:
        """The revoked range, or None."""
        word = self.words[REVOKED]
        return (word >> 24, (word >> 24) + (word & 0xFFFFFF)) if word else None


def shown(name: str) -> str:
    """What a page shows of a name."""
    return _text(_cut(name))


def _cut(name: str) -> bytes:
    return name.encode(errors="replace")[:NAME_SIZE].ljust(NAME_SIZE, b"\0")


def _text(raw: bytes) -> str:
    return bytes(raw).rstrip(b"\0").decode(errors="replace")


# The folder of a tree; `places` says where it lies and whose it is.


def make_tree() -> Path:
    """A new folder for the pages of this process's tree; removes those whose supervisor is gone."""
    try:
        return Path(places.make_tree())
    except places.Unsafe as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(
            f"no folder for the pages can be made in {places.home()}: {error.strerror}. Make room there, or set "
            f"XDG_RUNTIME_DIR to another folder of yours (mode 700)"
        ) from error


def have_tree(tree: Path) -> bool:
    """Make a tree's folder again if something outside has removed it; True if so."""
    return places.have_tree(str(tree))


def remove_tree(tree: Path) -> None:
    """Delete a tree's folder; what is gone already does not matter."""
    places.remove_tree(str(tree))
