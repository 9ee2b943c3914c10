"""The promises of release: what a keeper does for a consumer that no longer can."""

from __future__ import annotations

import time

from regiment.contracts import Back, Done, Terms
from regiment_testing.contracts.bench import Bench, Consumer, Open, push

NOTHING = (1, 0)
"""A span that holds no receipt."""


class ReleaseContract(Bench):
    """done, suspects, only, close."""

    def test_release_settles_what_is_done_and_gives_back_the_rest(self, open: Open) -> None:
        """Exactly: the rest is in front, in order, uncounted."""
        connector = open("lease")
        push(connector, "q", *[b"%d" % n for n in range(6)])
        worker = Consumer(connector)
        worker.take(5)
        open("keep").release("q", worker.name, [(1, 2), (4, 4)], {}, close=True)
        taken = Consumer(connector).take(10)
        assert [(d.payload, d.count) for d in taken] == [(b"2", 0), (b"4", 0), (b"5", 0)]

    def test_release_on_repeat_changes_nothing(self, open: Open) -> None:
        """R9: it is repeated until it is acknowledged, also if others hold the tasks by then."""
        connector = open("lease")
        push(connector, "q", b"a", b"b")
        worker = Consumer(connector)
        worker.take(2)
        worker.release([(1, 1)], {2: b"note"}, close=True)
        other = Consumer(connector)
        [delivery] = other.take(5)
        worker.release([(1, 1)], {2: b"note"}, close=True)
        assert (delivery.payload, delivery.count) == (b"b", 1)
        assert connector.counts("q").leased == 1
        assert not other.exchange(Done(1, 1)).lost

    def test_release_of_an_unknown_consumer_does_nothing(self, open: Open) -> None:
        """It touches no other receipts."""
        connector = open("lease")
        push(connector, "q", b"a")
        connector.release("q", "nobody", [(1, 5)], {1: b"note"})
        counts = connector.counts("q")
        assert (counts.ready, counts.leased, counts.consumers) == (1, 0, 0)

    def test_release_returns_a_batch_whose_reply_never_arrived(self, open: Open) -> None:
        """The store knows what it leased, whatever reached the worker."""
        connector = open("lease")
        push(connector, "q", b"a", b"b")
        worker = Consumer(connector)
        worker.exchange(limit=2)
        worker.release([], {}, close=True)
        assert connector.counts("q").ready == 2

    def test_without_close_the_consumer_lives_on(self, open: Open) -> None:
        """Its turns continue, and so do its receipts."""
        connector = open("lease")
        push(connector, "q", b"a", b"b")
        worker = Consumer(connector)
        worker.take(2)
        worker.release([], {})
        assert [(d.receipt, d.payload) for d in worker.take(2)] == [(3, b"a"), (4, b"b")]

    def test_only_gives_back_only_what_lies_in_it(self, open: Open) -> None:
        """R13: a revoke takes exactly its range; the rest stays on lease."""
        connector = open("lease")
        push(connector, "q", *[b"%d" % n for n in range(6)])
        worker = Consumer(connector)
        worker.take(6)
        worker.release([], {}, only=(4, 6))
        assert [d.payload for d in Consumer(connector).take(9)] == [b"3", b"4", b"5"]
        assert sorted(worker.exchange(Done(1, 3), Back(4, 6), limit=0).lost) == [4, 5, 6]

    def test_an_empty_only_settles_and_gives_nothing_back(self, open: Open) -> None:
        """So a keeper settles for a busy worker; a second settlement by the worker is not "lost"."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", b"c")
        worker = Consumer(connector)
        worker.take(3)
        open("keep").release("q", worker.name, [(1, 2)], {}, only=NOTHING)
        counts = connector.counts("q")
        assert (counts.ready, counts.leased) == (0, 1)
        assert not worker.exchange(Done(1, 3), limit=0).lost
        assert connector.counts("q").leased == 0

    # suspects

    def test_a_suspect_is_counted_and_keeps_its_note(self, open: Open) -> None:
        """The first time it comes back at once and in front, by the terms; its neighbors are uncounted."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", b"c")
        worker = Consumer(connector, terms=Terms(poison_delays=(0, 60)))
        worker.take(2)
        worker.release([], {1: b"signal 11"}, close=True)
        taken = Consumer(connector).take(5)
        assert [(d.payload, d.count, d.note) for d in taken] == [
            (b"a", 1, b"signal 11"),
            (b"b", 0, None),
            (b"c", 0, None),
        ]

    def test_a_suspect_is_delayed_by_the_terms_of_its_count(self, open: Open) -> None:
        """The n-th redelivery waits for the n-th delay; the last delay repeats."""
        connector, terms = open("lease"), Terms(poison_delays=(0, 20, 50))
        push(connector, "q", b"a")
        for _ in range(2):
            worker = Consumer(connector, terms=terms)
            worker.take()
            worker.release([], {1: b"n"}, close=True)
        [seen] = connector.peek("q", "delayed")
        assert seen.count == 2
        assert 10 < seen.due <= 20
        assert Consumer(connector).take() == []

    def test_the_last_delay_repeats(self, open: Open) -> None:
        """For every redelivery beyond the terms."""
        connector, terms = open("lease"), Terms(poison_delays=(0.05,))
        push(connector, "q", b"a")
        for count in range(3):
            worker = Consumer(connector, terms=terms)
            time.sleep(0.1 if count else 0)
            [delivery] = worker.take()
            assert delivery.count == count
            worker.release([], {1: b"n"}, close=True)
        assert connector.counts("q").delayed == 1

    def test_a_new_note_replaces_the_old_and_empty_bytes_keep_it(self, open: Open) -> None:
        """R18: a judge that is killed adds 1 to the count; the note that it judged stays."""
        connector, terms = open("lease"), Terms(poison_delays=(0,))
        push(connector, "q", b"a")
        notes = []
        for note in (b"first", b"second", b""):
            worker = Consumer(connector, terms=terms)
            worker.take()
            worker.release([], {1: note}, close=True)
            [delivery] = Consumer(connector, terms=terms).take()
            notes.append((delivery.count, delivery.note))
            # hand it on for the next round
            connector.release("q", connector.peek("q", "leased")[0].consumer or "", [], {}, close=True)
        assert notes == [(1, b"first"), (2, b"second"), (3, b"second")]

    def test_several_suspects_have_a_note_each(self, open: Open) -> None:
        """R17: each suspect has its own note; neighbors are interrupted and are not suspects."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", b"c")
        worker = Consumer(connector, terms=Terms(poison_delays=(0,)))
        worker.take(3)
        worker.release([], {1: b"one", 3: b"three", 9: b"not held"}, close=True)
        taken = Consumer(connector).take(5)
        assert [(d.payload, d.count, d.note) for d in taken] == [
            (b"a", 1, b"one"),
            (b"b", 0, None),
            (b"c", 1, b"three"),
        ]

    def test_release_keeps_the_note_of_what_was_not_at_fault(self, open: Open) -> None:
        """R18: only Again, Done and Dead end a note."""
        connector = open("lease")
        push(connector, "q", b"a")
        worker = Consumer(connector, terms=Terms(poison_delays=(0,)))
        worker.take()
        worker.release([], {1: b"evidence"})
        [delivery] = worker.take()
        worker.release([], {}, only=(delivery.receipt, delivery.receipt))
        [delivery] = worker.take()
        assert (delivery.count, delivery.note) == (1, b"evidence")
