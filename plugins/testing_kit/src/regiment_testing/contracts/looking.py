"""The promises of looking and of the notice board: looking changes nothing, and a paused queue leases nothing."""

from __future__ import annotations

from regiment.contracts import Again, Board, Connector, Counts, Done
from regiment_testing.contracts.bench import Bench, Consumer, Open, fresh, push


class LookingContract(Bench):
    """counts, queues, peek, purge, board, post."""

    def test_it_has_the_verbs_of_the_contract(self, open: Open) -> None:
        """It has all verbs."""
        assert isinstance(open("push"), Connector)

    def test_looking_at_an_empty_store_finds_and_makes_nothing(self, open: Open) -> None:
        """The role "look" creates and changes nothing; an absent store has no queues."""
        look = open("look")
        assert look.counts("q") == Counts()
        assert list(look.queues()) == []
        assert list(look.peek("q", "ready")) == []
        assert list(look.dead("q")) == []
        assert look.board("q") == Board()
        assert look.get("key") is None
        assert look.lock_look("lock") is None
        assert dict(look.presence()) == {}
        assert list(open("push").queues()) == []

    def test_one_who_looked_early_sees_what_came_later(self, open: Open) -> None:
        """Also if the store was absent at first."""
        look = open("look")
        assert look.counts("q").ready == 0
        push(open("push"), "q", b"a")
        assert look.counts("q").ready == 1

    def test_describe_tells_where_the_tasks_live(self, open: Open) -> None:
        """It is a text for people."""
        assert open("look").describe().strip()

    def test_close_may_be_repeated(self, open: Open) -> None:
        """A repeat does nothing."""
        connector = open("push")
        connector.close()
        connector.close()

    def test_counts_tell_where_the_tasks_are(self, open: Open) -> None:
        """Ready, delayed, leased, and how long the oldest ready task has waited."""
        connector = open("lease")
        push(connector, "q", b"a", b"b", b"c")
        push(connector, "q", b"d", delay=60)
        worker = Consumer(connector)
        worker.take()
        counts = open("look").counts("q")
        assert (counts.ready, counts.delayed, counts.leased, counts.dead, counts.consumers) == (
            2,
            1,
            1,
            0,
            1,
        )
        assert counts.oldest is not None and 0 <= counts.oldest < 30
        worker.exchange(Done(1, 1), limit=9)
        assert connector.counts("q").oldest is None

    def test_closed_consumers_are_not_counted(self, open: Open) -> None:
        """Only living consumers are counted."""
        connector = open("lease")
        workers = [Consumer(connector) for _ in range(3)]
        workers[0].release([], {}, close=True)
        assert connector.counts("q").consumers == 2

    def test_queues_are_named_if_there_is_anything_in_them(self, open: Open) -> None:
        """A task (ready, delayed or leased), a letter, a consumer or a notice is enough; the names are sorted."""
        connector = open("lease")
        push(connector, "ready", b"a")
        push(connector, "delayed", b"a", delay=60)
        Consumer(connector, "consumer")
        connector.post("notice", paused=True)
        push(connector, "over", b"a")
        worker = Consumer(connector, "over")
        worker.take()
        worker.exchange(Done(1, 1), limit=0)
        worker.release([], {}, close=True)
        assert list(open("look").queues()) == ["consumer", "delayed", "notice", "ready"]

    def test_peek_shows_tasks_in_the_order_in_which_they_would_run(self, open: Open) -> None:
        """Peeking leases no task."""
        connector = open("lease")
        push(connector, "q", b"low", priority=2)
        push(connector, "q", b"a", b"b")
        push(connector, "q", b"later", b"too", delay=60)
        push(connector, "q", b"soon", delay=30, priority=2)
        for _ in range(2):
            assert [(p.payload, p.priority) for p in connector.peek("q", "ready")] == [
                (b"a", 1),
                (b"b", 1),
                (b"low", 2),
            ]
        assert [p.payload for p in connector.peek("q", "ready", 2)] == [b"a", b"b"]
        delayed = connector.peek("q", "delayed")
        assert [p.payload for p in delayed] == [b"soon", b"later", b"too"]
        assert 20 < delayed[0].due <= 30
        worker = Consumer(connector)
        worker.take(2)
        leased = connector.peek("q", "leased")
        assert [(p.payload, p.state, p.consumer) for p in leased] == [
            (b"a", "leased", worker.name),
            (b"b", "leased", worker.name),
        ]

    def test_purge_deletes_what_waits_and_nothing_else(self, open: Open) -> None:
        """Leased tasks go on, also if they come back later; other queues stay untouched."""
        connector = open("lease")
        push(connector, "q", *[b"%d" % n for n in range(5)])
        push(connector, "q", b"later", delay=60)
        push(connector, "other", b"a")
        worker = Consumer(connector)
        worker.take(2)
        assert connector.purge("q") == 4
        assert connector.purge("q") == 0
        assert connector.counts("other").ready == 1
        push(connector, "q", b"new")
        worker.release([(1, 1)], {})
        assert worker.payloads() == [b"1", b"new"]

    def test_purge_deletes_what_came_back(self, open: Open) -> None:
        """A returned task waits."""
        connector = open("lease")
        push(connector, "q", *[b"%d" % n for n in range(5)])
        worker = Consumer(connector)
        worker.take(4)
        worker.release([], {}, only=(2, 2))
        assert connector.purge("q") == 2
        assert connector.counts("q").leased == 3
        assert worker.take(9) == []

    # the board

    def test_a_paused_queue_leases_nothing_and_settles(self, open: Open) -> None:
        """Running tasks may end; pushed tasks wait."""
        connector = open("lease")
        push(connector, "q", b"a", b"b")
        worker = Consumer(connector)
        worker.take()
        version = connector.post("q", paused=True)
        taken = worker.exchange(Again(1, b"a2"), limit=5)
        assert not taken.deliveries and not taken.lost
        assert taken.board == version == connector.board("q").version > 0
        assert connector.counts("q").paused
        push(connector, "q", b"c")
        assert worker.take(5) == []
        assert connector.post("q", paused=False) > version
        assert worker.payloads() == [b"b", b"a2", b"c"]

    def test_cancelled_ids_stand_on_the_board_until_cleared(self, open: Open) -> None:
        """Every change raises the version, which `exchange` returns."""
        connector = open("lease")
        assert connector.board("q") == Board(0, False, frozenset())
        first = connector.post("q", cancel=["a", "b"])
        second = connector.post("q", cancel=["c"], clear=["a", "nobody"])
        assert 0 < first < second
        assert open("look").board("q") == Board(second, False, frozenset(["b", "c"]))
        assert Consumer(connector).exchange().board == second

    def test_queues_have_boards_of_their_own(self, open: Open) -> None:
        """A pause holds for one queue."""
        connector = open("lease")
        connector.post("one", paused=True)
        assert connector.board("two") == Board()
        assert fresh() not in connector.board("one").cancelled
