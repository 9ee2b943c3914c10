"""The promises of joins: sets of members, complete once, when all have arrived, whatever the order and however often."""

from __future__ import annotations

import time
from functools import partial
from threading import Barrier

import pytest

from regiment.contracts import MOST_MEMBERS, Arrive, Connector, Done, Join, Seal, Send, Shut, StoreUnavailable, Tally
from regiment_testing.contracts.bench import PATIENCE, Bench, Consumer, Open, extra, push, until
from regiment_testing.contracts.leaving import able, apply, at_once, holding, keep, send, values, waiting_tasks
from regiment_testing.contracts.release import NOTHING
from regiment_testing.faults import Faulty

WEEK = 604_800.0


def join(members: int | None, *then: object, name: str = "j", queue: str = "q", ttl: float = WEEK) -> Join:
    """A join that pushes `called` to the queue "child", and does what else is given."""
    return Join(queue, name, members, [send("child", b"called"), *then], ttl)  # type: ignore[list-item]


def arrive(*members: int, name: str = "j", queue: str = "q") -> list[Arrive]:
    """These members arrive."""
    return [Arrive(queue, name, member) for member in members]


def tally(connector: Connector, name: str = "j", queue: str = "q") -> Tally | None:
    """The state of one join."""
    [found] = able(connector).tallies(queue, [name])
    return None if found is None else found._replace(missing=list(found.missing))


def calls(connector: Connector) -> int:
    """How often a join became complete."""
    return len(waiting_tasks(connector, "child"))


@extra("effects")
class JoinsContract(Bench):
    """Join, Arrive, Seal, Shut, tallies; E7, E10."""

    def test_the_last_arrival_completes_a_join(self, open: Open) -> None:
        """In the same step, and not before."""
        connector = open("push")
        apply(connector, "q", join(3, keep("k")))
        for member, counted in ((2, 1), (0, 2)):
            apply(connector, "q", *arrive(member))
            found = tally(connector)
            assert found is not None and (found.members, found.arrived, found.complete) == (3, counted, False)
            assert calls(connector) == 0
        assert tally(connector) == Tally(3, 2, False, False, [1])
        apply(connector, "q", *arrive(1))
        assert calls(connector) == 1
        assert values(connector, "q", "k") == [b"v"]
        assert tally(connector) == Tally(3, 3, True, False, [])

    def test_members_arrive_with_their_settlements(self, open: Open) -> None:
        """By exchanges of several consumers, by a release, from other queues."""
        connector = open("lease")
        apply(connector, "home", join(4, queue="home"))
        one, two, far = (holding(connector, 2, queue) for queue in ("home", "q", "r"))
        one.exchange(Done(1, 2), limit=0, effects={1: arrive(0, queue="home")})
        able(open("keep")).release("q", two.name, [(1, 1)], {}, only=NOTHING, effects={1: arrive(1, queue="home")})
        far.exchange(Done(1, 1), limit=0, effects={1: arrive(2, queue="home")})
        found = tally(connector, queue="home")
        assert found is not None and found.missing == [3] and calls(connector) == 0
        far.exchange(Done(2, 2), limit=0, effects={2: arrive(3, queue="home")})
        assert calls(connector) == 1

    def test_a_member_that_arrives_twice_counts_once(self, open: Open) -> None:
        """E7: a set of members, not a counter; so a revived or copied task completes nothing too early."""
        connector = open("lease")
        apply(connector, "q", join(3))
        worker, other = holding(connector, 2), holding(connector, 1, "r")
        worker.exchange(Done(1, 2), limit=0, effects={1: arrive(0), 2: arrive(0, 0)})
        other.exchange(Done(1, 1), limit=0, effects={1: arrive(0)})
        apply(connector, "q", *arrive(0, 0, 0))
        assert tally(connector) == Tally(3, 1, False, False, [1, 2])
        apply(connector, "q", *arrive(1, 2))
        assert calls(connector) == 1

    def test_who_arrives_when_it_is_complete_changes_nothing(self, open: Open) -> None:
        """E7: complete once."""
        connector = open("push")
        apply(connector, "q", join(2), *arrive(0, 1))
        for member in (0, 1, 1, 5):
            apply(connector, "q", *arrive(member))
        assert calls(connector) == 1
        assert tally(connector) == Tally(2, 2, True, False, [])

    def test_a_number_that_is_no_members_completes_nothing(self, open: Open) -> None:
        """Before and after the join is opened."""
        connector = open("push")
        apply(connector, "q", *arrive(7))
        apply(connector, "q", join(3), *arrive(0, 3))
        apply(connector, "q", *arrive(4000, 1))
        found = tally(connector)
        assert found is not None and not found.complete and found.missing == [2] and calls(connector) == 0
        apply(connector, "q", *arrive(2))
        assert calls(connector) == 1

    def test_a_repeated_turn_and_a_lost_receipt_arrive_nowhere(self, open: Open) -> None:
        """E1 and E6; the lost answer of the last arrival neither."""
        faulty = Faulty(open("lease"))
        apply(faulty, "q", join(2))
        worker = holding(faulty, 2)
        worker.exchange(Done(1, 1), limit=0, effects={1: arrive(0)})
        worker.exchange(Done(1, 1), limit=0, effects={1: arrive(1)})
        assert calls(faulty) == 0
        faulty.order("exchange", "lost")
        with pytest.raises(StoreUnavailable):
            worker.exchange(Done(2, 2), limit=0, effects={2: arrive(1)})
        worker.repeat()
        worker.repeat(open("lease"))
        assert calls(faulty) == 1

    # sizes

    def test_a_join_of_none_is_complete_when_it_is_opened(self, open: Open) -> None:
        """Else an empty group would never end."""
        connector = open("push")
        apply(connector, "q", join(0))
        assert calls(connector) == 1
        assert tally(connector) == Tally(0, 0, True, False, [])
        apply(connector, "q", join(0), *arrive(0))
        assert calls(connector) == 1

    def test_a_join_has_up_to_4096_members(self, open: Open) -> None:
        """In any order; the first hundred that are missing are named."""
        connector = open("push")
        apply(connector, "q", join(MOST_MEMBERS))
        members = [n * 1237 % MOST_MEMBERS for n in range(MOST_MEMBERS)]
        for first in range(0, 4000, 500):
            apply(connector, "q", *arrive(*members[first : first + 500]))
        assert tally(connector) == Tally(MOST_MEMBERS, 4000, False, False, sorted(members[4000:]))
        apply(connector, "q", *arrive(*members[:500], *members[4000:-1]))
        assert tally(connector) == Tally(MOST_MEMBERS, MOST_MEMBERS - 1, False, False, members[-1:])
        assert calls(connector) == 0
        apply(connector, "q", *arrive(members[-1]))
        assert calls(connector) == 1

    def test_at_most_a_hundred_missing_members_are_named(self, open: Open) -> None:
        """The first ones."""
        connector = open("push")
        apply(connector, "q", join(1000), *arrive(*range(0, 1000, 2)))
        assert tally(connector) == Tally(1000, 500, False, False, list(range(1, 200, 2)))

    # before it is opened

    def test_who_arrived_before_it_was_opened_is_in_it(self, open: Open) -> None:
        """E10: nothing rests on an order."""
        connector = open("push")
        apply(connector, "q", *arrive(1))
        apply(connector, "q", *arrive(0, 1))
        assert tally(connector) == Tally(None, 2, False, False, [])
        apply(connector, "q", join(3))
        assert tally(connector) == Tally(3, 2, False, False, [2]) and calls(connector) == 0
        apply(connector, "q", *arrive(2))
        assert calls(connector) == 1

    def test_a_join_whose_members_are_all_there_is_complete_when_it_is_opened(self, open: Open) -> None:
        """In the step that opens it."""
        connector = open("push")
        apply(connector, "q", *arrive(2, 1, 0))
        apply(connector, "q", join(3))
        assert calls(connector) == 1

    def test_opening_a_join_again_changes_nothing(self, open: Open) -> None:
        """A repeated start; while it is open, and when it is complete."""
        connector = open("push")
        apply(connector, "q", join(2))
        apply(connector, "q", Join("q", "j", 1, [send("other", b"x")], 60), *arrive(0))
        assert tally(connector) == Tally(2, 1, False, False, [1])
        apply(connector, "q", *arrive(1))
        for members in (2, 0, None):
            apply(connector, "q", join(members), *arrive(0, 1))
        assert calls(connector) == 1
        assert waiting_tasks(connector, "other") == []
        assert tally(connector) == Tally(2, 2, True, False, [])

    # seals

    def test_an_open_join_completes_only_when_it_is_sealed(self, open: Open) -> None:
        """E7: not when all that have been pushed so far have arrived."""
        connector = open("push")
        apply(connector, "q", join(None))
        for member in range(3):
            apply(connector, "q", *arrive(member))
        assert tally(connector) == Tally(None, 3, False, False, []) and calls(connector) == 0
        apply(connector, "q", Seal("q", "j", 3))
        assert calls(connector) == 1
        assert tally(connector) == Tally(3, 3, True, False, [])

    def test_a_sealed_join_waits_for_the_rest(self, open: Open) -> None:
        """And only the first seal counts."""
        connector = open("push")
        apply(connector, "q", join(None), *arrive(0))
        apply(connector, "q", Seal("q", "j", 3))
        assert tally(connector) == Tally(3, 1, False, False, [1, 2])
        apply(connector, "q", Seal("q", "j", 1), Seal("q", "j", 9))
        assert tally(connector) == Tally(3, 1, False, False, [1, 2]) and calls(connector) == 0
        apply(connector, "q", *arrive(1, 2))
        apply(connector, "q", Seal("q", "j", 3))
        assert calls(connector) == 1

    def test_an_open_join_that_is_sealed_with_none_is_complete(self, open: Open) -> None:
        """A source that had nothing."""
        connector = open("push")
        apply(connector, "q", join(None))
        apply(connector, "q", Seal("q", "j", 0))
        assert calls(connector) == 1

    def test_a_seal_that_comes_before_its_join_is_found_by_it(self, open: Open) -> None:
        """E10: between places nothing is ordered."""
        connector = open("push")
        apply(connector, "q", Seal("q", "j", 2))
        found = tally(connector)
        assert found is None or (found.members, found.arrived, found.complete) == (None, 0, False)
        apply(connector, "q", *arrive(1))
        apply(connector, "q", join(None))
        assert tally(connector) == Tally(2, 1, False, False, [0]) and calls(connector) == 0
        apply(connector, "q", *arrive(0))
        assert calls(connector) == 1

    # shut

    @pytest.mark.parametrize("when", ["before", "between", "after the members"])
    def test_a_join_that_is_shut_never_completes(self, open: Open, when: str) -> None:
        """Also if it is opened, sealed or arrived at later."""
        connector = open("push")
        if when == "before":
            apply(connector, "q", Shut("q", "j"))
            assert tally(connector) == Tally(None, 0, False, True, [])
        if when == "after the members":
            apply(connector, "q", *arrive(0, 1))
            apply(connector, "q", Shut("q", "j"))
        apply(connector, "q", join(None if when == "between" else 2))
        if when == "between":
            apply(connector, "q", *arrive(0))
            apply(connector, "q", Shut("q", "j"))
        apply(connector, "q", *arrive(0, 1), Seal("q", "j", 2))
        apply(connector, "q", join(2), join(0), *arrive(0, 1))
        found = tally(connector)
        assert found is not None and (found.complete, found.shut) == (False, True)
        assert calls(connector) == 0

    def test_shutting_a_join_that_is_complete_changes_nothing(self, open: Open) -> None:
        """It has completed."""
        connector = open("push")
        apply(connector, "q", join(1), *arrive(0))
        apply(connector, "q", Shut("q", "j"))
        assert tally(connector) == Tally(1, 1, True, False, []) and calls(connector) == 1

    def test_a_join_that_was_shut_before_it_was_opened_is_remembered_for_a_time(self, open: Open) -> None:
        """Then it is as if it had never been."""
        connector = open("push")
        apply(connector, "q", Shut("q", "j", 0.3), Shut("q", "other"))
        until(lambda: tally(connector) is None)
        apply(connector, "q", join(1), *arrive(0))
        assert calls(connector) == 1
        assert (found := tally(connector, "other")) is not None and found.shut

    # times

    def test_a_join_is_forgotten_after_its_time(self, open: Open) -> None:
        """Whether it is complete or not; after that it can be opened anew, and finds nobody."""
        connector = open("push")
        apply(connector, "q", join(1, ttl=0.3), *arrive(0), join(2, name="other", ttl=0.3), *arrive(0, name="other"))
        apply(connector, "q", join(1, name="long"))
        until(lambda: tally(connector) is None and tally(connector, "other") is None)
        assert tally(connector, "long") is not None
        apply(connector, "q", join(2), join(2, name="other"))
        assert [tally(connector, name) for name in ("j", "other")] == [Tally(2, 0, False, False, [0, 1])] * 2
        apply(connector, "q", *arrive(0, 1))
        assert calls(connector) == 2

    def test_the_time_of_a_join_counts_anew_with_each_arrival(self, open: Open) -> None:
        """So a slow group is not forgotten while it moves."""
        connector = open("push")
        for ttl in (1.5, 6.0, 24.0):
            name = f"ttl {ttl}"
            apply(connector, "q", join(3, name=name, ttl=ttl))
            for member in (0, 1):
                time.sleep(0.6 * ttl)
                began = time.monotonic()
                apply(connector, "q", *arrive(member, name=name))
            time.sleep(0.6 * ttl)
            found = tally(connector, name)
            if time.monotonic() - began < 0.9 * ttl:
                assert found == Tally(3, 2, False, False, [2])
                return
        pytest.skip("this machine is too slow for a time of 24 s")

    def test_who_arrives_again_does_not_prolong_a_join(self, open: Open) -> None:
        """So a repeated arrival changes nothing at all, whoever repeats it: in the end it finds none."""
        apply(connector := open("push"), "q", join(3, ttl=0.8), *arrive(0))
        until(lambda: apply(connector, "q", *arrive(0)) and (found := tally(connector)) and found.members is None)

    # then

    def test_what_a_join_has_in_store_goes_where_it_says(self, open: Open) -> None:
        """Records beside its own queue if they name none, tasks with their ids, also to other queues; whoever arrives."""
        connector = open("lease")
        push(connector, "child", b"a", ids=["known"])
        then = (
            keep("k", b"mine"),
            keep("k", b"there", queue="r", rank=1),
            Send("child", [b"x", b"y"], ids=["known", "new"]),
            Send("child", [b"later"], delay=60.0),
        )
        apply(connector, "home", Join("home", "j", 1, then, 60.0))
        worker = holding(connector)
        worker.exchange(Done(1, 1), limit=0, effects={1: arrive(0, queue="home")})
        assert values(connector, "home", "k") + values(connector, "r", "k") == [b"mine", b"there"]
        assert values(connector, "q", "k") == [None]
        assert waiting_tasks(connector, "child") == [b"a", b"y"]
        assert connector.counts("child").delayed == 1

    def test_a_join_that_has_nothing_in_store_completes_too(self, open: Open) -> None:
        """Its state can be seen."""
        connector = open("push")
        apply(connector, "q", Join("q", "j", 1, [], 60.0), *arrive(0))
        assert tally(connector) == Tally(1, 1, True, False, [])

    @pytest.mark.parametrize("queues", [("q",), ("q", "r", "s")])
    def test_a_join_arrives_at_the_next_and_so_on(self, open: Open, queues: tuple[str, ...]) -> None:
        """A chain of twenty, in one queue and over several."""
        connector = open("lease")
        home = [queues[n % len(queues)] for n in range(21)]
        for n in range(20):
            then = [Arrive(home[n + 1], str(n + 1), 0)]
            apply(connector, home[n], Join(home[n], str(n), 1, then, 60.0))
        apply(connector, home[20], join(2, name="20", queue=home[20]))
        worker = holding(connector)
        worker.exchange(Done(1, 1), limit=0, effects={1: arrive(0, name="0", queue=home[0])})
        assert tally(connector, "20", home[20]) == Tally(2, 1, False, False, [1])
        assert calls(connector) == 0
        apply(connector, "elsewhere", *arrive(1, name="20", queue=home[20]))
        assert calls(connector) == 1

    def test_joins_of_one_name_at_several_queues_are_several(self, open: Open) -> None:
        """As are joins of several names at one queue."""
        connector = open("push")
        apply(connector, "q", join(2), join(2, queue="r"), join(2, name="J"))
        apply(connector, "q", *arrive(0), *arrive(1, queue="r"), *arrive(0, name="J"))
        assert calls(connector) == 0
        apply(connector, "q", *arrive(0, queue="r"))
        assert calls(connector) == 1
        states = able(connector).tallies("q", ["J", "none", "j"])
        assert [None if one is None else (one.arrived, list(one.missing)) for one in states] == [
            (1, [1]),
            None,
            (1, [1]),
        ]

    # races

    def test_members_that_arrive_at_once_complete_a_join_once(self, open: Open) -> None:
        """Eight threads, each with a connection and a consumer of its own, thirty joins; half of them share a member."""
        rounds, gate = 30, Barrier(8)
        connector = open("lease")
        for n in range(rounds):
            apply(connector, "q", join(8 if n % 2 else 4, keep(f"called {n}"), name=str(n)))
        workers = [holding(open("lease"), rounds, f"queue {member % 2}") for member in range(8)]

        def run(worker: Consumer, member: int) -> None:
            for n in range(rounds):
                gate.wait(PATIENCE)
                number = member if n % 2 else member // 2
                worker.exchange(Done(n + 1, n + 1), limit=0, effects={n + 1: arrive(number, name=str(n))})

        at_once(*[partial(run, worker, member) for member, worker in enumerate(workers)])
        assert values(connector, "q", *[f"called {n}" for n in range(rounds)]) == [b"v"] * rounds
        assert calls(connector) == rounds

    def test_opening_sealing_and_arriving_at_once_completes_a_join_once(self, open: Open) -> None:
        """In every order, through three connections."""
        rounds, gate = 30, Barrier(3)

        def run(connector: Connector, what: int) -> None:
            for n in range(rounds):
                name = str(n)
                gate.wait(PATIENCE)
                if what == 0:
                    apply(connector, "q", join(None, name=name))
                elif what == 1:
                    apply(connector, "q", Seal("q", name, 2), *arrive(0, name=name))
                else:
                    apply(connector, "q", *arrive(1, 0, name=name))

        at_once(*[partial(run, open("push"), what) for what in range(3)])
        assert calls(open("look")) == rounds
