"""The promises of dead letters: kept within limits, listed, looked up, revived once, dropped."""

from __future__ import annotations

import time
from typing import Any

from regiment.contracts import Connector, Dead, Terms
from regiment_testing.contracts.bench import Bench, Consumer, Open, fresh, push


def bury(connector: Connector, *ids: str, queue: str = "q", terms: Terms | None = None, priority: int = 1) -> None:
    """Make a dead letter for each task id, in this order."""
    push(connector, queue, *[id.encode() for id in ids], priority=priority)
    worker = Consumer(connector, queue, terms=terms)
    for delivery, id in zip(worker.take(len(ids)), ids, strict=True):
        worker.exchange(Dead(delivery.receipt, id, b"{}"), limit=0)


class LettersContract(Bench):
    """A task that was given up is not gone."""

    def test_letters_are_listed_newest_first_in_pages(self, open: Open) -> None:
        """`after` continues behind a letter."""
        connector = open("lease")
        bury(connector, *[str(n) for n in range(5)])
        first = connector.dead("q", 2)
        assert [letter.task_id for letter in first] == ["4", "3"]
        second = connector.dead("q", 2, after=first[-1].id)
        assert [letter.task_id for letter in second] == ["2", "1"]
        assert [letter.task_id for letter in connector.dead("q", 2, after=second[-1].id)] == ["0"]

    def test_reasons_are_letters_without_their_payloads(self, open: Open) -> None:
        """If the connector has that verb, it returns the same letters in the same order."""
        connector = open("lease")
        bury(connector, *[str(n) for n in range(3)])
        reasons: Any = getattr(connector, "reasons", None)
        if reasons is None:
            return
        whole = connector.dead("q")
        assert [x._replace(payload=b"") for x in whole] == list(reasons("q"))
        assert list(reasons("q", 1, after=whole[0].id)) == [whole[1]._replace(payload=b"")]

    def test_a_queue_without_letters_has_none(self, open: Open) -> None:
        """Also a queue that never existed."""
        connector = open("look")
        assert list(connector.dead("nowhere")) == []
        assert list(connector.letters("nowhere", "x")) == []

    def test_letters_are_found_by_their_id_and_by_the_task(self, open: Open) -> None:
        """A task may have died more than once."""
        connector = open("lease")
        bury(connector, "a", "b", "a")
        both = connector.letters("q", "a")
        assert [letter.task_id for letter in both] == ["a", "a"]
        assert connector.letters("q", both[0].id)[0] == both[0]
        assert list(connector.letters("q", "nobody")) == []
        assert len({letter.id for letter in connector.dead("q")}) == 3

    def test_a_revived_letter_is_ready_at_the_tail_of_its_priority(self, open: Open) -> None:
        """With its payload or another one, and count 0; it is no longer a letter."""
        connector = open("lease")
        bury(connector, "a", "b", priority=0)
        push(connector, "q", b"waiting", priority=0)
        push(connector, "q", b"low", priority=1)
        letters = {letter.task_id: letter.id for letter in connector.dead("q")}
        assert connector.revive("q", {letters["a"]: None, letters["b"]: b"other"}) == 2
        assert connector.counts("q").dead == 0
        taken = Consumer(connector).take(9)
        assert [d.payload for d in taken] == [b"waiting", b"a", b"other", b"low"]
        assert {d.count for d in taken} == {0}

    def test_reviving_twice_doubles_nothing(self, open: Open) -> None:
        """Absent letters are ignored and not counted."""
        connector = open("lease")
        bury(connector, "a")
        [letter] = connector.dead("q")
        assert connector.revive("q", {letter.id: None, "none": None, fresh(): b"x"}) == 1
        assert connector.revive("q", {letter.id: None}) == 0
        assert connector.counts("q").ready == 1

    def test_an_id_of_a_letter_never_comes_again(self, open: Open) -> None:
        """A late repeat of a revive must not hit another letter."""
        connector = open("lease")
        bury(connector, "a")
        [old] = connector.dead("q")
        connector.drop("q")
        bury(connector, "b")
        assert connector.revive("q", {old.id: None}) == 0

    def test_letters_are_dropped_by_id_or_all(self, open: Open) -> None:
        """The answer is the number of dropped letters."""
        connector = open("lease")
        bury(connector, "a", "b", "c")
        ids = {letter.task_id: letter.id for letter in connector.dead("q")}
        assert connector.drop("q", [ids["b"], "none"]) == 1
        assert connector.drop("q", [ids["b"]]) == 0
        assert [letter.task_id for letter in connector.dead("q")] == ["c", "a"]
        assert connector.drop("q") == 2
        assert connector.counts("q").dead == 0

    def test_letters_of_one_queue_stay_there(self, open: Open) -> None:
        """Dropping and listing do not touch other queues."""
        connector = open("lease")
        bury(connector, "a", queue="one")
        bury(connector, "b", queue="two")
        assert [letter.task_id for letter in connector.dead("one")] == ["a"]
        assert list(connector.letters("one", "b")) == []
        assert connector.drop("two") == 1
        assert connector.counts("one").dead == 1

    def test_no_more_letters_are_kept_than_the_terms_allow(self, open: Open) -> None:
        """The oldest letters go."""
        connector = open("lease")
        bury(connector, *[str(n) for n in range(6)], terms=Terms(dead_limit=3))
        assert [letter.task_id for letter in connector.dead("q")] == ["5", "4", "3"]
        assert connector.counts("q").dead == 3

    def test_letters_older_than_the_terms_allow_are_forgotten(self, open: Open) -> None:
        """They go when the next letter is made."""
        connector, terms = open("lease"), Terms(dead_age=0.3)
        bury(connector, "old", terms=terms)
        time.sleep(0.5)
        bury(connector, "new", terms=terms)
        assert [letter.task_id for letter in connector.dead("q")] == ["new"]
        assert connector.counts("q").dead == 1
