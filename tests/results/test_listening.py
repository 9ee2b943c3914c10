"""One listener for each process and store: whatever is kept, whenever, reaches everybody who waits for it."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from regiment import Queue, StoreUnavailable, Use
from regiment.broker import Broker
from regiment.contracts import Drop, Keep, Record
from regiment_results import ResultGone, listening
from regiment_results.listening import Listener, Want, listen


@pytest.fixture
def broker() -> Iterator[Broker]:
    made = Queue("q", connector=Use("memory", name=uuid.uuid4().hex)).broker
    yield made
    made.close()


def keep(broker: Broker, key: str, value: bytes = b"v", rank: int = 5) -> None:
    with broker.connector() as connector:
        connector.apply("q", [Keep(key, value, 60.0, rank)], token=uuid.uuid4().hex)  # type: ignore[attr-defined]


class Waiter:
    """Waits for one key."""

    def __init__(self, broker: Broker, key: str, rank: int = 1, known: bool | None = True) -> None:
        self.told: SimpleQueue[Any] = SimpleQueue()
        self.want = Want(("q", key), rank, self.told.put, known)
        self.listener = listen(broker, [self.want])

    def hears(self) -> Any:
        return self.told.get(timeout=10)


def test_what_was_kept_before_the_wait_is_told_at_once(broker: Broker) -> None:
    keep(broker, "a", b"early")
    assert Waiter(broker, "a").hears().value == b"early"


def test_what_is_kept_during_the_wait_is_told_to_everybody(broker: Broker) -> None:
    waiters = [Waiter(broker, "a") for _ in range(3)]
    time.sleep(0.05)
    keep(broker, "a", b"late")
    assert [one.hears().value for one in waiters] == [b"late"] * 3
    assert len({id(one.listener) for one in waiters}) == 1


def test_who_wants_a_higher_rank_goes_on_waiting_behind_one_who_does_not(broker: Broker) -> None:
    low, high = Waiter(broker, "a", 1), Waiter(broker, "a", 7)
    keep(broker, "a", b"first", 5)
    assert low.hears().value == b"first"
    assert high.told.empty()
    keep(broker, "a", b"second", 7)
    assert high.hears().value == b"second"


def test_an_id_of_which_nothing_is_known_is_said_to_be_gone(broker: Broker) -> None:
    keep(broker, "noted", rank=0)
    noted, never = Waiter(broker, "noted", known=False), Waiter(broker, "never", known=False)
    assert isinstance(never.hears(), ResultGone)
    assert noted.told.empty()
    keep(broker, "noted", b"done", 3)
    assert noted.hears().value == b"done"


@pytest.mark.parametrize("known", [False, None])
def test_a_wait_ends_when_what_was_known_of_its_task_is_there_no_more(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, known: bool | None
) -> None:
    """Forgotten by another process, at the end of its time, or with a store that has lost everything."""
    monkeypatch.setattr(listening, "AGAIN", 0.2)
    keep(broker, "noted", rank=0)
    waiter = Waiter(broker, "noted", known=known)
    time.sleep(0.5)
    assert waiter.told.empty()
    with broker.connector() as connector:
        connector.apply("q", [Drop(("noted",))], token=uuid.uuid4().hex)  # type: ignore[attr-defined]
    assert isinstance(waiter.hears(), ResultGone)


def test_who_leaves_is_told_nothing_and_leaves_nothing_behind(broker: Broker) -> None:
    gone, there = Waiter(broker, "a"), Waiter(broker, "a")
    gone.listener.leave(gone.want)
    keep(broker, "a")
    there.hears()
    assert gone.told.empty() and len(gone.listener) == 0


def test_a_thousand_waits_at_once_from_eight_threads_are_all_answered_by_one_thread(broker: Broker) -> None:
    before = threading.active_count()
    ended: SimpleQueue[Record] = SimpleQueue()

    def wait(first: int) -> None:
        for number in range(first, 1000, 8):
            listen(broker, [Want(("q", str(number)), 1, ended.put, True)])  # type: ignore[arg-type]

    threads = [threading.Thread(target=wait, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for number in range(1000):
        keep(broker, str(number), str(number).encode())
    for thread in threads:
        thread.join()
    assert {ended.get(timeout=10).value for _ in range(1000)} == {str(number).encode() for number in range(1000)}
    assert threading.active_count() <= before + 1


def test_a_listener_with_nobody_to_wait_for_ends_and_the_next_wait_starts_another(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "IDLE", 0.01)
    monkeypatch.setattr(listening, "AGAIN", 0.05)
    keep(broker, "a")
    first = Waiter(broker, "a")
    first.hears()
    first.listener._thread.join(10)
    assert first.listener.ended
    second = Waiter(broker, "a")
    assert second.hears().value == b"v" and second.listener is not first.listener


class Breaking:
    """A connector whose connection breaks as often as it is told to, and that loses marks."""

    breaks: list[str] = []

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def heard(self, seconds: float, wake_fd: int | None = None) -> Any:
        if self.breaks and (what := self.breaks.pop()):
            if what == "none":
                self.inner.heard(0.01, wake_fd)
                return None
            raise StoreUnavailable("cut")
        return self.inner.heard(min(seconds, 0.05), wake_fd)


@pytest.mark.parametrize("what", ["cut", "none"])
def test_a_broken_connection_and_lost_marks_lose_no_wait(
    what: str, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = broker.open
    monkeypatch.setattr(broker, "open", lambda role: Breaking(opened(role)) if role == "follow" else opened(role))
    monkeypatch.setattr(Breaking, "breaks", [what] * 3)
    waiters = [Waiter(broker, str(number)) for number in range(5)]
    for number in range(5):
        keep(broker, str(number), b"x")
    assert [one.hears().value for one in waiters] == [b"x"] * 5


def test_a_store_that_refuses_for_good_is_told_to_those_who_wait(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(role: str) -> Any:
        raise PermissionError("no right to follow")

    monkeypatch.setattr(broker, "open", refuse)
    assert isinstance(Waiter(broker, "a").hears(), PermissionError)


def test_a_child_of_a_fork_has_a_listener_of_its_own(broker: Broker) -> None:
    """Memory is no store of two processes: the child keeps, and waits for, its own."""
    mine = Waiter(broker, "a")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            there = Waiter(broker, "a")
            code = 0 if there.listener is not mine.listener and there.listener._thread.is_alive() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    keep(broker, "a", b"parent's")
    assert mine.hears().value == b"parent's"


def test_a_listener_has_few_bytes_for_each_wait(broker: Broker) -> None:
    import tracemalloc

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    found = listen(broker, [Want(("q", f"task-{number:08}"), 1, print, True) for number in range(10_000)])
    deadline = time.monotonic() + 20
    while found._new and time.monotonic() < deadline:
        time.sleep(0.05)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert used < 12_000_000, used
    assert isinstance(found, Listener)
    found.stop()
