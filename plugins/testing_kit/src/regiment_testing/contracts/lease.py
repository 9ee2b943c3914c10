"""The promises about what an exchange leases: how many tasks, to which consumer, and in a race."""

from __future__ import annotations

import os
from itertools import chain

from regiment.contracts import Again, Back, Done
from regiment_testing.contracts.bench import Bench, Child, Consumer, Open, push, shared, together


class LeaseContract(Bench):
    """Each task moves to one consumer."""

    def test_receipts_go_up_from_the_base(self, open: Open) -> None:
        """base, base + 1, …, also over several batches."""
        push(open("push"), "q", *[b"x"] * 5)
        worker = Consumer(open("lease"))
        worker.next = 1000
        assert [d.receipt for d in worker.take(3)] == [1000, 1001, 1002]
        assert [d.receipt for d in worker.take(3)] == [1003, 1004]

    def test_receipts_may_be_of_64_bits(self, open: Open) -> None:
        """The worker chooses these numbers."""
        push(open("push"), "q", b"1", b"2")
        worker = Consumer(open("lease"))
        worker.next = 2**62
        assert [d.receipt for d in worker.take(2)] == [2**62, 2**62 + 1]
        assert not worker.exchange(Done(2**62, 2**62 + 1)).lost
        assert open("look").counts("q").leased == 0

    def test_a_fresh_delivery_has_no_history(self, open: Open) -> None:
        """Its count is 0, it has no note, it was never parked."""
        push(open("push"), "q", b"1")
        [delivery] = Consumer(open("lease")).take()
        assert (delivery.count, delivery.note, delivery.parked) == (0, None, 0)

    def test_no_more_than_the_limit(self, open: Open) -> None:
        """With limit 0 it leases nothing."""
        push(open("push"), "q", *[b"x"] * 5)
        worker = Consumer(open("lease"))
        assert worker.take(0) == []
        assert len(worker.take(2)) == 2
        assert len(worker.take(100)) == 3

    def test_a_batch_ends_before_max_bytes_but_has_one(self, open: Open) -> None:
        """Never more bytes than asked for, unless a single task is larger."""
        push(open("push"), "q", b"x" * 400, b"y" * 400, b"z" * 400, b"w" * 5000, b"v")
        worker = Consumer(open("lease"))
        sizes = [[len(d.payload) for d in worker.exchange(limit=10, max_bytes=1000).deliveries] for _ in range(4)]
        assert sizes == [[400, 400], [400], [5000], [1]]

    def test_a_batch_is_cut_in_the_same_way_for_what_came_back(self, open: Open) -> None:
        """The bytes of returned tasks count too."""
        push(open("push"), "q", *[b"x" * 400] * 4, b"y")
        worker = Consumer(open("lease"))
        worker.take(4)
        assert len(worker.exchange(Back(1, 2), Back(4, 4), limit=10, max_bytes=1000).deliveries) == 2
        assert [len(p) for p in worker.payloads()] == [400, 1]

    def test_two_consumers_never_hold_the_same_task(self, open: Open) -> None:
        """They lease by turns, through two connections."""
        push(open("push"), "q", *[b"%d" % n for n in range(20)])
        one, two = Consumer(open("lease")), Consumer(open("lease"))
        seen = [payload for _ in range(10) for worker in (one, two) for payload in worker.payloads(1)]
        assert seen == [b"%d" % n for n in range(20)]

    def test_what_is_leased_is_counted(self, open: Open) -> None:
        """The counts of ready and leased change together."""
        connector = open("lease")
        push(connector, "q", *[b"x"] * 5)
        worker = Consumer(connector)
        worker.take(2)
        counts = connector.counts("q")
        assert (counts.ready, counts.leased, counts.consumers) == (3, 2, 1)
        worker.exchange(Done(1, 2), limit=0)
        assert connector.counts("q").leased == 0

    def test_what_a_consumer_holds_stays_when_its_connection_ends(self, open: Open) -> None:
        """A lease belongs to the consumer, not to a connection."""
        connector = open("lease")
        push(connector, "q", b"1", b"2")
        worker = Consumer(connector)
        worker.take()
        connector.close()
        worker.connector = open("lease")
        assert [d.payload for d in worker.take(1, Done(1, 1))] == [b"2"]

    def test_nothing_held_gives_the_rest_back_first(self, open: Open) -> None:
        """R3: deliveries that the store still lists come back in front, uncounted, and the same step may lease them."""
        push(open("push"), "q", *[b"%d" % n for n in range(5)])
        worker = Consumer(open("lease"))
        worker.take(3)
        taken = worker.exchange(Done(1, 1), limit=10, holds_nothing=True)
        assert [(d.receipt, d.payload, d.count) for d in taken.deliveries] == [
            (4, b"1", 0),
            (5, b"2", 0),
            (6, b"3", 0),
            (7, b"4", 0),
        ]
        assert list(worker.exchange(Done(2, 3)).lost) == [2, 3]

    # processes

    @shared
    def test_consumers_in_a_race_share_the_tasks_without_overlap(self, open: Open) -> None:
        """Four processes lease and settle 200 tasks, in batches of different sizes; each task is seen once."""
        push(open("push"), "q", *[b"%d" % n for n in range(200)])

        def work(size: int) -> list[bytes]:
            worker = Consumer(open("lease"))
            seen: list[bytes] = []
            settle: list[Done] = []
            while True:
                batch = worker.take(size, *settle)
                if not batch:
                    return seen
                seen += [d.payload for d in batch]
                settle = [Done(batch[0].receipt, batch[-1].receipt)]

        seen = together([lambda size=size: work(size) for size in (1, 2, 3, 7)])  # type: ignore[misc]
        assert sorted(map(int, chain.from_iterable(seen))) == list(range(200))
        counts = open("look").counts("q")
        assert (counts.ready, counts.leased) == (0, 0)

    @shared
    def test_a_task_changes_hands_between_processes(self, open: Open) -> None:
        """One process leases a task and puts it off; another one leases it again."""
        push(open("push"), "q", b"1")

        def work() -> None:
            worker = Consumer(open("lease"))
            worker.take()
            worker.exchange(Again(1, b"2"), limit=0)

        together([work])
        assert Consumer(open("lease")).payloads() == [b"2"]

    @shared
    def test_what_a_killed_process_leased_is_released_for_it(self, open: Open) -> None:
        """The keeper closes the consumer; every task that it did not finish is there again, in order."""
        push(open("push"), "q", b"1", b"2", b"3")
        ready, told = os.pipe()

        def work() -> None:
            Consumer(open("lease"), name="victim").take(2)
            os.write(told, b"!")
            os.read(os.pipe()[0], 1)

        child = Child(work)
        os.read(ready, 1)
        child.kill()
        os.close(ready)
        os.close(told)
        open("keep").release("q", "victim", [(1, 1)], {}, close=True)
        assert Consumer(open("lease")).payloads() == [b"2", b"3"]
