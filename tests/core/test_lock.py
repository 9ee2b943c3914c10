"""The lock that all users of a store share."""

from __future__ import annotations

import uuid

import pytest

from regiment import Lock, LockLost, Queue


@pytest.fixture
def queue() -> Queue:
    return Queue("locks", connector=f"memory://{uuid.uuid4().hex}")


def test_one_owner_has_it_until_its_block_ends(queue: Queue) -> None:
    mine, theirs = queue.lock("nightly"), queue.lock("nightly")
    with mine:
        assert mine.held and theirs.is_locked() and not theirs.held
        assert not theirs.acquire(timeout=0.05)
        assert not theirs.release(), "nobody frees what another has"
    assert not theirs.is_locked() and theirs.acquire(timeout=0)


def test_a_lock_that_was_lost_in_its_block_is_told_at_the_end(queue: Queue) -> None:
    lock = queue.lock("nightly")
    with pytest.raises(LockLost, match=r"'nightly' was lost before its block ended; its ttl was 60\.0 s"), lock:
        lock.release()


def test_an_error_of_the_block_is_not_hidden_by_the_loss(queue: Queue) -> None:
    lock = queue.lock("nightly")
    with pytest.raises(KeyError), lock:
        lock.release()
        raise KeyError


def test_its_time_to_live_is_extended_by_its_owner_alone(queue: Queue) -> None:
    mine, theirs = queue.lock("nightly"), queue.lock("nightly")
    assert mine.get_ttl() is None and not mine.set_ttl(100)
    mine.acquire(ttl=10)
    assert mine.set_ttl(1000) and not theirs.set_ttl(5)
    left = theirs.get_ttl()
    assert left is not None and 900 < left <= 1000


def test_it_is_the_name_that_is_locked_and_not_the_object(queue: Queue) -> None:
    first, other = queue.lock("a"), queue.lock("b")
    assert isinstance(first, Lock) and first.acquire(timeout=0) and other.acquire(timeout=0)
