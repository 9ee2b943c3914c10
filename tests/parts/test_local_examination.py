"""The connector examination itself: it leaves out what is not claimed, is not replaced in silence, and finds faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regiment.contracts import Capabilities
from regiment_local.memory import MemoryConnector
from regiment_testing.contracts import ConnectorContract
from regiment_testing.contracts.bench import Consumer


def test_what_is_not_claimed_is_not_asked() -> None:
    class Alone(ConnectorContract):
        capabilities = Capabilities(shared=False)

    class Shared(ConnectorContract):
        capabilities = Capabilities(shared=True)

    name = "test_one_token_from_several_processes_at_once_is_one_push"
    assert getattr(Alone, name) is None
    assert callable(getattr(Shared, name))
    assert callable(Alone.test_a_push_ends_a_wait)


def test_a_check_cannot_be_replaced_in_silence() -> None:
    with pytest.raises(TypeError, match="test_a_push_ends_a_wait replaces a check of the contract"):

        class Lax(ConnectorContract):
            capabilities = Capabilities()

            def test_a_push_ends_a_wait(self, open: Any) -> None:
                pass


def test_a_consumer_of_the_bench_repeats_the_same_request(tmp_path: Path) -> None:
    connector = MemoryConnector(name=str(tmp_path))
    connector.open("lease")
    worker = Consumer(connector)
    first = worker.exchange()
    assert worker.repeat()._replace(next_due=None) == first._replace(next_due=None)
