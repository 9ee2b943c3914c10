"""The promises of apply: effects without a lease, all or none, once for a token, under conditions."""

from __future__ import annotations

from functools import partial
from threading import Barrier

import pytest

from regiment.contracts import Arrive, Connector, Drop, Effect, Join, StoreUnavailable, When
from regiment_testing.contracts.bench import (
    PATIENCE,
    Bench,
    Consumer,
    Open,
    extra,
    fresh,
    push,
    shared,
    together,
    until,
)
from regiment_testing.contracts.leaving import (
    TRACES,
    apply,
    at_once,
    keep,
    left_nothing,
    record,
    send,
    values,
    waiting_tasks,
)
from regiment_testing.faults import Faulty


@extra("effects")
class ApplyingContract(Bench):
    """apply: tokens, conditions, what was left out."""

    def test_effects_of_every_kind_are_applied_in_one_step(self, open: Open) -> None:
        """At its queue, which nobody has to have joined, and at others."""
        applied = apply(
            open("push"),
            "q",
            keep("k", b"here"),
            send("q", b"1", b"2"),
            Join("q", "j", 1, [send("r", b"then")], 60),
            keep("k", b"there", queue="r"),
            send("r", b"3"),
            Arrive("q", "j", 0),
        )
        assert applied.done and not list(applied.left_out) and applied.version > 0
        look = open("look")
        assert values(look, "q", "k") + values(look, "r", "k") == [b"here", b"there"]
        assert waiting_tasks(look, "q") == [b"1", b"2"]
        assert sorted(waiting_tasks(look, "r")) == [b"3", b"then"]

    def test_a_step_that_keeps_nothing_at_its_queue_has_no_version(self, open: Open) -> None:
        """0 also if what it kept is beside another queue."""
        assert apply(open("push"), "q", send("q", b"a"), keep("k", queue="r"), Drop(["x"])).version == 0
        assert apply(open("push"), "q").version == 0

    def test_what_is_left_out_is_named_by_its_place_in_all_that_was_sent_here(self, open: Open) -> None:
        """Over all `Send` to the queue of `apply`; those to other queues do not count."""
        connector = open("push")
        push(connector, "q", b"a", ids=["known"])
        push(connector, "r", b"a", ids=["known"])
        applied = apply(
            connector,
            "q",
            send("q", b"0", b"1", ids=["new", "known"]),
            send("r", b"-", b"-", ids=["known", "other"]),
            send("q", b"2"),
            keep(),
            send("q", b"3", b"4", b"5", ids=["new", "known", "newer"]),
        )
        assert applied.done and list(applied.left_out) == [1, 3, 4]
        assert waiting_tasks(connector, "q") == [b"a", b"0", b"2", b"5"]
        assert waiting_tasks(connector, "r") == [b"a", b"-"]

    # tokens

    def test_a_repeated_token_changes_nothing_and_answers_the_same(self, open: Open) -> None:
        """Through any connection, though what it left is gone by then."""
        connector, token = open("push"), fresh("token")
        push(connector, "q", b"a", ids=["known"])
        effects: list[Effect] = [*TRACES, send("q", b"b", b"c", ids=["known", "new"])]
        first = apply(connector, "q", *effects, token=token)
        assert list(first.left_out) == [0]
        apply(connector, "q", Drop(["k"]))
        assert Consumer(open("lease"), "child").payloads() == [b"child"]
        for other in (connector, open("push")):
            again = apply(other, "q", *effects, token=token)
            assert (again.done, list(again.left_out), again.version) == (True, [0], first.version)
        assert left_nothing(open)
        assert waiting_tasks(connector, "q") == [b"a", b"c"]

    def test_an_apply_whose_answer_was_lost_is_applied_once(self, open: Open) -> None:
        """The repeat hears what the first would have answered, though its condition holds no longer."""
        faulty, token = Faulty(open("push")), fresh("token")
        faulty.order("apply", "lost")
        with pytest.raises(StoreUnavailable):
            apply(faulty, "q", *TRACES, token=token, when=[When("k")])
        again = apply(faulty, "q", *TRACES, token=token, when=[When("k")])
        found = record(open("look"))
        assert again.done and found is not None and found.version == again.version
        assert waiting_tasks(open("look"), "child") == [b"child"]

    def test_a_token_counts_at_its_queue(self, open: Open) -> None:
        """The same one at another queue is another step."""
        connector, token = open("push"), fresh("token")
        for queue in ("q", "r", "q"):
            assert apply(connector, queue, send(queue, b"a"), token=token).done
        assert waiting_tasks(connector, "q") == waiting_tasks(connector, "r") == [b"a"]

    @shared
    def test_one_token_from_several_processes_at_once_is_one_step(self, open: Open) -> None:
        """A repeat races with its own first try."""
        token = fresh("token")
        answers = together([lambda: tuple(apply(open("push"), "q", *TRACES, token=token))[:3]] * 4)
        assert len({(done, tuple(left_out), version) for done, left_out, version in answers}) == 1
        assert waiting_tasks(open("look"), "child") == [b"child"]

    # conditions

    def test_nothing_is_done_unless_every_condition_holds(self, open: Open) -> None:
        """The answer has what there is instead."""
        connector = open("push")
        here = apply(connector, "q", keep("here", b"1", rank=2)).version
        conditions = [
            [When("here")],
            [When("here", here + 1)],
            [When("absent", here)],
            [When("here", here), When("absent"), When("other", 1)],
        ]
        for when in conditions:
            applied = apply(connector, "q", *TRACES, when=when)
            assert not applied.done and not applied.version
            assert set(applied.found) == {one.key for one in when}
            for key, found in applied.found.items():
                assert found == record(connector, key)
        assert left_nothing(open)
        assert apply(connector, "q", *TRACES, when=[When("here", here), When("absent"), When("k")]).done
        assert not left_nothing(open)

    def test_a_record_that_is_gone_is_none(self, open: Open) -> None:
        """Dropped or expired: version 0, and not the version that it had."""
        connector = open("push")
        old = apply(connector, "q", keep("dropped"), keep("over", b"v", 0.3)).version
        apply(connector, "q", Drop(["dropped"]))
        until(lambda: record(connector, "over") is None)
        for key in ("dropped", "over"):
            assert not apply(connector, "q", *TRACES, when=[When(key, old)]).done
            assert left_nothing(open)
            assert apply(connector, "q", keep(f"done {key}"), when=[When(key)]).done

    def test_a_condition_is_on_records_beside_the_queue_itself(self, open: Open) -> None:
        """The same key beside another queue is another record."""
        connector = open("push")
        apply(connector, "q", keep("k", queue="r"))
        assert apply(connector, "q", *TRACES, when=[When("k")]).done

    def test_the_token_of_a_call_that_was_not_done_counts_for_nothing(self, open: Open) -> None:
        """As soon as the condition holds, the same call is done."""
        connector, token = open("push"), fresh("token")
        apply(connector, "q", keep("stop"))
        for _ in range(2):
            assert not apply(connector, "q", *TRACES, token=token, when=[When("stop")]).done
        apply(connector, "q", Drop(["stop"]))
        assert apply(connector, "q", *TRACES, token=token, when=[When("stop")]).done
        assert waiting_tasks(connector, "child") == [b"child"]
        assert apply(connector, "q", *TRACES, token=token, when=[When("stop")]).done
        assert waiting_tasks(connector, "child") == [b"child"]

    def test_of_several_that_start_the_same_at_once_one_does(self, open: Open) -> None:
        """`When(key)`, and the key is kept: every other one is told what is there."""
        gate = Barrier(4)

        def start(connector: Connector, number: int) -> list[bool]:
            answers = []
            for n in range(15):
                gate.wait(PATIENCE)
                effects: list[Effect] = [keep(f"run {n}", b"%d" % number), send("child", b"%d" % n)]
                answers.append(apply(connector, "q", *effects, when=[When(f"run {n}")]).done)
            return answers

        answers = at_once(*[partial(start, open("push"), number) for number in range(4)])
        assert [sum(one) for one in zip(*answers, strict=True)] == [1] * 15
        assert sorted(waiting_tasks(open("look"), "child"), key=int) == [b"%d" % n for n in range(15)]
        assert values(open("look"), "q", *[f"run {n}" for n in range(15)]) == [
            b"%d" % done.index(True) for done in zip(*answers, strict=True)
        ]

    def test_a_number_that_many_change_by_its_version_loses_no_change(self, open: Open) -> None:
        """Read, add one, keep if nobody came between."""

        def add(connector: Connector) -> None:
            for _ in range(10):
                while True:
                    found = record(connector)
                    value, version = (0, 0) if found is None else (int(found.value), found.version)
                    if apply(connector, "q", keep("k", b"%d" % (value + 1)), when=[When("k", version)]).done:
                        break

        at_once(*[partial(add, open("push")) for _ in range(4)])
        assert values(open("look"), "q", "k") == [b"40"]

    def test_it_is_leased_and_wakes_as_a_push_does(self, open: Open) -> None:
        """In its own queue and in another one."""
        for queue in ("q", "r"):
            sleeper = Consumer(open("lease"), queue)
            assert not sleeper.exchange().deliveries
            apply(open("push"), "q", send(queue, b"a"))
            assert sleeper.wait(2 * PATIENCE)[1] < PATIENCE
            assert until(sleeper.payloads) == [b"a"]
