"""One consumer's hold on one queue: its identity, its turn, the numbers of its deliveries."""

from __future__ import annotations

import os
from collections.abc import Sequence

from regiment.contracts import Connector, Settlement, Taken, Terms

MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Batches are cut at this many bytes of payload."""


class Lease:
    """One consumer's hold on one queue: identity, turn, and the numbers it gives to its deliveries.

    Numbers go on across identities and never restart (R1). A request whose answer was lost is repeated by calling
    `exchange` with the same turn: `repeat=True`.
    """

    def __init__(self, connector: Connector, queue: str, terms: Terms, first: int = 1) -> None:
        self.connector, self.queue, self.terms = connector, queue, terms
        self.next = first
        self.turn = 0
        self.consumer = new_consumer()

    def renew_identity(self) -> None:
        """A new consumer, whose numbers follow those of the last; it has yet to join."""
        self.consumer, self.turn = new_consumer(), 0

    def join(self) -> bool:
        """Make the consumer known to the store; True, or `Fenced`."""
        self.connector.join(self.queue, self.consumer, self.terms)
        return True

    def exchange(self, settlements: Sequence[Settlement], limit: int, holds_nothing: bool) -> Taken:
        """Settle and lease under the present turn."""
        return self.connector.exchange(
            self.queue,
            self.consumer,
            self.turn,
            self.next,
            settlements,
            limit,
            MAX_BATCH_BYTES,
            holds_nothing,
        )

    def renew(self) -> bool:
        """Extend the lease from here; False if the consumer is not known any more."""
        return not self.connector.renew([(self.queue, self.consumer)], self.terms.lease)


def new_consumer() -> str:
    """An identity that is never used again."""
    return f"{os.uname().nodename[:20]}.{os.getpid()}.{os.urandom(8).hex()}"
