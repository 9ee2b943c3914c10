"""The annex of a page: a record is there whole or not at all, and whoever reads one believes nothing."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regiment.contracts import Arrive, Drop, Effect, Join, Keep, Seal, Send, Shut, Ticket
from regiment_runner.shared import page
from regiment_runner.shared.annex import Annex, left_of, records, spans_of
from regiment_runner.shared.page import Page
from regiment_runner.shared.record import packed, refusal, unpacked

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
seconds = st.floats(0, 1e9)
rank = st.integers(0, 2**53 - 1)
keeps = st.builds(Keep, text, st.binary(max_size=50), st.none() | seconds, rank, st.booleans(), st.none() | text)
payloads = st.lists(st.binary(max_size=30), max_size=3)
sends = st.builds(
    Send,
    text,
    payloads,
    st.integers(0, 2),
    seconds,
    st.none() | seconds,
    ids=st.none(),
    id_window=seconds,
    tickets=st.none(),
)
named = st.builds(lambda send: send._replace(ids=[str(n) for n in range(len(send.payloads))]), sends)
name = st.text(st.characters(exclude_categories=("Cs",)), max_size=16)
tickets = st.builds(
    Ticket,
    name,
    name,
    name,
    st.sampled_from(["done", "start"]) | seconds,
    st.sampled_from(["keep", "later"]),
    seconds,
    name,
)
charged = st.builds(lambda send, ticket: send._replace(tickets=[ticket] * len(send.payloads) or None), sends, tickets)
arrivals = st.builds(Arrive, text, text, st.integers(0, 4095))
then = st.lists(keeps | sends | charged | arrivals, max_size=3)
joins = st.builds(Join, text, text, st.none() | st.integers(0, 4096), then, seconds)
others = (
    st.builds(Seal, text, text, st.integers(0, 4096))
    | st.builds(Shut, text, text, seconds)
    | st.builds(Drop, st.lists(text, max_size=3), st.none() | text)
)
effects = st.lists(keeps | sends | named | charged | arrivals | joins | others, max_size=5)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(effects)
def test_what_was_packed_is_unpacked_as_it_was(some: list[Effect]) -> None:
    assert list(unpacked(packed(some))) == some


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(effects, st.randoms(use_true_random=False))
def test_damaged_bytes_are_refused_or_are_effects_that_a_store_can_take(
    some: list[Effect], chance: random.Random
) -> None:
    data = bytearray(packed(some))
    for _ in range(3):
        data[chance.randrange(len(data))] = chance.randrange(256)
    try:
        found = unpacked(bytes(data))
    except ValueError:
        return
    assert not any(map(refusal, found))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[",
        b"[\xff\xff\xff\x7f",
        b"[\x01\0\0\0" * 5000,
        b"c\0\0\0\0",
        b"[\x01\0\0\0(\x00\0\0\0",
        b"[\x01\0\0\0(\x01\0\0\0i\x63\0\0\0",
        b"l\xff\xff\xff\x7f",
    ],
)
def test_bytes_of_somebody_elses_making_are_refused_and_nothing_of_them_is_run_or_allocated(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpacked(data)


@pytest.mark.parametrize(
    "effect",
    [
        Keep("k", "text", 1.0),  # type: ignore[arg-type]
        Keep("k\udc80", b"", 1.0),
        Keep("k", b"", float("nan")),
        Keep("k", b"", float("inf")),
        Keep("k", b"", 1.0, -1),
        Send("q", [b""], 9),
        Send("q", [b"", b""], ids=["one"]),
        Send("q", [b"", b""], tickets=[Ticket()]),
        Send("q", [b""], tickets=[Ticket("x" * 65)]),
        Send("q", [b""], tickets=[("", "", "")]),  # type: ignore[list-item]
        Join("q", "j", 5000, [], 1.0),
        Join("q", "j", 1, [Shut("q", "j")], 1.0),  # type: ignore[list-item]
        ("q", "j", 1),
    ],
)
def test_what_no_store_can_take_is_refused_when_it_is_packed(effect: Any) -> None:
    with pytest.raises(TypeError):
        packed([effect])


@pytest.fixture
def sheet(tmp_path: Path) -> Page:
    made = Page(tmp_path / "w.page", create=True)
    made.have_slots(1)
    made.join(0, "q", "c", 1)
    made.words[page.LAST] = 1000
    return made


def keep(n: int) -> list[Effect]:
    return [Keep(f"k{n}", b"v" * 100, 60.0)]


def done(sheet: Page, first: int = 1) -> list[int]:
    return sorted(left_of(records(Page(sheet.path), first)[0]))


def test_a_page_has_an_annex_when_it_is_asked_for_and_readers_take_both_sizes(sheet: Page) -> None:
    assert sheet.path.stat().st_size == page.SIZE
    assert Page(sheet.path).damage() is None
    Annex(sheet, 1)
    assert sheet.path.stat().st_size == page.SIZE + 2 * page.HALF
    assert Page(sheet.path).damage() is None and sheet.damage() is None


def test_done_is_what_has_a_record_and_what_no_slot_shows_as_open(sheet: Page) -> None:
    annex = Annex(sheet, 5)
    for number in (5, 6, 8):
        annex.append(number, packed(keep(number)))
    sheet.start(0, 8, b"", 0, page.ENDED)
    assert done(sheet) == [5, 6]
    assert sheet.finished(1) == [(1, 4)], "before the first record it is R2"
    sheet.start(0, 9, b"", 0, page.STARTED)
    assert done(sheet) == [5, 6, 8], "7 has none, and 9 is open"
    assert done(sheet, 6) == [6, 8], "of an identity that began at 6"


def test_a_half_is_emptied_when_it_is_answered_and_not_when_it_is_sent(sheet: Page) -> None:
    annex = Annex(sheet, 1)
    annex.append(1, packed(keep(1)))
    annex.flip()
    annex.append(2, packed(keep(2)))
    assert done(sheet) == [1, 2]
    annex.answered()
    assert done(sheet) == [2]
    annex.flip()
    annex.flip()
    assert done(sheet) == [2]
    annex.answered()
    assert done(sheet) == []


def test_what_does_not_fit_is_said_and_changes_nothing(sheet: Page) -> None:
    annex, size = Annex(sheet, 1), 0
    data = packed([Keep("k", b"v" * 100_000, 60.0)])
    while annex.append(size + 1, data):
        size += 1
    assert size == 5 and done(sheet) == [1, 2, 3, 4, 5]
    assert annex.append(7, packed(keep(7))), "a smaller one does"


def test_a_record_that_was_damaged_is_none_and_so_is_what_is_behind_it(sheet: Page) -> None:
    annex = Annex(sheet, 1)
    for number in range(1, 5):
        annex.append(number, packed(keep(number)))
    with open(sheet.path, "r+b") as file:
        file.seek(page.SIZE + 2 * 168 + 50)
        file.write(b"scribbled")
    found, whole = records(sheet, 1)
    assert sorted(found) == [1, 2] and not whole


@pytest.mark.parametrize(("word", "value"), [(page.EFFECTS, 5000), (page.END_A, page.HALF + 8), (page.EFFECTS, 2)])
def test_a_page_that_says_nonsense_of_its_annex_is_damaged(sheet: Page, word: int, value: int) -> None:
    Annex(sheet, 1)
    reader = Page(sheet.path)
    assert reader.damage() is None
    sheet.words[word] = value
    assert reader.damage()
    assert records(reader, 1)[0] == {}


def test_an_annex_that_was_cut_off_is_damage_and_no_bus_error(sheet: Page) -> None:
    annex = Annex(sheet, 1)
    annex.append(1, packed(keep(1)))
    reader = Page(sheet.path)
    assert done(reader) == [1]
    os.truncate(sheet.path, page.SIZE)
    assert "was cut" in (reader.damage() or "")
    assert records(reader, 1)[0] == {}


def test_a_page_whose_annex_is_gone_has_nothing_done(sheet: Page) -> None:
    Annex(sheet, 1).append(1, packed(keep(1)))
    reader = Page(sheet.path)
    sheet.path.unlink()
    assert records(reader, 1) == ({}, False)


def test_a_forked_child_writes_into_nobodys_annex(sheet: Page) -> None:
    annex = Annex(sheet, 1)
    annex.append(1, packed(keep(1)))
    pid = os.fork()
    if not pid:
        sheet.detach()
        annex.detach()
        annex.append(2, packed(keep(2)))
        os._exit(0)
    os.waitpid(pid, 0)
    assert done(sheet) == [1]


def test_numbers_as_spans() -> None:
    assert spans_of({5, 1, 2, 3, 9, 8}) == [(1, 3), (5, 5), (8, 9)]
    assert spans_of([]) == []


def test_a_record_is_eight_byte_aligned(sheet: Page) -> None:
    annex = Annex(sheet, 1)
    annex.append(1, packed([]))
    assert sheet.words[page.END_A] % 8 == 0
    assert struct.calcsize("<QII") == 16
