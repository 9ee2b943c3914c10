"""The connector examination itself: it leaves out what is not claimed, is not replaced in silence, and finds faults."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from garrison.contracts import Capabilities, Connector, Role, Taken
from garrison.testing.contracts import ConnectorContract
from garrison.testing.contracts.bench import Consumer, fresh
from garrison_local.memory import MemoryConnector


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


class Forgetful(MemoryConnector):
    """Knows no token."""

    def push(self, queue: str, payloads: Sequence[bytes], **more: Any) -> Sequence[int]:
        more["token"] = fresh("token")
        return super().push(queue, payloads, **more)


class Greedy(MemoryConnector):
    """Minds no size."""

    def exchange(self, *args: Any) -> Taken:
        queue, consumer, turn, base, settlements, limit, _, nothing = args
        return super().exchange(queue, consumer, turn, base, settlements, limit, 2**60, nothing)


class Generous(MemoryConnector):
    """Closes nobody."""

    def release(self, *args: Any, **more: Any) -> None:
        super().release(*args, **{**more, "close": False})


class Sleepy(MemoryConnector):
    """Hears no push."""

    def wait(
        self, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None = None
    ) -> Sequence[str]:
        time.sleep(min(seconds, 11))
        return []


CARELESS: list[tuple[type[MemoryConnector], str]] = [
    (Forgetful, "test_a_repeated_push_changes_nothing_and_gives_the_same_answer"),
    (Greedy, "test_a_batch_ends_before_max_bytes_but_has_one"),
    (Generous, "test_a_closed_consumer_is_refused_everything"),
    (Sleepy, "test_a_push_before_the_wait_is_not_missed"),
]


@pytest.mark.parametrize(("connector", "check"), CARELESS)
def test_a_careless_connector_is_found(
    connector: type[MemoryConnector], check: str, tmp_path: Path
) -> None:
    def opener(role: Role) -> Connector:
        made = connector(name=str(tmp_path))
        made.open(role)
        return made

    run: Callable[..., None] = getattr(ConnectorContract(), check)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run(opener)


def test_a_consumer_of_the_bench_repeats_the_same_request(tmp_path: Path) -> None:
    connector = MemoryConnector(name=str(tmp_path))
    connector.open("lease")
    worker = Consumer(connector)
    first = worker.exchange()
    assert worker.repeat()._replace(next_due=None) == first._replace(next_due=None)
