"""What the notice board of a queue says to its workers: tasks that are not to run, by their ids or by their traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from regiment.contracts import Board, Dead, Delivery, Done, Settlement
from regiment_runner.shared import page
from regiment_runner.shared.heads import id_of
from regiment_runner.shared.page import Page
from regiment_runner.worker.lease import Hold
from regiment_runner.worker.runtime import Runtime


class Notices:
    """Reads the board when an exchange says that it has changed, and takes off it what has ended, as cancelled or otherwise.

    While ids stand there, no task takes the short way: that is where they are looked for, so nothing else pays. A notice about
    a trace stays until its time is over, because nobody knows what will still be pushed.
    """

    def __init__(self, hold: Hold, runtime: Runtime) -> None:
        self._hold, self._runtime, self._plain = hold, runtime, runtime.plain
        self._ended: list[str] = []
        hold.on_board, runtime.notices = self.look, self

    def ended(self, task_id: str) -> None:
        """A task that stands there has ended, and its settlement is in the outbox: the exchange that tells the store so is
        followed by a look.
        """
        self._ended.append(task_id)
        self._hold.board = -1

    def look(self, settlements: Sequence[Settlement], before: Sequence[Delivery]) -> None:
        """Read the board."""
        ended, self._ended = self._ended, []
        connector, queue = self._hold.lease.connector, self._hold.lease.queue

        def ask() -> Board:
            if ended:
                connector.post(queue, clear=ended)
            return connector.board(queue)

        board: Board | None = self._hold.insist(ask)
        if board is not None:
            words = self._hold.words
            self._hold.board = board.version
            if words[page.BOARD] != board.version:
                words[page.BOARD] = board.version
                self._hold.tell_keeper()
            over = board.cancelled.intersection(self._runtime.ends)
            if board.cancelled:
                over |= board.cancelled.intersection(ids_of(settlements, before, self._hold.page))
            for task_id in over:  # it ended while its notice was on the way, and nobody else would take it off
                self.ended(task_id)
            self._runtime.cancelled = board.cancelled - over
            self._runtime.plain = self._plain and not self._runtime.cancelled


def ids_of(settlements: Sequence[Settlement], before: Sequence[Delivery], sheet: Page) -> Iterator[str]:
    """The ids of what was settled as ended, as far as they can be known: by what was leased last, or by what stands on the page."""
    spans = [(one.first, one.last) for one in settlements if isinstance(one, Done)]
    spans += [(one.receipt, one.receipt) for one in settlements if isinstance(one, Dead)]
    heads = {delivery.receipt: delivery.payload for delivery in before}
    heads |= {state.number: state.head for state in sheet.slots()}
    for number, head in heads.items():
        if any(first <= number <= last for first, last in spans) and (found := id_of(head)) is not None:
            yield found
