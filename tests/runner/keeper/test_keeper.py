"""What the keeper settles and gives back after a death, from the page alone."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.wait import eventually
from regiment.contracts import Connector, Keep
from regiment.errors import StoreUnavailable
from regiment_runner.keeper.keeper import Keeper
from regiment_runner.keeper.release import release_plan, running
from regiment_runner.keeper.store import NEWS, URGENT, Store
from regiment_runner.keeper.ward import Ward
from regiment_runner.shared import page
from regiment_runner.shared.annex import Annex
from regiment_runner.shared.page import Page
from regiment_runner.shared.record import packed

CRASH = {"note": {"kind": "crash", "reason": "killed by SIGSEGV"}}


@pytest.fixture
def sheet(tmp_path: Path) -> Iterator[Page]:
    made = Page(tmp_path / "w1.page", create=True)
    made.words[page.SLOTS] = 4
    made.join(0, "q", "me", 1)
    yield made
    made.close()


def note(sheet: Page, slot: int, number: int, phase: int) -> None:
    sheet.start(slot, number, b"", page.now(), phase)


def plan(sheet: Page, dead: dict[str, Any], **options: Any) -> tuple[list[Any], dict[int, Any]]:
    ((queue, consumer, done, suspects, _),) = release_plan(sheet, dead, **options)
    assert (queue, consumer) == ("q", "me")
    return list(done), {number: json.loads(text) if text else None for number, text in suspects.items()}


def test_a_crash_suspects_what_had_started_and_settles_what_was_done(sheet: Page) -> None:
    note(sheet, 0, 5, page.STARTED)
    assert plan(sheet, CRASH) == ([(1, 4)], {5: CRASH["note"]})


def test_what_is_returning_goes_back_uncounted(sheet: Page) -> None:
    """R14."""
    note(sheet, 0, 5, page.RETURNING)
    assert plan(sheet, CRASH) == ([(1, 4)], {})


def test_a_judge_that_was_killed_keeps_the_note_it_judged(sheet: Page) -> None:
    """R18: no bytes means that the old note stays."""
    note(sheet, 0, 5, page.JUDGING)
    assert plan(sheet, CRASH) == ([(1, 4)], {5: None})


def test_a_strike_names_its_suspect_and_its_neighbors_are_only_interrupted(sheet: Page) -> None:
    """R17."""
    note(sheet, 0, 5, page.STARTED)
    note(sheet, 1, 6, page.STARTED)
    note(sheet, 2, 7, page.DONE)
    note(sheet, 3, 8, page.ENDED)
    struck = {"notes": {"6": {"kind": "timeout"}}}
    assert plan(sheet, struck) == ([(1, 4), (7, 7)], {6: {"kind": "timeout"}})


def test_what_was_struck_but_had_finished_before_is_done_and_not_a_suspect(sheet: Page) -> None:
    note(sheet, 0, 6, page.DONE)
    assert plan(sheet, {"notes": {"6": {"kind": "timeout"}}}) == ([(1, 6)], {})


def test_an_interrupted_worker_has_no_suspects(sheet: Page) -> None:
    note(sheet, 0, 5, page.STARTED)
    assert plan(sheet, {"interrupted": True}) == ([(1, 4)], {})


@pytest.mark.parametrize("how", [{"interrupted": True}, {"notes": {"9": {"kind": "timeout"}}}])
def test_at_most_once_what_had_started_is_counted_however_it_was_ended(sheet: Page, how: dict[str, Any]) -> None:
    """It would run a second time otherwise."""
    note(sheet, 0, 5, page.STARTED)
    note(sheet, 1, 6, page.ENDED)
    note(sheet, 2, 7, page.RETURNING)
    _, suspects = plan(sheet, how, once=True)
    assert {number: found["kind"] for number, found in suspects.items()} == {
        5: "interrupted",
        6: "interrupted",
    }


def test_numbers_of_an_identity_that_was_given_up_are_not_settled_under_the_new_one(
    sheet: Page,
) -> None:
    """R1: what a slot still shows of the old identity says nothing about the new."""
    note(sheet, 0, 5, page.STARTED)
    sheet.join(0, "q", "me", 9)
    assert plan(sheet, CRASH) == ([], {})


def test_renewals_go_ahead_of_what_a_store_refuses_again_and_again(tmp_path: Path) -> None:
    store = Store({"name": "local", "options": {"path": f"{tmp_path}/q.db"}}, lambda: None)
    done: list[str] = []

    def settle(connector: Connector) -> None:
        if not done:
            store.ask(("settle", "w2"), lambda _: done.append("settled another"))
            store.ask(("renew", 30.0), lambda _: done.append("renewed"), turn=URGENT)
        if len(done) < 4:
            done.append("refused")
            raise ValueError("an answer that nobody understands")
        done.append("settled")

    store.ask(("settle", "w1"), settle)
    eventually(lambda: "settled another" in done, 5, lambda: str(done))
    assert done == ["refused", "renewed", "refused", "refused", "settled", "settled another"]


def test_what_dead_workers_left_goes_ahead_of_news_that_a_full_store_refuses(tmp_path: Path) -> None:
    store = Store({"name": "local", "options": {"path": f"{tmp_path}/q.db"}}, lambda: None)
    done: list[str] = []

    def announce(connector: Connector) -> None:
        if not done:
            store.ask(("release", "w1"), lambda _: done.append("released"))
        done.append("refused")
        raise StoreUnavailable("it has reached maxmemory")

    store.ask(("presence",), announce, turn=NEWS)
    eventually(lambda: "released" in done, 5, lambda: str(done))
    assert done[:2] == ["refused", "released"]


def test_a_judge_that_was_killed_in_a_hook_counts_and_its_note_stays(sheet: Page) -> None:
    """R18, also where the supervisor names it: its neighbors are no suspects (R17)."""
    note(sheet, 0, 5, page.JUDGING)
    note(sheet, 1, 6, page.ENDED)
    note(sheet, 2, 7, page.STARTED)
    killed = {"kind": "crash", "rung": "hook"}
    _, suspects = plan(sheet, {"notes": {"5": killed, "6": killed}})
    assert suspects == {5: None, 6: killed}


def test_the_tasks_of_a_worker_that_ended_are_told_with_their_ids_however_long_the_message(sheet: Page) -> None:
    head = bytes([0xA9, 1, 7]) + b"msgpack" + b"\0" + bytes([6]) + b"id-123"
    for slot, rest in enumerate((b"", b"x" * 1000)):
        sheet.start(slot, slot + 1, head + rest, page.now())
    assert [told["id"] for told in running(sheet)] == ["id-123", "id-123"]


# What was left behind


def left(sheet: Page, first: int, *numbers: int) -> Annex:
    sheet.words[page.LAST] = 100
    annex = Annex(sheet, first)
    for number in numbers:
        annex.append(number, packed([Keep(f"k{number}", b"v", 60.0)] if number % 2 else []))
    return annex


def test_where_there_are_records_only_what_has_one_is_done_and_brings_what_it_left(sheet: Page) -> None:
    """E3: 6 has ended and has none yet; it goes back."""
    left(sheet, 4, 4, 5, 7)
    note(sheet, 0, 8, page.STARTED)
    (found,) = release_plan(sheet, CRASH)
    assert list(found.done) == [(1, 3), (4, 5), (7, 7)] and list(found.suspects) == [8]
    assert found.effects == {5: (Keep("k5", b"v", 60.0),), 7: (Keep("k7", b"v", 60.0),)}


def test_a_record_of_a_number_that_is_not_marked_done_counts_for_nothing(sheet: Page) -> None:
    left(sheet, 1, 1, 3)
    note(sheet, 0, 3, page.ENDED)
    (found,) = release_plan(sheet, CRASH)
    assert found.done == [(1, 1)] and list(found.effects) == [1] and list(found.suspects) == [3]


def test_records_of_an_identity_that_was_given_up_count_for_nothing(sheet: Page) -> None:
    """R1."""
    left(sheet, 1, 1, 3, 5)
    sheet.join(0, "q", "me", 4)
    note(sheet, 0, 5, page.DONE)
    (found,) = release_plan(sheet, CRASH)
    assert found.done == [(5, 5)] and list(found.effects) == [5]


def test_a_record_that_a_task_destroyed_is_not_done_and_at_most_once_nothing_is_given_back(sheet: Page) -> None:
    left(sheet, 1, 1, 3, 5)
    note(sheet, 0, 5, page.DONE)
    with open(sheet.path, "r+b") as file:
        file.seek(page.SIZE + 100)
        file.write(b"scribbled")
    (found,) = release_plan(sheet, CRASH)
    assert found.done == [(1, 1)], "3 and 5 run again"
    assert list(release_plan(sheet, CRASH, once=True)) == [], "as after a lost host"


def test_a_worker_that_ended_while_its_tree_was_being_announced_does_not_hold_the_announcement_up(
    sheet: Page, tmp_path: Path
) -> None:
    spec = {"connector": {}, "queue": "q", "lease": 30.0, "give_back_after": None, "settle_within": 1.0, "delivery": ""}
    store: Any = None
    wards = [Ward(name, sheet.path, os.pidfd_open(os.getpid()), spec, store) for name in ("w1", "w2")]
    wards[0].close()
    channel, theirs = socket.socketpair()
    announced = json.loads(Keeper(channel, -1, -1).presence.record(wards))
    assert [one["worker"] for one in announced["workers"]] == ["w2"]
    wards[1].close(), channel.close(), theirs.close()
