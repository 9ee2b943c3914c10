"""The promises of keys, locks and presence: they end with their time to live, and only an owner frees a lock."""

from __future__ import annotations

import threading
import time

from regiment_testing.contracts.bench import PATIENCE, Bench, Open, fresh, shared, together

FAR = 20.0
SOON = FAR / 2


class KeysContract(Bench):
    """set, get, delete, lock_*, announce, presence."""

    def test_a_value_stays_until_it_is_deleted(self, open: Open) -> None:
        """Every connection reads it; the last `set` counts."""
        connector, other = open("push"), open("lease")
        assert other.get("k") is None
        connector.set("k", b"one")
        connector.set("k", b"\x00two\xff")
        assert other.get("k") == b"\x00two\xff"
        assert other.delete("k")
        assert not connector.delete("k")
        assert connector.get("k") is None

    def test_a_value_with_a_time_ends_with_it(self, open: Open) -> None:
        """A later `set` without a time to live keeps the value."""
        connector = open("push")
        connector.set("short", b"x", ttl=0.2)
        connector.set("kept", b"x", ttl=0.2)
        connector.set("kept", b"y")
        connector.set("long", b"z", ttl=60)
        assert connector.get("long") == b"z"
        time.sleep(0.4)
        assert connector.get("short") is None
        assert not connector.delete("short")
        assert connector.get("kept") == b"y"

    def test_an_empty_value_is_a_value(self, open: Open) -> None:
        """An empty value is not the same as no value."""
        connector = open("push")
        connector.set("k", b"")
        assert connector.get("k") == b""

    def test_a_lock_has_one_owner(self, open: Open) -> None:
        """Another owner is refused; the same owner may take the lock again, which extends it."""
        connector, other = open("push"), open("lease")
        assert connector.lock_take("l", "ada", 10)
        assert not other.lock_take("l", "bob", 10)
        assert other.lock_take("l", "ada", 60)
        look = connector.lock_look("l")
        assert look is not None and look[0] == "ada" and 30 < look[1] <= 60
        assert other.lock_take("another", "bob", 10)

    def test_only_its_owner_frees_a_lock(self, open: Open) -> None:
        """Another owner changes nothing, and a repeat does nothing."""
        connector = open("push")
        connector.lock_take("l", "ada", 60)
        assert not connector.lock_free("l", "bob")
        assert connector.lock_look("l") is not None
        assert connector.lock_free("l", "ada")
        assert not connector.lock_free("l", "ada")
        assert connector.lock_look("l") is None
        assert connector.lock_take("l", "bob", 60)

    def test_a_lock_is_free_after_its_time(self, open: Open) -> None:
        """A dead owner does not keep the lock longer, and cannot free it for the next owner."""
        connector = open("push")
        connector.lock_take("l", "dead", 0.2)
        time.sleep(0.4)
        assert connector.lock_look("l") is None
        assert connector.lock_take("l", "next", 60)
        assert not connector.lock_free("l", "dead")
        look = connector.lock_look("l")
        assert look is not None and look[0] == "next"

    def test_freeing_a_lock_wakes_who_waits_for_it(self, open: Open) -> None:
        """The waiting process wakes long before its time is over."""
        holder, waiter = open("push"), open("lease")
        holder.lock_take("l", "ada", 60)
        timer = threading.Timer(0.3, lambda: holder.lock_free("l", "ada"))
        timer.start()
        start = time.monotonic()
        while not waiter.lock_take("l", "bob", 60) and time.monotonic() < start + FAR:
            waiter.lock_wait("l", FAR)
        seconds = time.monotonic() - start
        timer.join()
        assert seconds < SOON

    def test_waiting_for_a_lock_ends_with_its_time(self, open: Open) -> None:
        """It ends with the time of the lock, with the time of the wait, or at once if the lock is free."""
        connector, start = open("push"), time.monotonic()
        connector.lock_wait("free", FAR)
        connector.lock_take("short", "ada", 0.3)
        while not connector.lock_take("short", "bob", 60) and time.monotonic() < start + SOON:
            connector.lock_wait("short", FAR)
        connector.lock_take("long", "ada", 60)
        connector.lock_wait("long", 0.2)
        assert time.monotonic() - start < SOON

    @shared
    def test_a_lock_in_a_race_goes_to_one(self, open: Open) -> None:
        """Four processes race; one gets the lock."""
        assert sorted(together([lambda: open("push").lock_take("l", fresh("owner"), 60)] * 4)) == [
            False,
            False,
            False,
            True,
        ]

    @shared
    def test_under_a_lock_nothing_is_lost(self, open: Open) -> None:
        """Four processes each add ten times to a value, by reading and writing it."""
        open("push").set("sum", b"0")

        def work() -> None:
            connector, owner = open("push"), fresh("owner")
            for _ in range(10):
                end = time.monotonic() + PATIENCE
                while not connector.lock_take("l", owner, 60):
                    assert time.monotonic() < end
                    connector.lock_wait("l", 1)
                connector.set("sum", b"%d" % (int(connector.get("sum") or b"0") + 1))
                assert connector.lock_free("l", owner)

        together([work] * 4)
        assert open("look").get("sum") == b"40"

    def test_presence_ends_with_its_time(self, open: Open) -> None:
        """A second record under a key replaces the first."""
        connector, look = open("keep"), open("look")
        connector.announce("a", b"1", 60)
        connector.announce("a", b"2", 60)
        connector.announce("b", b"3", 60)
        assert dict(look.presence()) == {"a": b"2", "b": b"3"}
        connector.announce("b", b"3", 0.2)
        time.sleep(0.4)
        assert dict(look.presence()) == {"a": b"2"}
