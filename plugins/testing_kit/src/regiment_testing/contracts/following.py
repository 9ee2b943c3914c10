"""The promises of follow and heard: whoever waits for a record hears of it, and sleeps until then.

A call of `heard` that nothing ends lasts `FAR` seconds; one that took less than half of that was woken.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from threading import Barrier

import pytest

from regiment.contracts import (
    ANSWERED_VALUE,
    Arrive,
    Connector,
    Done,
    Drop,
    Effective,
    Followed,
    Join,
    Keep,
    Record,
    StoreUnavailable,
)
from regiment_runner.shared.polling import readable
from regiment_testing.contracts import bench
from regiment_testing.contracts.bench import PATIENCE, Bench, Child, Open, extra, shared
from regiment_testing.contracts.leaving import able, apply, at_once, holding, keep, record
from regiment_testing.contracts.release import NOTHING
from regiment_testing.contracts.waiting import later
from regiment_testing.faults import Faulty

FAR = 20.0
SOON = FAR / 2
K: Followed = ("q", "k")


class Follower:
    """Who follows as a program does: again if marks may have been lost, and the record is read if a mark lacks it."""

    def __init__(self, open: Open) -> None:
        self.connector: Effective = able(open("follow"))
        self.look = open("look")
        self.wanted: dict[Followed, int] = {}

    def follow(self, keys: Mapping[Followed, int], seconds: float = 60.0) -> dict[Followed, Record]:
        """Follow these; those that are there."""
        there = dict(self.connector.follow(keys, seconds))
        self.wanted = {key: rank for key, rank in (self.wanted | dict(keys)).items() if key not in there}
        return there

    def hear(self, seconds: float, wake_fd: int | None = None) -> dict[Followed, Record]:
        """What one call of `heard` brings."""
        marks = self.connector.heard(seconds, wake_fd)
        if marks is None:
            return self.follow(self.wanted)
        found: dict[Followed, Record] = {}
        for (queue, key), mark in marks.items():
            there = record(self.look, key, queue) if mark is None else mark
            if there is not None:
                found[queue, key] = there
            self.wanted.pop((queue, key), None)
        return found

    def hear_all(self, *keys: Followed) -> dict[Followed, Record]:
        """Until each of these was heard; fails after PATIENCE."""
        found: dict[Followed, Record] = {}
        end = time.monotonic() + bench.PATIENCE
        while missing := [key for key in keys if key not in found]:
            left = end - time.monotonic()
            assert left > 0, f"nothing was heard of {missing[:3]} ({len(missing)} in all) in {bench.PATIENCE:g} s"
            found |= self.hear(min(left, FAR))
        return found

    def hears_nothing(self, seconds: float = 0.4) -> bool:
        """True if nothing is heard for these seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.hear(left):
                return False
        return True


@extra("effects")
class FollowingContract(Bench):
    """follow, heard; V1 to V5."""

    def test_what_is_there_is_in_the_answer(self, open: Open) -> None:
        """With its value, version and rank; nothing is left to be heard of it."""
        apply(open("push"), "q", keep(rank=2))
        follower = Follower(open)
        assert follower.follow({K: 2, ("q", "other"): 0}) == {K: record(open("look"))}
        assert follower.hears_nothing()

    def test_what_is_kept_later_is_heard(self, open: Open) -> None:
        """`heard` ends with it, soon."""
        follower, producer = Follower(open), open("push")
        assert follower.follow({K: 0, ("q", "other"): 0}) == {}
        timer = later(0.3, lambda: apply(producer, "q", keep("unfollowed"), keep(rank=1)))
        start = time.monotonic()
        found = follower.hear_all(K)
        assert time.monotonic() - start < SOON
        timer.join()
        assert found == {K: record(open("look"))}

    def test_what_is_kept_while_nobody_listens_is_heard_afterwards(self, open: Open) -> None:
        """V2: a mark waits."""
        follower = Follower(open)
        follower.follow({K: 0, ("r", "k"): 0})
        apply(open("push"), "q", keep(), keep(queue="r"))
        time.sleep(0.3)
        start = time.monotonic()
        assert set(follower.hear_all(K, ("r", "k"))) == {K, ("r", "k")}
        assert time.monotonic() - start < SOON

    @pytest.mark.parametrize("how", ["apply", "exchange", "release", "join", "from another queue"])
    def test_a_record_is_heard_whoever_keeps_it(self, open: Open, how: str) -> None:
        """A worker, its keeper, a join that became complete, a step at another queue."""
        follower, connector = Follower(open), able(open("lease"))
        worker = holding(connector)
        follower.follow({K: 0})
        if how == "apply":
            apply(connector, "q", keep())
        elif how == "exchange":
            worker.exchange(Done(1, 1), limit=0, effects={1: [keep()]})
        elif how == "release":
            connector.release("q", worker.name, [(1, 1)], {}, only=NOTHING, effects={1: [keep()]})
        elif how == "join":
            apply(connector, "r", Join("q", "j", 1, [keep()], 60.0), Arrive("q", "j", 0))
        else:
            apply(connector, "r", keep(queue="q"))
        assert follower.hear_all(K)[K].value == b"v"

    def test_a_rank_below_the_one_wanted_is_not_heard(self, open: Open) -> None:
        """Neither if it is there nor if it is kept; the one wanted is, and a higher one."""
        follower, producer = Follower(open), open("push")
        other = ("q", "other")
        apply(producer, "q", keep(rank=1))
        assert follower.follow({K: 3, other: 2}) == {}
        apply(producer, "q", keep(rank=2), keep("other", rank=1))
        assert follower.hears_nothing()
        apply(producer, "q", keep(value=b"three", rank=3), keep("other", b"nine", rank=9))
        found = follower.hear_all(K, other)
        assert (found[K][0], found[K][2], found[other][0], found[other][2]) == (b"three", 3, b"nine", 9)

    def test_what_is_not_kept_is_not_heard(self, open: Open) -> None:
        """A lower rank than what is there, other keys and queues, a record that is dropped."""
        follower, producer = Follower(open), open("push")
        apply(producer, "q", keep(rank=5), keep("gone"))
        follower.follow({K: 6, ("q", "gone"): 1, ("q", "K"): 0})
        apply(producer, "q", keep(rank=4), Drop(["gone"]), keep("k2"), keep("K", queue="r"))
        assert follower.hears_nothing()

    def test_a_key_that_was_heard_is_followed_no_longer(self, open: Open) -> None:
        """Until it is followed again, which finds what was kept meanwhile."""
        follower, producer = Follower(open), open("push")
        follower.follow({K: 0})
        apply(producer, "q", keep())
        follower.hear_all(K)
        apply(producer, "q", keep(value=b"second"))
        assert follower.hears_nothing()
        assert follower.follow({K: 0})[K].value == b"second"
        assert follower.follow({K: 1}) == {}
        apply(producer, "q", keep(value=b"third", rank=1))
        assert follower.hear_all(K)[K].value == b"third"

    @pytest.mark.parametrize("size", [0, 1, ANSWERED_VALUE, ANSWERED_VALUE + 1, 1 << 20])
    def test_a_mark_brings_a_small_record_with_it(self, open: Open, size: int) -> None:
        """V5: up to 4,096 bytes; a larger one is to be read."""
        follower, value = Follower(open), os.urandom(size)
        follower.follow({K: 0})
        apply(open("push"), "q", keep(value=value))
        marks: Mapping[Followed, Record | None] | None = {}
        end = time.monotonic() + bench.PATIENCE
        while not marks and time.monotonic() < end:
            marks = follower.connector.heard(FAR)
        assert marks is not None and set(marks) == {K}
        kept = record(open("look"))
        assert kept is not None and kept.value == value
        assert marks[K] == kept or (marks[K] is None and size > ANSWERED_VALUE)

    # several

    def test_everyone_who_follows_hears(self, open: Open) -> None:
        """Each its own: with ranks and keys of its own."""
        producer = open("push")
        one, two, three = (Follower(open) for _ in range(3))
        one.follow({K: 0})
        two.follow({K: 0, ("q", "other"): 0})
        three.follow({K: 1})
        apply(producer, "q", keep())
        assert set(one.hear_all(K)) == set(two.hear_all(K)) == {K}
        assert three.hears_nothing()
        apply(producer, "q", keep("other"), keep(rank=1))
        assert set(two.hear_all(("q", "other"))) == {("q", "other")}
        assert three.hear_all(K)[K].rank == 1
        assert one.hears_nothing()

    def test_a_follower_that_is_gone_is_in_nobodys_way(self, open: Open) -> None:
        """Records are kept and others hear, before its time is over and after."""
        gone, stays, producer = Follower(open), Follower(open), open("push")
        gone.follow({K: 0, ("q", "other"): 0}, 0.3)
        gone.connector.close()
        for key in ("k", "other"):
            stays.follow({("q", key): 0})
            apply(producer, "q", keep(key))
            assert stays.hear_all(("q", key))
            time.sleep(0.4)

    @shared
    def test_a_follower_that_was_killed_is_in_nobodys_way(self, open: Open) -> None:
        """Its marks are left for nobody."""
        ready, told = os.pipe()

        def work() -> None:
            follower = Follower(open)
            follower.follow({K: 0})
            os.write(told, b"!")
            follower.hear(FAR)

        child = Child(work)
        os.read(ready, 1)
        child.kill()
        os.close(ready)
        os.close(told)
        stays = Follower(open)
        stays.follow({K: 0})
        apply(open("push"), "q", keep())
        assert stays.hear_all(K)

    def test_ten_thousand_are_followed_at_once(self, open: Open) -> None:
        """In one call; those that are there are answered, the others heard as they are kept."""
        follower, producer = Follower(open), open("push")
        keys: list[Followed] = [("q" if n % 2 else "r", f"key {n}") for n in range(10_000)]
        apply(producer, "q", *[Keep(key, b"v", 600.0, queue=queue) for queue, key in keys[:10]])
        assert set(follower.follow(dict.fromkeys(keys, 0))) == set(keys[:10])
        for first in range(10, 1010, 250):
            apply(producer, "q", *[Keep(key, b"v", 600.0, queue=queue) for queue, key in keys[first : first + 250]])
        found = follower.hear_all(*keys[10:1010])
        assert set(found) <= set(keys[10:1010])

    # time

    def test_nothing_is_heard_when_the_time_of_a_follower_is_over(self, open: Open) -> None:
        """Else those who are gone would cost for ever."""
        follower = Follower(open)
        follower.follow({K: 0}, 0.3)
        time.sleep(1.3)
        apply(open("push"), "q", keep())
        assert follower.hears_nothing()

    def test_following_again_counts_anew(self, open: Open) -> None:
        """So a program that waits long follows again from time to time."""
        follower, producer = Follower(open), open("push")
        for ttl in (2.0, 8.0, 32.0):
            key = ("q", f"ttl {ttl}")
            for _ in range(2):
                began = time.monotonic()
                assert follower.follow({key: 0}, ttl) == {}
                time.sleep(0.6 * ttl)
            apply(producer, "q", keep(key[1]))
            if time.monotonic() - began < 0.9 * ttl:
                follower.hear_all(key)
                return
        pytest.skip("this machine is too slow for a time of 32 s")

    def test_heard_ends_with_its_seconds(self, open: Open) -> None:
        """Also for a connector that follows nothing."""
        follower = Follower(open)
        for _ in range(2):
            start = time.monotonic()
            assert follower.hears_nothing(0.4)
            assert 0.35 < time.monotonic() - start < SOON
            follower.follow({K: 0})

    def test_a_readable_descriptor_ends_heard_and_is_not_read(self, open: Open) -> None:
        """So a program that wants to follow more pokes its listener."""
        reader, writer = os.pipe()
        try:
            follower = Follower(open)
            for _ in range(2):
                timer = later(0.3, lambda: os.write(writer, b"!"))
                start = time.monotonic()
                while not readable(reader, 0) and time.monotonic() - start < SOON:
                    assert not follower.hear(FAR, reader)
                assert time.monotonic() - start < SOON
                timer.join()
                start = time.monotonic()
                assert not follower.hear(FAR, reader)
                assert time.monotonic() - start < SOON, "it is still readable"
                assert os.read(reader, 10) == b"!"
                follower.follow({K: 0})
        finally:
            os.close(reader)
            os.close(writer)

    # lost answers, and races

    @pytest.mark.parametrize("verb", ["follow", "heard"])
    def test_who_follows_again_after_a_lost_answer_misses_nothing(self, open: Open, verb: str) -> None:
        """V3: whether the record was kept before, between or after."""
        producer = open("push")
        for n, when in enumerate(("before", "between", "after")):
            follower, key = Follower(open), ("q", f"key {n}")
            faulty = Faulty(follower.connector)
            keeping = partial(apply, producer, "q", keep(key[1]))
            if verb == "heard":
                follower.follow({key: 0})
            if when == "before":
                keeping()
            faulty.order(verb, "lost")
            with pytest.raises(StoreUnavailable):
                faulty.follow({key: 0}, 60.0) if verb == "follow" else faulty.heard(0.3)
            if when == "between":
                keeping()
            there = follower.follow({key: 0})
            if when == "after":
                keeping()
                there = follower.hear_all(key)
            assert there[key].value == b"v"

    def test_a_record_that_is_kept_while_it_is_followed_is_never_missed(self, open: Open) -> None:
        """V1: register and read are one step. A hundred times, at a different moment each; one that is missed costs PATIENCE."""
        follower, producer = Follower(open), open("push")
        start = time.monotonic()
        for n in range(100):
            key = ("q" if n % 2 else "r", f"key {n}")
            timer = later((n % 10) / 2000, partial(apply, producer, key[0], keep(key[1])))
            time.sleep((n % 7) / 2000)
            there = follower.follow({key: 0}) or follower.hear_all(key)
            assert there[key].value == b"v"
            timer.join()
        assert time.monotonic() - start < PATIENCE

    def test_followers_and_steps_at_once_miss_nothing(self, open: Open) -> None:
        """Three who follow, two who keep, forty records."""
        gate = Barrier(5)
        keys: list[Followed] = [("q" if n % 2 else "r", f"key {n}") for n in range(40)]

        def listen(follower: Follower) -> None:
            gate.wait(PATIENCE)
            for first in range(0, 40, 4):
                some = keys[first : first + 4]
                there = follower.follow(dict.fromkeys(some, 0))
                follower.hear_all(*[key for key in some if key not in there])

        def work(connector: Connector, queue: str) -> None:
            gate.wait(PATIENCE)
            for name, key in keys:
                if name == queue:
                    apply(connector, queue, keep(key))

        works: list[Callable[[], None]] = [partial(listen, Follower(open)) for _ in range(3)]
        works += [partial(work, open("push"), queue) for queue in ("q", "r")]
        at_once(*works)

    @shared
    def test_what_another_process_keeps_is_heard(self, open: Open) -> None:
        """Workers and those who wait are different processes."""
        follower = Follower(open)
        follower.follow({K: 0})

        def work() -> None:
            time.sleep(0.3)
            apply(open("push"), "q", keep())

        child = Child(work)
        start = time.monotonic()
        found = follower.hear_all(K)
        child.answer()
        assert found[K].value == b"v" and time.monotonic() - start < SOON
