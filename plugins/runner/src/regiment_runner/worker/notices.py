"""What the notice board of a queue says to its workers: tasks that are not to run, by their ids or by their traces."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence

from regiment.contracts import Board, Dead, Delivery, Done, Settlement, Span, Taken
from regiment_runner.shared import page
from regiment_runner.shared.heads import id_of
from regiment_runner.shared.page import Page
from regiment_runner.worker.lease import Hold
from regiment_runner.worker.runtime import Runtime

MOST_PUT_OFF, PUT_OFF = 100, 0.25
"""Notices of ended tasks that a busy worker takes off the board in one go, and for how many seconds it gathers them: each time, it and
all other workers read the whole board.
"""


class Notices:
    """Reads the board when an exchange says that it has changed, and takes off it what has ended, as cancelled or otherwise.

    While ids stand there, no task takes the short way: that is where they are looked for, so nothing else pays. A notice about
    a trace stays until its time is over, because nobody knows what will still be pushed.
    """

    def __init__(self, hold: Hold, runtime: Runtime) -> None:
        self._hold, self._runtime, self._plain = hold, runtime, runtime.plain
        self._ended = deque[tuple[str, int, str]]()
        """Consumer, number and id of what has ended and stands there."""
        self._over, self._due, self._read = set[str](), 0.0, 0
        """Ids to be taken off the board, when at the latest, and its version when it was read last."""
        hold.on_board, runtime.notices = self.look, self

    def ended(self, consumer: str, number: int, task_id: str) -> None:
        """A task that stands there has ended: the exchange that tells the store so is followed by a look. In any thread."""
        self._ended.append((consumer, number, task_id))
        self._hold.board = -1

    def look(self, settlements: Sequence[Settlement], before: Sequence[Delivery], taken: Taken) -> None:
        """Read the board, and take off it what has been settled (O1). A worker that goes on with tasks that stand on the board that
        it knows gathers them first: they end without a run, so it is asked again at once.
        """
        settled, later = _spans(settlements), []
        while self._ended:
            consumer, number, task_id = one = self._ended.popleft()
            if _in(number, settled):
                self._over.add(task_id)
            elif consumer == self._hold.lease.consumer:
                later.append(one)
        if self._waits(taken):
            self._ended.extend(later)
            return  # it is asked again with the next exchange
        board = self._ask(self._over)
        if board is not None and board.cancelled:
            # What ended while its notice was on the way: nobody else would take that off.
            ends = {task_id for number, task_id in self._runtime.ends if _in(number, settled)}
            ends.update(_ids_of(settled, before, self._hold.page))
            if over := board.cancelled & ends:
                board = self._ask(over)
        if board is None:
            return
        words = self._hold.words
        self._over.clear()
        self._hold.board = self._read = board.version
        if words[page.BOARD] != board.version:
            words[page.BOARD] = board.version
            self._hold.tell_keeper()
        self._runtime.cancelled = board.cancelled
        self._runtime.plain = self._plain and not board.cancelled
        for one in later:
            self.ended(*one)

    def _waits(self, taken: Taken) -> bool:
        now, cancelled = time.monotonic(), self._runtime.cancelled
        known = taken.board == self._read and bool(taken.deliveries)
        known = known and all(id_of(delivery.payload) in cancelled for delivery in taken.deliveries)
        if known and len(self._over) < MOST_PUT_OFF and now < self._due:
            return True
        self._due = now + PUT_OFF
        return False

    def _ask(self, clear: Collection[str]) -> Board | None:
        """The board, after these were taken off it; None if this worker was fenced meanwhile."""
        connector, queue = self._hold.lease.connector, self._hold.lease.queue

        def ask() -> Board:
            if clear:
                connector.post(queue, clear=list(clear))
            return connector.board(queue)

        board: Board | None = self._hold.insist(ask)
        return board


def _spans(settlements: Sequence[Settlement]) -> list[Span]:
    """The numbers of what has ended for good."""
    spans = [(one.first, one.last) for one in settlements if isinstance(one, Done)]
    return spans + [(one.receipt, one.receipt) for one in settlements if isinstance(one, Dead)]


def _in(number: int, spans: Sequence[Span]) -> bool:
    return any(first <= number <= last for first, last in spans)


def _ids_of(spans: Sequence[Span], before: Sequence[Delivery], sheet: Page) -> Iterator[str]:
    """The ids of these numbers, as far as they can be known: by what was leased last, or by what stands on the page."""
    heads = {delivery.receipt: delivery.payload for delivery in before}
    heads |= {state.number: state.head for state in sheet.slots()}
    for number, head in heads.items():
        if _in(number, spans) and (found := id_of(head)) is not None:
            yield found
