"""What the capabilities of a connector promise beyond its verbs."""

from __future__ import annotations

import os

import pytest

from regiment.contracts import Dead
from regiment_testing.contracts.bench import MIB, Bench, Consumer, Open, bounded, durable, push, together

MOST = 32 * MIB
"""The largest `max_payload` that is tried; trying a larger one would take longer than all other checks."""


class CapableContract(Bench):
    """durable, max_payload. The checks between processes examine `shared`."""

    @durable
    def test_what_was_pushed_outlives_the_process_that_pushed(self, open: Open) -> None:
        """Ready, delayed and dead tasks are all there for a process that starts later."""

        def work() -> None:
            connector = open("lease")
            push(connector, "q", b"dead", b"ready")
            push(connector, "q", b"delayed", delay=60)
            worker = Consumer(connector)
            worker.take()
            worker.exchange(Dead(1, "id", b"{}"), limit=0)
            connector.close()

        together([work])
        counts = open("look").counts("q")
        assert (counts.ready, counts.delayed, counts.dead) == (1, 1, 1)
        assert Consumer(open("lease")).payloads() == [b"ready"]

    @bounded
    def test_a_payload_may_be_as_large_as_it_says(self, open: Open) -> None:
        """It takes a payload of exactly `max_payload` bytes."""
        size = self.capabilities.max_payload or 0
        if size > MOST:
            pytest.skip(f"{size:,} bytes are believed")
        payload = os.urandom(size)
        push(open("push"), "q", payload)
        assert Consumer(open("lease")).payloads() == [payload]
