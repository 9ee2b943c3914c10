"""Faults planted in copies of our own plugins, and the check of the examination that catches each.

A fault is a change of one method; the part is else the one that people use. Each row is run twice: the sound part passes the
check, the faulty one does not.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, NamedTuple

import pytest

from regiment.contracts import (
    Applied,
    Arrive,
    Connector,
    Done,
    Glance,
    Keep,
    Place,
    Role,
    Send,
    Shut,
    Source,
    Taken,
    Terms,
    View,
    history,
    merged_entries,
)
from regiment.errors import DecodeError, TaskTimeout
from regiment_compressors.zlib import ZlibCompressor
from regiment_executors.serial import Serial
from regiment_executors.threaded import Threaded
from regiment_killers.process import Process
from regiment_killers.thread import Thread
from regiment_local import places
from regiment_local.entries import NONE
from regiment_local.memory import MemoryConnector, charging, lease, looking, steering
from regiment_local.memory import history as memory_history
from regiment_local.memory.acts import Acts
from regiment_local.memory.effective import Effective
from regiment_local.memory.effects import Step
from regiment_local.memory.fleeting import Fleeting
from regiment_local.memory.flow import Flow
from regiment_local.memory.following import Followers
from regiment_local.memory.history import History
from regiment_local.memory.joins import Joins, Standing
from regiment_local.memory.ledger import Ledger
from regiment_local.memory.letters import Letters
from regiment_local.memory.opened import Opened
from regiment_local.memory.queue import Queue
from regiment_local.memory.rings import Ring
from regiment_local.memory.steering import Steering
from regiment_local.memory.store import store as memory_store
from regiment_local.memory.tasks import CLOSED, LIVING, Entry
from regiment_local.memory.uniques import Keys
from regiment_runner.shared import page
from regiment_serializers.json import JsonSerializer
from regiment_testing.contracts import (
    CompressorContract,
    ConnectorContract,
    ExecutorContract,
    KillerContract,
    SerializerContract,
    bench,
    executor,
    following,
    gating,
    waiting,
)
from regiment_testing.contracts.charged import right
from regiment_testing.contracts.striking import Bed


class Planted(NamedTuple):
    """A fault: where it is planted, and the check that is to find it."""

    kind: str
    where: Any
    method: str
    faulty: Callable[..., Any]
    check: str


ROWS: list[Planted] = []


def planted(kind: str, where: Any, method: str, check: str) -> Callable[[Any], Any]:
    """Enter a faulty method in the list."""

    def enter(faulty: Callable[..., Any]) -> Callable[..., Any]:
        ROWS.append(Planted(kind, where, method, faulty, check))
        return faulty

    return enter


# Connectors. `sound` keeps what a fault is built around.

CONNECTOR = "connector"
sound: Mapping[str, Any] = {**vars(MemoryConnector)}
sound_queue: Mapping[str, Any] = {**vars(Queue)}
sound_letters: Mapping[str, Any] = {**vars(Letters)}
sound_lease: Mapping[str, Any] = {**vars(lease)}


@planted(
    CONNECTOR,
    MemoryConnector,
    "push",
    "test_a_repeated_push_changes_nothing_and_gives_the_same_answer",
)
def a_push_that_forgets_its_token(self: Any, queue: str, payloads: Any, **more: Any) -> Any:
    return sound["push"](self, queue, payloads, **{**more, "token": bench.fresh("token")})


@planted(CONNECTOR, MemoryConnector, "push", "test_an_id_that_waits_is_left_out")
def a_push_that_knows_no_ids(self: Any, queue: str, payloads: Any, **more: Any) -> Any:
    return sound["push"](self, queue, payloads, **{**more, "ids": None})


@planted(CONNECTOR, Queue, "append", "test_tasks_of_one_priority_come_out_in_the_order_of_the_push")
def the_newest_first(self: Queue, entry: Entry) -> None:
    sound_queue["append"](self, entry)
    entry.order = -entry.order
    self.ready.sort(key=Entry.place)


@planted(CONNECTOR, Entry, "place", "test_a_lower_priority_number_comes_first")
def priorities_reversed(self: Entry) -> tuple[int, int]:
    return -self.priority, self.order


@planted(CONNECTOR, Queue, "promote", "test_a_delayed_task_is_not_leased_before_its_time")
def a_delayed_task_too_early(self: Queue) -> bool:
    for entry in self.delayed:
        entry.due = 0
    return bool(sound_queue["promote"](self))


@planted(CONNECTOR, MemoryConnector, "exchange", "test_a_batch_ends_before_max_bytes_but_has_one")
def an_exchange_that_minds_no_size(self: Any, *args: Any) -> Taken:
    found: Taken = sound["exchange"](self, *args[:6], 2**60, *args[7:])
    return found


@planted(CONNECTOR, MemoryConnector, "exchange", "test_a_turn_out_of_order_is_refused_without_effect")
def an_acknowledgment_before_the_lease_is_checked(self: Any, *args: Any) -> Taken:
    queue, consumer, _, _, settlements = args[:5]
    known = self._store().look(queue).consumers.get(consumer)
    for settlement in settlements if known else ():
        lease.settle(self._store().look(queue), known, settlement)
    found: Taken = sound["exchange"](self, *args)
    return found


@planted(CONNECTOR, MemoryConnector, "exchange", "test_a_repeated_turn_gives_the_same_answer")
def a_repeat_that_leases_once_more(self: Any, *args: Any) -> Taken:
    queue, consumer, turn = args[:3]
    me = self._store().look(queue).consumers.get(consumer)
    if me is not None and me.turn == turn:
        me.turn -= 1
        args = (*args[:3], max(me.held, default=0) + 1, *args[4:])
    found: Taken = sound["exchange"](self, *args)
    return found


@planted(CONNECTOR, MemoryConnector, "exchange", "test_a_closed_consumer_is_refused_everything")
def a_stale_consumer_that_is_accepted(self: Any, *args: Any) -> Taken:
    me = self._store().look(args[0]).consumers.get(args[1])
    if me is not None:
        me.state = LIVING
    found: Taken = sound["exchange"](self, *args)
    return found


@planted(
    CONNECTOR,
    MemoryConnector,
    "exchange",
    "test_a_receipt_that_is_not_held_is_lost_and_nothing_is_done",
)
def a_loss_that_is_not_told(self: Any, *args: Any) -> Taken:
    found: Taken = sound["exchange"](self, *args)
    return found._replace(lost=[])


@planted(CONNECTOR, MemoryConnector, "join", "test_closing_an_unknown_consumer_keeps_its_late_join_out")
def a_late_join_that_is_let_in(self: Any, queue: str, consumer: str, terms: Terms) -> None:
    consumers = self._store().look(queue).consumers
    if consumer in consumers and consumers[consumer].state == CLOSED:
        del consumers[consumer]
    sound["join"](self, queue, consumer, terms)


@planted(
    CONNECTOR,
    Queue,
    "take_back",
    "test_what_an_overdue_consumer_holds_is_taken_over_in_order_and_counted",
)
def a_lease_that_never_expires(self: Queue, me: Any) -> bool:
    return False


@planted(CONNECTOR, Queue, "close_gap", "test_after_a_gap_nobody_is_overdue")
def an_outage_that_makes_everyone_overdue(self: Queue, lease: float) -> None:
    self.stamp = time.monotonic()


@planted(CONNECTOR, MemoryConnector, "renew", "test_a_renewed_consumer_keeps_what_it_holds")
def a_renewal_that_shortens(self: Any, consumers: Any, seconds: float) -> Any:
    lost = sound["renew"](self, consumers, seconds)
    for queue, consumer in consumers:
        self._store().look(queue).consumers[consumer].deadline = time.monotonic() + seconds
    return lost


@planted(CONNECTOR, lease, "settle_and_lease", "test_done_forgets_a_range")
def a_settlement_that_resurrects(queue: Queue, me: Any, base: int, settlements: Any, *more: Any) -> None:
    for one in settlements:
        if isinstance(one, Done):
            queue.give_back([me.held[n] for n in range(one.first, one.last + 1) if n in me.held])
    sound_lease["settle_and_lease"](queue, me, base, settlements, *more)


@planted(CONNECTOR, Queue, "give_back", "test_back_is_as_if_never_leased")
def a_return_that_loses_the_order(self: Queue, entries: Iterable[Entry]) -> None:
    for entry in entries:
        self.append(entry)


@planted(CONNECTOR, Queue, "give_back", "test_release_settles_what_is_done_and_gives_back_the_rest")
def a_return_that_counts_as_a_death(self: Queue, entries: Iterable[Entry]) -> None:
    for entry in entries:
        entry.count += 1
        sound_queue["give_back"](self, [entry])


@planted(
    CONNECTOR,
    MemoryConnector,
    "release",
    "test_release_settles_what_is_done_and_gives_back_the_rest",
)
def a_release_that_takes_the_rest_for_done(
    self: Any, queue: str, consumer: str, done: Any, suspects: Any, **more: Any
) -> None:
    sound["release"](self, queue, consumer, [(0, 2**62)], suspects, **more)


@planted(CONNECTOR, MemoryConnector, "release", "test_an_empty_only_settles_and_gives_nothing_back")
def a_release_that_minds_no_range(self: Any, *args: Any, **more: Any) -> None:
    sound["release"](self, *args, **{**more, "only": None})


@planted(CONNECTOR, MemoryConnector, "release", "test_a_closed_consumer_is_refused_everything")
def a_release_that_closes_nobody(self: Any, *args: Any, **more: Any) -> None:
    sound["release"](self, *args, **{**more, "close": False})


@planted(CONNECTOR, MemoryConnector, "wait", "test_a_push_before_the_wait_is_not_missed")
def a_wait_that_hears_no_push(self: Any, consumers: Any, seconds: float, wake_fd: int | None = None) -> list[str]:
    time.sleep(seconds)
    return []


@planted(CONNECTOR, MemoryConnector, "purge", "test_purge_deletes_what_waits_and_nothing_else")
def a_purge_that_keeps_what_is_delayed(self: Any, queue: str) -> int:
    of = self._store().queue(queue)
    gone, of.ready = len(of.ready), []
    return gone


@planted(CONNECTOR, Letters, "bury", "test_no_more_letters_are_kept_than_the_terms_allow")
def dead_letters_without_a_bound(
    self: Letters, payload: bytes, task_id: str, reason: bytes, of: Entry, terms: Terms
) -> None:
    sound_letters["bury"](self, payload, task_id, reason, of, Terms())


@planted(CONNECTOR, MemoryConnector, "revive", "test_reviving_twice_doubles_nothing")
def a_replay_that_keeps_the_letter(self: Any, queue: str, letters: Mapping[str, Any]) -> int:
    of = self._store().queue(queue).letters
    kept = dict(of._by_id)
    revived: int = sound["revive"](self, queue, letters)
    of._by_id.update(kept)
    return revived


@planted(CONNECTOR, MemoryConnector, "post", "test_a_paused_queue_leases_nothing_and_settles")
def a_pause_that_nobody_obeys(self: Any, queue: str, *, paused: Any = None, **more: Any) -> int:
    version: int = sound["post"](self, queue, paused=None, **more)
    return version


@planted(CONNECTOR, MemoryConnector, "lock_free", "test_only_its_owner_frees_a_lock")
def a_lock_that_anybody_frees(self: Any, name: str, owner: str) -> bool:
    return self._store().names._locks.pop(name, None) is not None


@planted(CONNECTOR, MemoryConnector, "set", "test_a_value_with_a_time_ends_with_it")
def a_value_that_outlives_its_time(self: Any, key: str, value: bytes, ttl: Any = None) -> None:
    sound["set"](self, key, value)


# What a step leaves behind: the extra `effects`

sound_effective: Mapping[str, Any] = {**vars(Effective)}
sound_step: Mapping[str, Any] = {**vars(Step)}
sound_joins: Mapping[str, Any] = {**vars(Joins)}
sound_standing: Mapping[str, Any] = {**vars(Standing)}
sound_fleeting: Mapping[str, Any] = {**vars(Fleeting)}
sound_followers: Mapping[str, Any] = {**vars(Followers)}


def apply_at_once(self: Any, queue: str, effects: Mapping[int, Any]) -> None:
    """As a step of its own, whatever became of the receipts."""
    step = Step(self._store(), queue, effects.values())
    step.of(effects, effects)


@planted(CONNECTOR, lease, "settle", "test_a_lost_receipt_leaves_nothing_behind_and_the_others_do")
def effects_of_lost_receipts(queue: Queue, me: Any, settlement: Any) -> list[int]:
    taken: list[int] = sound_lease["settle"](queue, me, settlement)
    return taken + me.lost


@planted(CONNECTOR, lease, "settle", "test_effects_do_not_come_with_back_and_park")
def effects_of_whatever_is_no_longer_held(queue: Queue, me: Any, settlement: Any) -> list[int]:
    before = set(me.held)
    sound_lease["settle"](queue, me, settlement)
    return sorted(before - set(me.held))


@planted(CONNECTOR, MemoryConnector, "exchange", "test_a_repeated_turn_applies_nothing_again")
def a_repeated_turn_that_applies_again(self: Any, *args: Any, effects: Any = MappingProxyType({})) -> Taken:
    me = self._store().look(args[0]).consumers.get(args[1])
    if me is not None and me.turn == args[2]:
        apply_at_once(self, args[0], effects)
    found: Taken = sound["exchange"](self, *args, effects=effects)
    return found


@planted(CONNECTOR, MemoryConnector, "exchange", "test_a_fenced_consumer_leaves_nothing_behind")
def effects_before_the_fence(self: Any, *args: Any, effects: Any = MappingProxyType({})) -> Taken:
    apply_at_once(self, args[0], effects)
    found: Taken = sound["exchange"](self, *args)
    return found


@planted(CONNECTOR, MemoryConnector, "release", "test_a_release_leaves_the_effects_of_what_it_settles")
def a_release_without_effects(self: Any, *args: Any, effects: Any = MappingProxyType({}), **more: Any) -> None:
    sound["release"](self, *args, **more)


@planted(CONNECTOR, MemoryConnector, "release", "test_what_the_worker_settled_a_release_does_not_leave_again")
def a_release_that_minds_no_settlement(self: Any, *args: Any, effects: Any = MappingProxyType({}), **more: Any) -> None:
    sound["release"](self, *args, **more)
    apply_at_once(self, args[0], effects)


@planted(CONNECTOR, Joins, "arrive", "test_a_member_that_arrives_twice_counts_once")
def a_counter_for_a_join(self: Joins, arrive: Arrive) -> Any:
    there = len(self._of(arrive.join).arrived)
    return sound_joins["arrive"](self, arrive._replace(member=there))


@planted(CONNECTOR, Joins, "arrive", "test_who_arrives_when_it_is_complete_changes_nothing")
def a_join_that_completes_again(self: Joins, arrive: Arrive) -> Any:
    standing = self._of(arrive.join)
    standing.complete = False
    standing.arrived.discard(arrive.member)
    return sound_joins["arrive"](self, arrive)


@planted(CONNECTOR, Joins, "arrive", "test_opening_a_join_again_changes_nothing")
def a_complete_join_that_is_forgotten_at_once(self: Joins, arrive: Arrive) -> Any:
    then = sound_joins["arrive"](self, arrive)
    if self._of(arrive.join).complete:
        self._standing.drop(arrive.join)
    return then


@planted(CONNECTOR, Joins, "arrive", "test_who_arrived_before_it_was_opened_is_in_it")
def early_arrivals_that_are_dropped(self: Joins, arrive: Arrive) -> Any:
    return sound_joins["arrive"](self, arrive) if self._of(arrive.join).opened else ()


@planted(CONNECTOR, Standing, "completed", "test_an_open_join_completes_only_when_it_is_sealed")
def an_unsealed_join_that_completes(self: Standing) -> Any:
    if self.opened and self.members is None and self.arrived:
        self.members = len(self.arrived)
    return sound_standing["completed"](self)


@planted(CONNECTOR, Joins, "shut", "test_a_join_that_is_shut_never_completes")
def a_shut_that_needs_an_open_join(self: Joins, shut: Shut) -> Any:
    return sound_joins["shut"](self, shut) if self._of(shut.join).opened else ()


# In the memory of one process every queue is one place; these stand for an outbox that is sent on wrongly.


@planted(CONNECTOR, MemoryConnector, "exchange", "test_a_task_that_ends_again_leaves_its_effects_again")
def a_token_of_the_task_and_not_of_its_settlement(self: Any, *args: Any, effects: Any = MappingProxyType({})) -> Taken:
    me, seen = self._store().look(args[0]).consumers[args[1]], self._store().names
    for receipt, entry in me.held.items():
        if receipt in effects and seen.get(f"seen {entry.payload!r}"):
            effects = {n: some for n, some in effects.items() if n != receipt}
        elif receipt in effects:
            seen.set(f"seen {entry.payload!r}", b"1", None)
    found: Taken = sound["exchange"](self, *args, effects=effects)
    return found


@planted(CONNECTOR, MemoryConnector, "exchange", "test_no_settlement_is_taken_for_another_one")
def a_token_that_does_not_name_the_queue(self: Any, *args: Any, effects: Any = MappingProxyType({})) -> Taken:
    token = f"seen {args[1]} {args[2]}"
    if effects and self.get(token):
        effects = {}
    self.set(token, b"1")
    found: Taken = sound["exchange"](self, *args, effects=effects)
    return found


@planted(CONNECTOR, Step, "_apply", "test_what_two_connections_send_on_at_once_arrives_once")
def an_entry_that_is_deleted_before_it_is_applied(self: Any, effect: Any, home: str) -> Any:
    crash = isinstance(effect, Send) and effect.queue != home and effect.payloads[0].endswith(b"7")
    return () if crash else sound_step["_apply"](self, effect, home)


@planted(CONNECTOR, Step, "_apply", "test_what_two_connections_send_on_at_once_arrives_once")
def an_entry_that_is_applied_by_everyone_who_finds_it(self: Any, effect: Any, home: str) -> Any:
    if isinstance(effect, Send) and effect.queue != home and effect.payloads[0].endswith(b"7"):
        sound_step["_apply"](self, effect, home)
    return sound_step["_apply"](self, effect, home)


@planted(CONNECTOR, MemoryConnector, "apply", "test_an_apply_whose_answer_was_lost_is_applied_once")
def a_condition_that_is_judged_before_the_token(self: Any, queue: str, effects: Any, **more: Any) -> Any:
    for key, version in more.get("when", ()):
        [found] = self.records(queue, [key])
        if version != (found.version if found else 0):
            return Applied(False, found={key: found})
    return sound_effective["apply"](self, queue, effects, **more)


@planted(CONNECTOR, MemoryConnector, "apply", "test_of_several_that_start_the_same_at_once_one_does")
def a_condition_that_is_judged_in_a_step_of_its_own(self: Any, queue: str, effects: Any, **more: Any) -> Any:
    for key, version in more.pop("when", ()):
        [found] = self.records(queue, [key])
        time.sleep(0.002)
        if version != (found.version if found else 0):
            return Applied(False, found={key: found})
    return sound_effective["apply"](self, queue, effects, **more)


@planted(CONNECTOR, Step, "_keep", "test_a_lower_rank_changes_nothing")
def a_record_without_a_rank(self: Any, keep: Keep, queue: str) -> None:
    self._store.queue(queue).records.drop(keep.key)
    sound_step["_keep"](self, keep, queue)


@planted(CONNECTOR, Fleeting, "put", "test_a_record_ends_with_its_time")
def a_record_that_never_ends(self: Any, key: str, value: Any, ttl: float | None) -> None:
    sound_fleeting["put"](self, key, value, None)


@planted(CONNECTOR, Fleeting, "put", "test_a_join_is_forgotten_after_its_time")
def a_join_that_never_ends(self: Any, key: str, value: Any, ttl: float | None) -> None:
    sound_fleeting["put"](self, key, value, None)


@planted(CONNECTOR, MemoryConnector, "follow", "test_a_record_that_is_kept_while_it_is_followed_is_never_missed")
def a_follow_that_reads_and_then_registers(self: Any, keys: Any, seconds: float = 60.0) -> Any:
    there = {}
    for (queue, key), rank in keys.items():
        [found] = self.records(queue, [key])
        if found is not None and found.rank >= rank:
            there[queue, key] = found
    time.sleep(0.001)
    with self._store().lock:
        for key in keys.keys() - there.keys():
            self._store().followers.follow(self._mine(), key, keys[key], seconds)
    return there


@planted(CONNECTOR, MemoryConnector, "heard", "test_what_is_kept_while_nobody_listens_is_heard_afterwards")
def marks_for_those_who_listen_now(self: Any, seconds: float, wake_fd: int | None = None) -> Any:
    self._mine().take()
    return sound_effective["heard"](self, seconds, wake_fd)


@planted(CONNECTOR, Followers, "follow", "test_nothing_is_heard_when_the_time_of_a_follower_is_over")
def a_follower_that_never_leaves(self: Any, inbox: Any, key: Any, rank: int, seconds: float) -> None:
    sound_followers["follow"](self, inbox, key, rank, 3600.0)


# What tasks have entered: the extra `ledger`

sound_ledger: Mapping[str, Any] = {**vars(Ledger)}


def held(self: Any, queue: str, receipt: int) -> Entry | None:
    """The task that anybody holds under this receipt."""
    found = self._store().look(queue).consumers.values()
    return next((of.held[receipt] for of in found if receipt in of.held), None)


@planted(CONNECTOR, MemoryConnector, "enter", "test_entries_are_put_over_those_of_the_same_names")
def an_entry_that_ends_the_others(self: Any, queue: str, consumer: str, receipt: int, entries: Any = NONE) -> Any:
    entry = held(self, queue, receipt)
    if entries and entry is not None:
        entry.ledger = NONE
    return sound_ledger["enter"](self, queue, consumer, receipt, entries)


@planted(CONNECTOR, MemoryConnector, "enter", "test_only_who_holds_a_task_may_enter")
def an_entry_by_whoever_names_the_receipt(
    self: Any, queue: str, consumer: str, receipt: int, entries: Any = NONE
) -> Any:
    entry = held(self, queue, receipt)
    if entry is not None:
        entry.ledger = {**entry.ledger, **entries}
    return None if entry is None else entry.ledger


@planted(CONNECTOR, MemoryConnector, "enter", "test_a_task_has_a_bounded_size_of_entries")
def entries_of_which_only_the_new_ones_are_measured(
    self: Any, queue: str, consumer: str, receipt: int, entries: Any = NONE
) -> Any:
    merged_entries(NONE, entries)
    entry = held(self, queue, receipt)
    if entry is not None:
        entry.ledger = {**entry.ledger, **entries}
    return entry and entry.ledger


@planted(CONNECTOR, lease, "settle", "test_entries_go_with_a_task_that_comes_again")
def a_new_try_that_forgets_what_was_entered(queue: Queue, me: Any, settlement: Any) -> Any:
    if type(settlement).__name__ == "Again" and settlement.receipt in me.held:
        me.held[settlement.receipt].ledger = NONE
    return sound_lease["settle"](queue, me, settlement)


@planted(CONNECTOR, lease, "release", "test_entries_go_with_a_task_that_is_released")
def a_suspect_that_loses_what_it_entered(queue: Queue, of: Any, done: Any, suspects: Any, only: Any) -> Any:
    for receipt in suspects:
        if receipt in of.held:
            of.held[receipt].ledger = NONE
    return sound_lease["release"](queue, of, done, suspects, only)


@planted(CONNECTOR, Queue, "take_back", "test_entries_go_with_a_task_that_is_taken_back")
def what_is_taken_back_begins_anew(self: Queue, me: Any) -> Any:
    for other in self.consumers.values():
        for entry in () if other is me else other.held.values():
            entry.ledger = NONE
    return sound_queue["take_back"](self, me)


@planted(CONNECTOR, Letters, "bury", "test_entries_go_with_a_letter_and_its_revival")
def a_dead_letter_without_its_entries(self: Letters, *args: Any) -> None:
    sound_letters["bury"](self, *args)
    self.ledgers.clear()


@planted(CONNECTOR, Opened, "_changed", "test_a_closed_connector_enters_nothing")
def a_store_that_nobody_closes(self: Any) -> Any:
    self._open = self._open or memory_store(self.name)
    return self._open


# The operator's hand: the extra `steer`

sound_steering: Mapping[str, Any] = {**vars(Steering)}
sound_hand: Mapping[str, Any] = {**vars(steering)}
sound_looking: Mapping[str, Any] = {**vars(looking)}
sound_acts: Mapping[str, Any] = {**vars(Acts)}


def everything(self: Any, queue: str, state: Any) -> list[Any]:
    """All tasks of a state."""
    found, after = [], None
    while True:
        glance = sound_steering["look"](self, queue, state, 10_000, after=after)
        found += glance.tasks
        after = glance.after
        if after is None:
            return found


WHILE_OTHERS_COME = "test_what_stays_is_seen_once_while_others_are_pushed_leased_and_settled"


@planted(CONNECTOR, MemoryConnector, "look", WHILE_OTHERS_COME)
def a_walk_by_position(
    self: Any, queue: str, state: Any, limit: int = 100, *, after: str | None = None, holding: bytes = b""
) -> Glance:
    whole, start = everything(self, queue, state), int(after or 0)
    found = [task for task in whole[start : start + limit] if holding in task.payload]
    return Glance(found, str(start + limit) if start + limit < len(whole) else None)


@planted(CONNECTOR, MemoryConnector, "look", "test_a_walk_in_small_steps_sees_every_task_once")
def a_walk_that_goes_on_behind_the_due_time(self: Any, queue: str, state: Any, limit: int = 100, **more: Any) -> Glance:
    glance: Glance = sound_steering["look"](self, queue, state, limit, **more)
    if state == "delayed" and glance.after is not None:
        _, due, _ = json.loads(glance.after)
        glance = glance._replace(after=places.cursor(state, due, 2**62))
    return glance


@planted(CONNECTOR, MemoryConnector, "look", "test_one_look_goes_through_a_bounded_number_of_tasks")
def a_look_that_goes_on_until_it_finds_something(
    self: Any, queue: str, state: Any, limit: int = 100, *, after: str | None = None, holding: bytes = b""
) -> Glance:
    while True:
        glance: Glance = sound_steering["look"](self, queue, state, limit, after=after, holding=holding)
        after = glance.after
        if glance.tasks or after is None:
            return glance


@planted(CONNECTOR, MemoryConnector, "look", "test_holding_finds_bytes_anywhere_in_a_payload")
def a_part_that_is_taken_for_a_pattern(
    self: Any, queue: str, state: Any, limit: int = 100, *, after: str | None = None, holding: bytes = b""
) -> Glance:
    glance: Glance = sound_steering["look"](self, queue, state, limit, after=after)
    pattern = fnmatch.translate(f"*{holding.decode('latin-1')}*")
    return glance._replace(tasks=[t for t in glance.tasks if re.match(pattern, t.payload.decode("latin-1"))])


@planted(CONNECTOR, steering, "_place", "test_a_place_never_names_another_task")
def a_place_made_of_what_the_task_is(state: str, entry: Entry) -> str:
    return f"{state[0]}{zlib.crc32(entry.payload)}{entry.due}"


@planted(CONNECTOR, steering, "_waiting", "test_what_is_on_lease_is_left_alone")
def a_hand_that_reaches_into_a_lease(of: Queue) -> list[Any]:
    held = [("leased", entry) for consumer in of.consumers.values() for entry in consumer.held.values()]
    return [*sound_hand["_waiting"](of), *held]


@planted(CONNECTOR, MemoryConnector, "steer", "test_the_ids_of_what_was_dropped_are_free")
def a_drop_that_keeps_the_ids(self: Any, queue: str, places: Any, **what: Any) -> Any:
    ids = dict(self._store().look(queue).ids)
    done = sound_steering["steer"](self, queue, places, **what)
    self._store().look(queue).ids = ids
    return done


@planted(CONNECTOR, steering, "_change", "test_count_note_parking_and_id_stay")
def a_move_that_is_a_new_push(of: Queue, entry: Entry, *more: Any) -> None:
    entry.count, entry.note, entry.parked = 0, None, None
    sound_hand["_change"](of, entry, *more)


@planted(CONNECTOR, steering, "_change", "test_another_priority_puts_a_task_at_its_tail")
def a_move_that_keeps_the_age(of: Queue, entry: Entry, delayed: bool, priority: Any, delay: Any) -> None:
    order = entry.order
    sound_hand["_change"](of, entry, delayed, priority, delay)
    entry.order = order
    of.ready.sort(key=Entry.place)


@planted(CONNECTOR, steering, "_change", "test_a_delayed_task_gets_another_priority_and_keeps_its_time")
def a_priority_that_makes_ready(of: Queue, entry: Entry, delayed: bool, priority: Any, delay: Any) -> None:
    sound_hand["_change"](of, entry, delayed, priority, delay or 0)


@planted(CONNECTOR, MemoryConnector, "steer", "test_what_is_made_ready_ends_a_wait")
def a_hand_that_wakes_nobody(self: Any, queue: str, places: Any, **what: Any) -> Any:
    of = self._store().look(queue)
    waiters, of.waiters = of.waiters, {}
    done = sound_steering["steer"](self, queue, places, **what)
    of.waiters = waiters
    return done


@planted(CONNECTOR, MemoryConnector, "steer", "test_either_a_worker_or_the_hand_has_a_task")
def a_hand_that_looks_and_then_acts(self: Any, queue: str, places: Any, **what: Any) -> Any:
    there = {task.place for task in everything(self, queue, "ready")}
    time.sleep(0.001)
    sound_steering["steer"](self, queue, places, **what)
    return [place for place in places if place in there]


@planted(CONNECTOR, steering, "refuse_nothing", "test_it_is_told_what_to_do")
def a_hand_that_does_whatever_comes_first(drop: bool, priority: Any, delay: Any) -> None:
    pass


@planted(CONNECTOR, MemoryConnector, "counts_many", "test_the_counts_of_many_queues_are_those_of_each")
def counts_in_the_order_of_the_names(self: Any, queues: Any) -> Any:
    return sound_steering["counts_many"](self, sorted(set(queues)))


@planted(CONNECTOR, looking, "post", "test_orders_stand_until_they_are_taken_back")
def orders_in_place_of_the_others(of: Queue, name: str, paused: Any, cancel: Any, clear: Any, orders: Any) -> int:
    of.orders = {who: what for who, what in of.orders.items() if who in orders}
    return int(sound_looking["post"](of, name, paused, cancel, clear, orders))


@planted(CONNECTOR, looking, "post", "test_a_board_takes_so_many_ids_and_no_more")
def a_refusal_that_comes_too_late(of: Queue, name: str, paused: Any, *more: Any) -> int:
    of.paused = of.paused if paused is None else paused
    return int(sound_looking["post"](of, name, paused, *more))


@planted(CONNECTOR, places, "refuse_many", "test_a_board_takes_so_many_ids_and_no_more")
def a_board_without_an_end(queue: str, before: int, after: int) -> None:
    pass


@planted(CONNECTOR, Acts, "keep", "test_an_act_with_a_known_token_changes_nothing")
def an_act_that_forgets_its_token(self: Acts, entry: bytes, token: str) -> None:
    sound_acts["keep"](self, entry, bench.fresh(token))


@planted(CONNECTOR, Acts, "newest", "test_acts_are_listed_newest_first_in_pages")
def acts_by_position(self: Acts, limit: int, after: str | None) -> Any:
    newest = sound_acts["newest"](self, 10_000, None)
    start = [act.id for act in newest].index(after) + 2 if after else 0
    return newest[start : start + limit]


@planted(CONNECTOR, places, "refuse_large", "test_an_act_is_no_larger_than_it_may_be")
def an_act_of_any_size(entry: bytes) -> None:
    pass


@planted(CONNECTOR, Queue, "named", "test_an_act_makes_no_queue_exist")
def an_act_that_makes_a_queue(self: Queue) -> bool:
    return bool(sound_queue["named"](self) or self.acts.newest(1, None))


# What is counted: the extra `history`

sound_past: Mapping[str, Any] = {**vars(History)}
ONCE = "test_a_call_that_is_repeated_counts_once"


@planted(CONNECTOR, History, "record", ONCE)
def a_history_that_believes_repeats(self: Any, queue: str, source: str, number: int, ended: Any) -> bool:
    return bool(sound_past["record"](self, queue, bench.fresh("source"), 1, ended))


@planted(CONNECTOR, History, "record", ONCE)
def sources_that_are_one_for_all_queues(self: Any, queue: str, source: str, number: int, ended: Any) -> bool:
    kept = self._store().history.sources
    if max((last for (_, of), (_, last) in kept.items() if of == source), default=0) >= number:
        return False
    return bool(sound_past["record"](self, queue, source, number, ended))


@planted(CONNECTOR, History, "record", "test_what_is_recorded_adds_up_in_its_minute_its_hour_and_ever")
def a_history_that_replaces_its_slice(self: Any, queue: str, source: str, number: int, ended: Any) -> bool:
    self._store().history.slices.clear()
    return bool(sound_past["record"](self, queue, source, number, ended))


@planted(CONNECTOR, memory_history, "added", "test_only_so_many_names_stay_apart")
def names_without_end(kept: Any, more: Any, at: float, names: Any = ()) -> Any:
    found = dict(kept)
    for one in more:
        found |= history.added({one.task: found[one.task]} if one.task in found else {}, [one], at)
    return found


@planted(CONNECTOR, memory_history, "refuse_wrong", "test_what_makes_no_sense_is_refused_and_nothing_of_it_counts")
def a_history_of_anything(ended: Any) -> None:
    pass


@planted(CONNECTOR, History, "record", "test_history_makes_no_queue_exist_and_outlives_one")
def a_history_that_makes_a_queue_exist(self: Any, queue: str, source: str, number: int, ended: Any) -> bool:
    self.post(queue, paused=True)
    return bool(sound_past["record"](self, queue, source, number, ended))


@planted(CONNECTOR, History, "history", "test_several_queues_are_read_at_once_in_their_order")
def a_history_by_name(self: Any, queues: Any, step: Any, seconds: float) -> Any:
    return sound_past["history"](self, sorted(queues), step, seconds)


# Serializers

JSON: Mapping[str, Any] = {**vars(JsonSerializer)}


@planted("serializer", JsonSerializer, "loads", "test_plain_data_come_back_equal_and_of_the_same_type")
def a_serializer_that_loses_a_type(self: Any, data: bytes) -> Any:
    value = JSON["loads"](self, data)
    return list(value) if isinstance(value, tuple) else value


@planted("serializer", JsonSerializer, "dumps", "test_nothing_changes_in_silence")
def a_serializer_that_makes_do(self: Any, value: Any) -> bytes:
    try:
        return bytes(JSON["dumps"](self, value))
    except TypeError:
        return bytes(JSON["dumps"](self, str(value)))


@planted("serializer", JsonSerializer, "loads", "test_malformed_data_are_a_decode_error_or_plain_data")
def a_serializer_that_fails_in_its_own_words(self: Any, data: bytes) -> Any:
    try:
        return JSON["loads"](self, data)
    except DecodeError as error:
        raise KeyError("?") from error


# Compressors


@planted("compressor", ZlibCompressor, "decompress", "test_one_byte_more_than_the_limit_is_refused")
def a_compressor_without_a_limit(self: Any, data: bytes, limit: int) -> bytes:
    return zlib.decompress(data)


@planted("compressor", ZlibCompressor, "decompress", "test_a_bomb_is_refused_without_holding_it")
def a_limit_that_comes_after_the_bomb(self: Any, data: bytes, limit: int) -> bytes:
    result = zlib.decompress(data)
    if len(result) > limit:
        raise DecodeError("too large")
    return result


@planted("compressor", ZlibCompressor, "decompress", "test_bytes_after_the_end_are_a_decode_error")
def a_compressor_that_ignores_what_follows(self: Any, data: bytes, limit: int) -> bytes:
    return zlib.decompressobj().decompress(data, limit)


# Executors


@planted("executor", Serial, "run", "test_what_take_raises_comes_out_of_run")
def an_executor_that_swallows_an_end(self: Any, source: Source) -> None:
    try:
        while (attempt := source.take()) is not None:
            attempt.run()
    except BaseException:
        pass


@planted("executor", Serial, "run", "test_each_attempt_runs_once")
def an_executor_that_swallows_an_attempt(self: Any, source: Source) -> None:
    while (attempt := source.take()) is not None:
        if getattr(attempt, "number", 0) != 250:
            attempt.run()


@planted("executor", Serial, "run", "test_each_attempt_runs_once")
def an_executor_that_tries_again_by_itself(self: Any, source: Source) -> None:
    while (attempt := source.take()) is not None:
        attempt.run()
        if getattr(attempt, "number", 0) == 250:
            attempt.run()


@planted("executor", Threaded, "run", "test_it_waits_for_what_still_runs_when_the_source_has_ended")
def an_executor_that_leaves_before_the_last(self: Any, source: Source) -> None:
    import threading

    while (attempt := source.take()) is not None:
        threading.Thread(target=attempt.run).start()


@planted("executor", Threaded, "run", "test_as_many_run_at_once_as_it_has_slots")
def an_executor_that_uses_one_slot(self: Any, source: Source) -> None:
    import threading

    while (attempt := source.take()) is not None:
        thread = threading.Thread(target=attempt.run)
        thread.start()
        thread.join()


# Killers


@planted(
    "killer",
    Process,
    "_struck",
    "test_a_strike_after_the_end_of_a_task_hits_no_handler",
)
def a_killer_that_strikes_after_the_guard(self: Any, number: int, frame: FrameType | None) -> None:
    for slot, noted, _ in self._page.numbers():
        if self._page.words[page.slot_index(slot) + page.STRUCK] == noted:
            raise TaskTimeout("late")


@planted("killer", Process, "_struck", "test_a_strike_for_an_earlier_task_hits_nobody")
def a_killer_that_strikes_whoever_is_there(self: Any, number: int, frame: FrameType | None) -> None:
    raise TaskTimeout("late")


@planted("killer", Process, "watch", "test_a_worker_that_went_on_while_it_was_condemned_is_not_killed")
def a_killer_that_does_not_look_again(self: Any, view: View, now: int) -> None:
    for reading in view.readings():
        view.condemn(reading.slot, reading.number)
        view.kill(reading.slot, reading.number, "late")


@planted("killer", Process, "watch", "test_what_is_not_late_is_left_alone")
def a_killer_that_strikes_early(self: Any, view: View, now: int) -> int | None:
    for reading in view.readings():
        if reading.soft and now >= reading.soft - 100:
            view.soft(reading.slot, reading.number)
    return now + 1


@planted("killer", Process, "watch", "test_the_earliest_deadline_of_all_slots_is_when_it_looks_again")
def a_killer_that_oversleeps(self: Any, view: View, now: int) -> int | None:
    return max((reading.soft for reading in view.readings()), default=None)


@planted("killer", Thread, "watch", "test_a_killer_that_ends_nothing_kills_nothing")
def a_killer_that_does_more_than_it_says(self: Any, view: View, now: int) -> None:
    for reading in view.readings():
        view.kill(reading.slot, reading.number, "late")


# Connectors: budgets, turns and keys.

sound_flow: Mapping[str, Any] = {**vars(Flow)}
sound_charging: Mapping[str, Any] = {**vars(charging.Charging)}
sound_keys: Mapping[str, Any] = {**vars(Keys)}
sound_ring: Mapping[str, Any] = {**vars(Ring)}


@planted(CONNECTOR, Flow, "move", "test_no_more_run_than_may_at_once")
def a_budget_that_counts_no_lease(self: Flow, entry: Entry, to: str, away: bool = False) -> None:
    sound_flow["move"](self, entry, to, away)
    for budget in self.budgets.values():
        budget.leased = 0


@planted(CONNECTOR, Flow, "move", "test_every_settlement_is_counted")
def a_slot_that_leaks_when_a_task_is_tried_again(self: Flow, entry: Entry, to: str, away: bool = False) -> None:
    leaks = (entry.where, to) == ("leased", "delayed")
    sound_flow["move"](self, entry, to, away)
    if leaks:
        self.budgets["crm", ""].leased += 1


@planted(CONNECTOR, Flow, "refresh", "test_a_gate_opens_by_itself_when_its_time_is_over")
def what_was_closed_once_never_comes_back(self: Flow, spot: Any) -> None:
    pass


@planted(CONNECTOR, Flow, "spend", "test_what_comes_back_unstarted_gives_its_share_back")
def a_return_that_gives_no_share_back(self: Flow, entry: Entry, share: int) -> None:
    if share > 0:
        sound_flow["spend"](self, entry, share)


@planted(CONNECTOR, Queue, "give_back", "test_what_may_have_run_gives_no_share_back")
def a_lost_worker_that_gives_its_share_back(self: Queue, entries: Iterable[Entry]) -> None:
    back = list(entries)
    for entry in back:
        self.flowing().spend(entry, -1)
    sound_queue["give_back"](self, back)


@planted(CONNECTOR, Flow, "set_gate", "test_a_later_closing_counts_anew")
def a_gate_that_a_later_closing_opens(self: Flow, spot: Any, seconds: float | None) -> None:
    sound_flow["set_gate"](self, spot, None)
    sound_flow["set_gate"](self, spot, seconds)


@planted(CONNECTOR, Flow, "_slots_taken", "test_a_consumer_holds_no_more_than_it_has_slots")
def a_batch_that_takes_more_than_can_start(self: Flow, spot: Any, me: Any, mine: Any) -> bool:
    return False


@planted(CONNECTOR, Flow, "tell", "test_one_of_those_who_wait_is_told_when_a_gate_opens")
def a_gate_that_is_told_to_all(self: Flow, me: Any) -> float | None:
    return self.next_time()


@planted(CONNECTOR, Flow, "to_be_told", "test_a_task_that_is_pushed_behind_a_gate_goes_when_it_opens")
def a_push_behind_a_gate_of_which_nobody_is_told(self: Flow) -> bool:
    return False


@planted(CONNECTOR, Flow, "own", "test_an_operator_stands_above_the_code")
def a_release_that_overrules_the_operator(self: Flow, spot: Any) -> Any:
    rules = self.budgets[spot].rules if spot in self.budgets else {}
    return next(((*rules[operator], operator) for operator in (False, True) if operator in rules), None)


@planted(CONNECTOR, charging, "refuse_many", "test_a_full_spot_takes_all_of_a_push_or_none")
def a_lane_that_is_never_full(name: str, into: Queue, tickets: Any, ids: Any) -> None:
    pass


@planted(CONNECTOR, Ring, "gone", "test_lanes_take_turns")
def a_turn_that_never_ends(self: Ring, name: str, turn: int) -> None:
    sound_ring["gone"](self, name, 1000)


@planted(CONNECTOR, Ring, "gone", "test_weights_are_tasks_of_a_turn")
def turns_without_weights(self: Ring, name: str, turn: int) -> None:
    sound_ring["gone"](self, name, 1)


@planted(CONNECTOR, MemoryConnector, "admit", "test_a_repeated_push_says_what_the_first_said")
def a_push_with_tickets_that_forgets_its_token(self: Any, queue: str, payloads: Any, tickets: Any, **more: Any) -> Any:
    return sound_charging["admit"](self, queue, payloads, tickets, **{**more, "token": bench.fresh("token")})


@planted(CONNECTOR, Keys, "ended", "test_a_letter_that_is_revived_takes_its_key_if_it_is_free")
def a_key_that_outlives_its_task(self: Keys, entry: Entry, away: bool) -> None:
    pass


@planted(CONNECTOR, Keys, "started", "test_a_successor_that_is_leased_has_the_key")
def a_successor_that_runs_without_the_key(self: Keys, entry: Entry) -> None:
    pass


@planted(CONNECTOR, Keys, "renew", "test_while_it_runs_one_successor_waits")
def one_that_was_replaced_and_is_still_named(self: Keys, claim: Any, ticket: Any) -> None:
    pass


@planted(CONNECTOR, Letters, "bury", "test_a_ticket_lives_with_its_task")
def a_dead_letter_without_its_ticket(self: Letters, *args: Any) -> None:
    sound_letters["bury"](self, *args)
    self.tickets.clear()


@planted(CONNECTOR, Flow, "__init__", "test_tasks_without_a_ticket_go_on_beside_those_that_have_one")
def a_first_ticket_that_forgets_what_was_there(self: Flow, tasks: Any) -> None:
    sound_flow["__init__"](self, ())


# What runs them

CAUGHT = (AssertionError, pytest.fail.Exception, TaskTimeout, KeyError)
"""How a check fails: by what it compares, by what did not raise, by what a fault itself raised."""

CONTRACTS: Mapping[str, type[Any]] = {
    "connector": ConnectorContract,
    "serializer": SerializerContract,
    "compressor": CompressorContract,
    "executor": ExecutorContract,
    "killer": KillerContract,
}


def examine(row: Planted, folder: Path) -> None:
    """Run the row's check, with every value that pytest would give it."""
    part: type[Any] = row.where if row.kind != "connector" else MemoryConnector
    check = getattr(CONTRACTS[row.kind](), row.check)
    values = [mark.args for mark in getattr(check, "pytestmark", ()) if mark.name == "parametrize"]
    [(names, choices)] = values or [("", [None])]

    def opener(role: Role) -> Connector:
        made = MemoryConnector(name=os.path.join(folder, str(len(seen))))
        made.open(role)
        return made

    def bed(place: Place) -> Bed:
        return Bed(folder / f"page{time.monotonic_ns()}", given["killer"], place)

    seen: list[Any] = []
    for choice in choices:
        seen.append(choice)
        given: dict[str, Any] = {"open": opener, "bed": bed, names: choice}
        if row.kind != "connector":
            given[row.kind] = part()
        wanted = check.__code__.co_varnames[1 : check.__code__.co_argcount]
        given["counted"] = opener
        check(**{name: given[name] for name in wanted})
        if "counted" in wanted:
            right(opener("push"))


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that waits for what will not come gives up sooner; a sound part answers at once."""
    monkeypatch.setattr(bench, "PATIENCE", 3.0)
    monkeypatch.setattr(executor, "PATIENCE", 3.0)
    monkeypatch.setattr(waiting, "FAR", 2.0)
    monkeypatch.setattr(waiting, "SOON", 1.0)
    monkeypatch.setattr(following, "FAR", 2.0)
    monkeypatch.setattr(following, "SOON", 1.0)
    monkeypatch.setattr(gating, "LONG", 2.0)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.faulty.__name__)
def test_the_examination_catches(row: Planted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "faulty").mkdir()
    with monkeypatch.context() as change:
        change.setattr(row.where, row.method, row.faulty)
        with pytest.raises(CAUGHT):
            examine(row, tmp_path / "faulty")


@pytest.mark.parametrize(
    "row",
    {(row.kind, row.where, row.check): row for row in ROWS}.values(),
    ids=lambda row: row.check,
)
def test_the_sound_part_passes_the_check(row: Planted, tmp_path: Path) -> None:
    examine(row, tmp_path)


def test_there_are_faults_of_every_kind_of_part() -> None:
    assert {row.kind for row in ROWS} == set(CONTRACTS)
    assert len({row.faulty for row in ROWS}) == len(ROWS) >= 15
