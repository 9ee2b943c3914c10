"""The annex of a page: what the attempts of one worker leave behind, so that its death loses nothing of it (E2 to E5).

Two halves of records: number, length, checksum, effects. The worker writes into one half, while the exchange that carries
what is in the other waits for its answer. A number is done when its record is whole and no slot shows it as open (E3).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Container, Iterable, Mapping
from zlib import crc32

from regiment.contracts import Span
from regiment.contracts.effects import Effect
from regiment_runner.shared.page import EFFECTS, END_A, HALF, OPEN, SIZE, Page
from regiment_runner.shared.record import unpacked
from regiment_runner.shared.room import reserve

_HEAD = struct.Struct("<QII")
_PACK, _HEAD_BYTES = _HEAD.pack_into, _HEAD.size
_LOW = 0xFFFFFFFF


class Annex:
    """The worker's side. `first`: the number from which on each that has ended has a record.

    Where attempts end in several threads, all of this happens under one lock of theirs.
    """

    def __init__(self, sheet: Page, first: int) -> None:
        self._area: mmap.mmap | bytearray = _mapped(sheet, reserved=True)
        self._words, self.first = sheet.words, first
        self._half = self._end = 0
        self._words[END_A] = self._words[END_A + 1] = 0
        self._words[EFFECTS] = first

    def append(self, number: int, data: bytes) -> bool:
        """Write a record, whole before it counts (E2); False if it does not fit (E5)."""
        size, start = len(data), self._end + _HEAD_BYTES
        end = (start + size + 7) & ~7
        if end > HALF:
            return False
        at = self._half * HALF + start
        _PACK(self._area, at - _HEAD_BYTES, number, size, crc32(data, number & _LOW))
        self._area[at : at + size] = data
        self._words[END_A + self._half] = self._end = end
        return True

    def flip(self) -> None:
        """What was written up to now is about to be sent: go on in the other half, which is empty."""
        if self._end:
            self._half, self._end = 1 - self._half, 0

    def answered(self) -> None:
        """The exchange that carried it was answered: what was written before it is emptied (E4)."""
        self._words[END_A + 1 - self._half] = 0

    def clear(self) -> None:
        """Nothing of it will ever be settled under this identity (R1)."""
        self._words[END_A] = self._words[END_A + 1] = self._half = self._end = 0

    def detach(self) -> None:
        """In a process forked from the worker: write to nobody's page."""
        self._area = bytearray(2 * HALF)


def _mapped(sheet: Page, *, reserved: bool = False) -> mmap.mmap:
    fd = os.open(sheet.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if reserved:
            reserve(fd, sheet.path, SIZE, 2 * HALF)
        return mmap.mmap(fd, 2 * HALF, offset=SIZE)
    finally:
        os.close(fd)


def _area(sheet: Page) -> mmap.mmap | None:
    """The annex of a page whose worker says that it has one."""
    if not sheet.words[EFFECTS]:
        return None
    if sheet.area is None:
        with contextlib.suppress(OSError, ValueError):  # removed: it reads as one without records, so nothing is done
            sheet.area = _mapped(sheet)
    return sheet.area


def records(sheet: Page, first: int) -> tuple[dict[int, bytes], bool]:
    """The number and bytes of each whole record from `first` on whose number no slot shows as open (E3); and whether all
    are whole.

    For those who do not trust the page. What is emptied or written meanwhile does not matter: a record that is not seen yet is
    not done yet, and one that is seen too late is of a receipt that nobody holds any more.
    """
    words, found, whole = sheet.words, dict[int, bytes](), True
    still = {number for _, number, phase in sheet.numbers() if phase in OPEN}
    area, first = _area(sheet), max(first, words[EFFECTS])
    if area is None:
        return found, not words[EFFECTS]
    for half in (0, 1):
        at, end = half * HALF, half * HALF + min(words[END_A + half], HALF)
        while at < end:
            if at + _HEAD_BYTES > end:
                whole = False
                break
            number, size, checksum = _HEAD.unpack_from(area, at)
            at += _HEAD_BYTES
            data = area[at : at + size] if size <= end - at else b""
            if crc32(data, number & _LOW) != checksum:
                whole = False
                break
            at = (at + size + 7) & ~7
            if number >= first and number not in still:
                found[number] = data
    return found, whole


def spans_of(numbers: Iterable[int]) -> list[Span]:
    """Numbers as spans, in order."""
    spans: list[Span] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return spans


def left_of(found: Mapping[int, bytes], known: Container[int] = ()) -> dict[int, tuple[Effect, ...]]:
    """The effects of each record but those `known`; without those that cannot be read: who left them runs again."""
    effects = {}
    for number, data in found.items():
        if number not in known:
            try:
                effects[number] = unpacked(data)
            except ValueError:
                continue
    return effects
