"""The promises of push: all or nothing, in order, once; and of the tasks that it makes ready."""

from __future__ import annotations

import os
import time

import pytest

from regiment.contracts import Done
from regiment.task import new_id
from regiment_testing.contracts.bench import MIB, Bench, Consumer, Open, fresh, push, shared, together


class PushContract(Bench):
    """Tasks go in."""

    def test_tasks_of_one_priority_come_out_in_the_order_of_the_push(self, open: Open) -> None:
        """First in, first out, over several pushes."""
        producer, worker = open("push"), Consumer(open("lease"))
        push(producer, "q", b"1", b"2")
        push(producer, "q", b"3")
        assert worker.payloads(2) == [b"1", b"2"]
        assert worker.payloads(2) == [b"3"]

    def test_a_lower_priority_number_comes_first(self, open: Open) -> None:
        """Priority goes before age, also within a batch and for a task that is pushed while others wait."""
        producer, worker = open("push"), Consumer(open("lease"))
        push(producer, "q", b"low", priority=2)
        push(producer, "q", b"normal", priority=1)
        push(producer, "q", b"high", priority=0)
        assert worker.payloads(2) == [b"high", b"normal"]
        push(producer, "q", b"high again", priority=0)
        assert worker.payloads(2) == [b"high again", b"low"]

    def test_queues_do_not_mix(self, open: Open) -> None:
        """A task is leased only from the queue to which it was pushed."""
        connector = open("push")
        push(connector, "one", b"1")
        push(connector, "two", b"2")
        worker = open("lease")
        assert Consumer(worker, "two").payloads() == [b"2"]
        assert Consumer(worker, "one").payloads() == [b"1"]

    @pytest.mark.parametrize("size", [0, 1, 255, 256, 65_536, MIB])
    def test_payloads_come_back_byte_for_byte(self, open: Open, size: int) -> None:
        """Any bytes of any length: none, zeros, and bytes that look like text or the end of a line."""
        connector = open("lease")
        payloads = [os.urandom(size), bytes(size), (b"\r\n\x00\xff$*" * size)[:size]]
        push(connector, "q", *payloads)
        assert Consumer(connector).payloads() == payloads

    def test_a_push_of_nothing_changes_nothing(self, open: Open) -> None:
        """An empty push is accepted."""
        connector = open("push")
        assert list(push(connector, "q")) == []
        assert connector.counts("q").ready == 0

    def test_many_at_once_keep_their_order(self, open: Open) -> None:
        """A push of 2,500 in one call."""
        connector = open("push")
        payloads = [b"%d" % n for n in range(2500)]
        push(connector, "q", *payloads)
        worker = Consumer(open("lease"))
        assert worker.payloads(1000) + worker.payloads(1000) + worker.payloads(1000) == payloads

    # tokens

    def test_a_repeated_push_changes_nothing_and_gives_the_same_answer(self, open: Open) -> None:
        """After a lost reply the same call comes again, perhaps by another connection: there is one copy."""
        first, second = open("push"), open("push")
        push(first, "q", b"b", ids=["taken"])
        token, ids = fresh("token"), ["new", "taken"]
        assert list(push(first, "q", b"a", b"b", token=token, ids=ids)) == [1]
        assert list(push(second, "q", b"a", b"b", token=token, ids=ids)) == [1]
        assert first.counts("q").ready == 2

    def test_a_token_is_remembered_after_the_task_is_done(self, open: Open) -> None:
        """A late repeat does not run the task again."""
        connector = open("push")
        token = fresh("token")
        push(connector, "q", b"a", token=token)
        worker = Consumer(open("lease"))
        worker.take()
        worker.exchange(Done(1, 1), limit=0)
        push(connector, "q", b"a", token=token)
        assert connector.counts("q").ready == 0

    def test_a_repeated_delayed_push_changes_nothing(self, open: Open) -> None:
        """The same holds for a task that waits for its due time."""
        connector, token = open("push"), fresh("token")
        for _ in range(2):
            push(connector, "q", b"a", delay=60, token=token)
        assert connector.counts("q").delayed == 1

    def test_the_tokens_of_one_process_count_one_by_one_in_any_order(self, open: Open) -> None:
        """Those that regiment makes end in numbers that ascend; threads send them out of order, repeats come late and by other connections."""
        process = new_id().partition("-")[0]
        numbers = [5, 4, 8191, 8192, 6, 0, 70_000]
        tokens = (
            [f"{process}-{n:x}" for n in numbers]
            + [f"{process}-{n:x}0" for n in (5, 8192)]
            + [f"{process}-0x5", f"{process}-05"]
        )
        first, second = open("push"), open("push")
        for number, token in enumerate(tokens):
            push(first if number % 2 else second, "q", b"%d" % number, token=token)
        for token in reversed(tokens):
            push(second, "q", b"again", token=token)
        push(first, "other", b"elsewhere", token=tokens[0])
        assert Consumer(open("lease")).payloads(50) == [b"%d" % number for number in range(len(tokens))]
        assert first.counts("other").ready == 1

    def test_a_token_is_forgotten_after_its_window(self, open: Open) -> None:
        """The window ends: then the same token makes a new push."""
        connector, token = open("push"), fresh("token")
        push(connector, "q", b"a", token=token, token_window=0.1)
        time.sleep(0.3)
        push(connector, "q", b"a", token=token, token_window=0.1)
        assert connector.counts("q").ready == 2

    # ids

    def test_an_id_that_waits_is_left_out(self, open: Open) -> None:
        """Also twice in one call, and among new ids; the answer names the indexes."""
        connector = open("push")
        assert list(push(connector, "q", b"1", b"2", b"3", ids=["a", "b", "a"])) == [2]
        assert list(push(connector, "q", b"4", b"5", ids=["c", "b"])) == [1]
        assert Consumer(open("lease")).payloads() == [b"1", b"2", b"4"]

    def test_an_id_is_left_out_within_its_window_also_when_it_was_done(self, open: Open) -> None:
        """The window counts from the push, not from the end of the task."""
        connector, worker = open("push"), Consumer(open("lease"))
        push(connector, "q", b"1", ids=["a"])
        worker.take()
        worker.exchange(Done(1, 1), limit=0)
        assert list(push(connector, "q", b"2", ids=["a"])) == [0]
        assert connector.counts("q").ready == 0

    def test_an_id_may_come_again_after_its_window_when_it_was_done(self, open: Open) -> None:
        """It may not while its task still waits or runs, however long ago the window ended."""
        connector, worker = open("push"), Consumer(open("lease"))
        push(connector, "q", b"1", ids=["a"], id_window=0.1)
        time.sleep(0.3)
        assert list(push(connector, "q", b"2", ids=["a"], id_window=0.1)) == [0], "it waits"
        worker.take()
        time.sleep(0.3)
        assert list(push(connector, "q", b"2", ids=["a"], id_window=0.1)) == [0], "it runs"
        worker.exchange(Done(1, 1), limit=0)
        time.sleep(0.3)
        assert list(push(connector, "q", b"2", ids=["a"], id_window=0.1)) == [], "it is over"
        assert worker.payloads() == [b"2"]

    def test_an_id_that_is_delayed_is_left_out_after_its_window(self, open: Open) -> None:
        """A task that waits for its due time waits."""
        connector = open("push")
        push(connector, "q", b"1", ids=["a"], id_window=0.1, delay=60)
        time.sleep(0.3)
        assert list(push(connector, "q", b"2", ids=["a"], id_window=0.1)) == [0]

    def test_ids_of_different_queues_are_different(self, open: Open) -> None:
        """An id belongs to its queue."""
        connector = open("push")
        push(connector, "one", b"1", ids=["a"])
        assert list(push(connector, "two", b"2", ids=["a"])) == []

    # delays

    def test_a_delayed_task_is_not_leased_before_its_time(self, open: Open) -> None:
        """It counts as delayed, and an empty exchange says when to come again."""
        connector, worker = open("push"), Consumer(open("lease"))
        push(connector, "q", b"later", delay=60)
        taken = worker.exchange()
        assert not taken.deliveries
        assert taken.next_due is not None and 50 < taken.next_due <= 60
        counts = connector.counts("q")
        assert (counts.ready, counts.delayed) == (0, 1)

    def test_a_task_may_be_due_at_a_time(self, open: Open) -> None:
        """`at` is a time of the wall clock; a time in the past means now."""
        connector, worker = open("push"), Consumer(open("lease"))
        push(connector, "q", b"future", at=time.time() + 60)
        push(connector, "q", b"past", at=time.time() - 60)
        assert worker.payloads() == [b"past"]
        assert connector.counts("q").delayed == 1

    def test_due_tasks_join_the_tail_of_their_priority_in_due_order(self, open: Open) -> None:
        """Not in the order of their pushes, and behind the tasks that were ready before."""
        connector, worker = open("push"), Consumer(open("lease"))
        push(connector, "q", b"third", delay=1.6)
        push(connector, "q", b"second", delay=0.6)
        push(connector, "q", b"high", delay=1.1, priority=0)
        push(connector, "q", b"first")
        time.sleep(2.0)
        assert worker.payloads() == [b"high", b"first", b"second", b"third"]

    # processes

    @shared
    def test_a_push_from_another_process_is_leased_here(self, open: Open) -> None:
        """Both processes use one store."""

        def work() -> int:
            push(open("push"), "q", b"from afar")
            return 0

        together([work])
        assert Consumer(open("lease")).payloads() == [b"from afar"]

    @shared
    def test_processes_that_push_at_once_lose_nothing_and_keep_their_own_order(self, open: Open) -> None:
        """Four processes make 50 pushes each."""

        def producer(number: int) -> int:
            connector = open("push")
            for n in range(50):
                push(connector, "q", b"%d %d" % (number, n))
            return 50

        together([lambda number=number: producer(number) for number in range(4)])  # type: ignore[misc]
        pushed = Consumer(open("lease")).payloads(500)
        for number in range(4):
            mine = [int(p.split()[1]) for p in pushed if int(p.split()[0]) == number]
            assert mine == list(range(50))

    @shared
    def test_one_token_from_several_processes_at_once_is_one_push(self, open: Open) -> None:
        """A repeat races with its own first try."""
        token = fresh("token")
        together([lambda: list(push(open("push"), "q", b"a", token=token))] * 4)
        assert open("look").counts("q").ready == 1

    @shared
    def test_one_id_from_several_processes_at_once_is_one_task(self, open: Open) -> None:
        """Exactly one process is told that the id was new."""
        answers = together([lambda: list(push(open("push"), "q", b"a", ids=["x"]))] * 4)
        assert sorted(answers) == [[], [0], [0], [0]]
        assert open("look").counts("q").ready == 1
