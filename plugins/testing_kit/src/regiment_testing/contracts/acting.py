"""The promises of the board's orders and bounds, and of the account of what people did."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from regiment.contracts import Act, Board, Counts, steer
from regiment.errors import StoreError
from regiment_testing.contracts import waiting
from regiment_testing.contracts.bench import Bench, Consumer, Open, extra, fresh, push
from regiment_testing.contracts.hand import able
from regiment_testing.contracts.waiting import idle, later


@extra("steer")
class ActingContract(Bench):
    """board and post with orders; act, acts."""

    def test_orders_stand_until_they_are_taken_back(self, open: Open) -> None:
        """Each raises the version, which exchange returns; None takes an order back, also one that never was."""
        connector = able(open("lease"))
        first = connector.post("q", orders={"host:web1": "quiet", "tree:web2:17": "drain"})
        assert open("look").board("q") == Board(
            first, False, frozenset(), {"host:web1": "quiet", "tree:web2:17": "drain"}
        )
        assert Consumer(connector).exchange().board == first > 0
        second = connector.post("q", orders={"host:web1": "drain", "host:wëb 3": "quiet", "host:nobody": None})
        assert second > first
        assert dict(connector.board("q").orders) == {
            "host:web1": "drain",
            "tree:web2:17": "drain",
            "host:wëb 3": "quiet",
        }
        third = connector.post("q", orders={"host:web1": None, "tree:web2:17": None, "host:wëb 3": None})
        assert third > second and connector.board("q") == Board(third)
        assert connector.board("other") == Board() and list(connector.queues()) == ["q"]

    def test_orders_pause_and_cancelled_ids_stand_beside_each_other(self, open: Open) -> None:
        """A post changes what it names and nothing else."""
        connector = able(open("push"))
        connector.post("q", paused=True, cancel=["a", "b"], orders={"host:a": "quiet"})
        connector.post("q", clear=["a"])
        connector.post("q", orders={"host:b": "drain"})
        version = connector.post("q", paused=False)
        orders = {"host:a": "quiet", "host:b": "drain"}
        assert connector.board("q") == Board(version, False, frozenset(["b"]), orders)

    def test_an_order_ends_a_wait(self, open: Open) -> None:
        """So that idle workers learn of it."""
        worker, operator = idle(open), able(open("push"))
        timer = later(0.3, lambda: operator.post("q", orders={"host:a": "quiet"}))
        _, seconds = worker.wait(waiting.FAR)
        timer.join()
        assert seconds < waiting.SOON
        assert worker.exchange().board == operator.board("q").version > 0

    def test_a_board_takes_so_many_ids_and_no_more(self, open: Open) -> None:
        """What would be more is refused whole; an id that stands there counts once, and clearing makes room."""
        connector, most = able(open("push")), steer.MOST_NOTICES
        ids = [f"id-{n:06}" for n in range(most)]
        connector.post("q", cancel=ids[: most - 1])
        full = connector.post("q", cancel=ids)
        before = connector.board("q")
        # What differs in boards of so many ids is not printed: pytest compares such texts for minutes.
        as_said = before == Board(full, False, frozenset(ids))
        assert as_said, (
            f"the board has {len(before.cancelled)} ids, version {before.version}; expected {most} and {full}"
        )
        with pytest.raises(StoreError):
            connector.post("q", paused=True, cancel=["more"], orders={"host:a": "quiet"})
        unchanged = connector.board("q") == before
        assert unchanged, "the board is another after a refusal"
        connector.post("q", cancel=[*ids[:10], "more"], clear=ids[:1])
        room_made = connector.board("q").cancelled == {*ids[1:], "more"}
        assert room_made, "an id that was cleared made no room for one more"
        connector.post("other", cancel=["more"])
        connector.post("q", paused=True, clear=[*ids, "more"])
        assert connector.board("q").cancelled == frozenset() and connector.board("q").paused

    # acts

    def test_acts_are_listed_newest_first_in_pages(self, open: Open) -> None:
        """As they were given, with the store's wall clock; `after` continues behind an act."""
        connector, start = able(open("push")), time.time()
        entries = [b'{"n": %d, "who": "\xc3\xa9"}' % n for n in range(5)]
        for entry in entries:
            connector.act("q", entry, token=fresh("token"))
        acts = list(able(open("look")).acts("q"))
        assert [act.entry for act in acts] == entries[::-1]
        assert all(isinstance(act, Act) and start - 60 < act.at < time.time() + 60 for act in acts)
        assert len({act.id for act in acts}) == 5
        assert [act.at for act in acts] == sorted((act.at for act in acts), reverse=True)
        assert list(connector.acts("q", 2)) == acts[:2]
        assert list(connector.acts("q", 2, after=acts[1].id)) == acts[2:4]
        assert list(connector.acts("q", after=acts[3].id)) == acts[4:]
        assert list(connector.acts("q", after=acts[4].id)) == []
        connector.act("q", b"{}", token=fresh("token"))
        assert list(connector.acts("q", after=acts[0].id)) == acts[1:]

    def test_an_act_with_a_known_token_changes_nothing(self, open: Open) -> None:
        """As after a lost answer; the same token at another queue is another act."""
        connector, token = able(open("push")), fresh("token")
        connector.act("q", b'{"a": 1}', token=token)
        connector.act("q", b'{"b": 1}', token=fresh("token"))
        before = list(connector.acts("q"))
        connector.act("q", b'{"a": 1}', token=token)
        able(open("push")).act("q", b'{"c": 1}', token=token)
        assert list(connector.acts("q")) == before and len(before) == 2
        connector.act("other", b'{"d": 1}', token=token)
        assert [act.entry for act in connector.acts("other")] == [b'{"d": 1}']
        assert list(connector.acts("q")) == before

    def test_an_act_makes_no_queue_exist(self, open: Open) -> None:
        """It is there beside a queue that is empty, purged, or never was."""
        connector = able(open("push"))
        connector.act("never", b"{}", token=fresh("token"))
        push(connector, "was", b"a")
        connector.act("was", b"{}", token=fresh("token"))
        connector.purge("was")
        assert list(open("look").queues()) == []
        assert connector.counts("never") == Counts() and connector.board("never") == Board()
        assert len(connector.acts("never")) == len(connector.acts("was")) == 1

    def test_an_act_is_no_larger_than_it_may_be(self, open: Open) -> None:
        """A larger one is a ValueError, and is not kept."""
        connector = able(open("push"))
        largest = b'"' + b"x" * (steer.ACT_SIZE - 2) + b'"'
        connector.act("q", largest, token=fresh("token"))
        with pytest.raises(ValueError):
            connector.act("q", largest + b" ", token=fresh("token"))
        assert [act.entry for act in connector.acts("q")] == [largest]

    def test_a_closed_connector_does_nothing(self, open: Open) -> None:
        """Each verb is a StoreError, and after it was opened again everything is there."""
        connector = able(open("push"))
        push(connector, "q", b"a")
        [place] = [task.place for task in connector.look("q", "ready").tasks]
        connector.close()
        verbs: list[Callable[[], object]] = [
            lambda: connector.look("q", "ready"),
            lambda: connector.steer("q", [place], drop=True),
            lambda: connector.counts_many(["q"]),
            lambda: connector.board("q"),
            lambda: connector.post("q", orders={"host:a": "quiet"}),
            lambda: connector.act("q", b"{}", token=fresh("token")),
            lambda: connector.acts("q"),
        ]
        for verb in verbs:
            with pytest.raises(StoreError):
                verb()
        connector.open("push")
        assert connector.counts("q").ready == 1 and connector.board("q") == Board() and not connector.acts("q")
