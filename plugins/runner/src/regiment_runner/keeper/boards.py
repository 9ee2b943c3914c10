"""The notice boards of a tree's queues, as far as they concern what runs here: who is to be cancelled, who is told to be quiet.

A board is read when a worker has seen a newer one (the word BOARD of its page); with a renewal, if all workers of its queue are
busy, so that none is woken by news; and once a tick while it tells this tree something.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from regiment import log
from regiment.contracts import Board
from regiment_runner.keeper.store import NEWS, Store
from regiment_runner.shared import messages, page
from regiment_runner.shared.heads import TRACE, id_of
from regiment_runner.shared.page import Page

AGAIN = 1.0
"""Seconds between two looks at a board that tells this tree something: to take back an order wakes nobody who is quiet."""


class Kept(Protocol):
    """What is known here of a worker."""

    name: str
    page: Page
    spec: Mapping[str, Any]
    store: Store
    dead: messages.PostMortem | None


class Boards:
    """What the boards say. `tree` is HOST:PID; `tell` tells the supervisor."""

    def __init__(self, tree: str, tell: Callable[[messages.FromKeeper], None]) -> None:
        self._told_to = (f"host:{os.uname().nodename}", f"tree:{tree}")
        self._tell = tell
        self._boards: dict[tuple[int, str], _Known] = {}

    def look(self, wards: Iterable[Kept]) -> float:
        """Mark what runs and is to be cancelled, pass orders on, and have boards read; when to look again (monotonic time)."""
        again, struck = float("inf"), False
        for ward in wards:
            if ward.dead is not None:
                continue
            known, seen = self._known(ward), ward.page.words[page.BOARD]
            if known.seen.get(ward.name, 0) != seen:
                known.seen[ward.name] = seen
                if known.board.version != seen:
                    known.ask(ward)
            if known.version < 0:
                continue
            if known.board.cancelled:
                struck = self._mark(ward, known.board.cancelled) or struck
            order = self._order(known.board.orders)
            if known.told.get(ward.name) != order:
                known.told[ward.name] = order
                self._tell({"order": ward.name, "told": order[0], "by": order[1]})
            if order[0]:
                now = time.monotonic()
                if now - known.asked_at >= AGAIN:
                    known.ask(ward)
                again = min(again, known.asked_at + AGAIN)
        if struck:
            self._tell({"tick": True})  # wakes the supervisor, who looks at the pages
        return again

    def renewed(self, wards: Iterable[Kept]) -> None:
        """These are being renewed now: read the boards of those queues of whose workers none has time to hear of news."""
        busy: dict[_Known, Kept | None] = {}
        for ward in wards:
            known = self._known(ward)
            busy[known] = ward if _busy(ward.page) and busy.get(known, ward) is not None else None
        for known, one in busy.items():
            if one is not None:
                known.ask(one)

    def forget(self, ward: Kept) -> None:
        """It has ended."""
        known = self._known(ward)
        known.seen.pop(ward.name, None)
        known.told.pop(ward.name, None)

    def _known(self, ward: Kept) -> _Known:
        return self._boards.setdefault((id(ward.store), ward.spec["queue"]), _Known())

    def _mark(self, ward: Kept, cancelled: frozenset[str]) -> bool:
        """Mark the slots in which one of these runs; whether one was marked that was not before."""
        sheet, found = ward.page, False
        for state in sheet.slots():
            if state.phase != page.STARTED or sheet.cancelling(state.slot, state.number):
                continue
            task_id = id_of(state.head)
            meant = (
                task_id in cancelled or f"{TRACE}{task_id}" in cancelled
            )  # of a trace, its first task is known by its id
            if meant and sheet.slot_word(state.slot) == (state.number, page.STARTED):
                sheet.cancel(state.slot, state.number)
                found = True
                queue, worker = ward.spec["queue"], sheet.words[page.PID]
                log.event(logging.INFO, "task.cancelling", id=task_id, task=state.name, queue=queue, worker=worker)
        return found

    def _order(self, orders: Mapping[str, str]) -> tuple[str, str]:
        """What this tree is told, and to whom that was said; the stricter of two."""
        mine = [(orders[name], name) for name in self._told_to if name in orders]
        return next((one for one in mine if one[0] == "drain"), mine[0] if mine else ("", ""))


class _Known:
    """One queue's board, as it was read last."""

    def __init__(self) -> None:
        self.board, self.version = Board(), -1
        """`version` is -1 until it was read."""
        self.asked_at = 0.0
        self.seen: dict[str, int] = {}
        """Worker -> the version that it had read when we looked last."""
        self.told: dict[str, tuple[str, str]] = {}
        """Worker -> what its supervisor was told of orders last."""

    def ask(self, ward: Kept) -> None:
        """Have the board read, once however often that is asked for."""
        self.asked_at, queue = time.monotonic(), ward.spec["queue"]

        def job(connector: Any) -> None:
            self.board = board = connector.board(queue)
            self.version = board.version

        ward.store.ask(("board", queue), job, turn=NEWS)


def _busy(sheet: Page) -> bool:
    """Whether a worker does not ask its store for more now: all its slots are taken, or it is to lease nothing."""
    taken = sum(phase in page.OPEN for _, _, phase in sheet.numbers())
    return taken >= sheet.used() or bool(sheet.words[page.ORDERS])
