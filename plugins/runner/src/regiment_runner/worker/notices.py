"""What the notice board of a queue says to its workers: ids of tasks that are not to run."""

from __future__ import annotations

from regiment.contracts import Board
from regiment_runner.worker.lease import Hold
from regiment_runner.worker.runtime import Runtime


class Notices:
    """Reads the board when an exchange says that it has changed, and takes off it what has ended as cancelled.

    While ids stand there, no task takes the short way: that is where they are looked for, so nothing else pays.
    """

    def __init__(self, hold: Hold, runtime: Runtime) -> None:
        self._hold, self._runtime, self._plain = hold, runtime, runtime.plain
        self._ended: list[str] = []
        hold.on_board, runtime.notices = self.look, self

    def ended(self, task_id: str) -> None:
        """A task that stands there has ended, as cancelled or otherwise: the exchange that tells the store so is followed by a look."""
        self._ended.append(task_id)
        self._hold.board = -1

    def look(self) -> None:
        """Read the board."""
        ended, self._ended = self._ended, []
        connector, queue = self._hold.lease.connector, self._hold.lease.queue

        def ask() -> Board:
            if ended:
                connector.post(queue, clear=ended)
            return connector.board(queue)

        board: Board | None = self._hold.insist(ask)
        if board is not None:
            self._hold.board = board.version
            over = board.cancelled.intersection(self._runtime.ends)
            for task_id in over:  # it ended while its notice was on the way, and nobody else would take it off
                self.ended(task_id)
            self._runtime.cancelled = board.cancelled - over
            self._runtime.plain = self._plain and not self._runtime.cancelled
