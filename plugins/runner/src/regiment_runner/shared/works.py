"""What the slots of a page are doing, each read whole."""

from __future__ import annotations

from typing import NamedTuple

from regiment_runner.shared import page
from regiment_runner.shared.heads import id_of
from regiment_runner.shared.page import Page, SlotState

_TRIES = 5
"""How often a slot is read whose task changes meanwhile."""


class Work(NamedTuple):
    """One task at work: `seconds` since it started, `done` of `total` as it said itself (None: it said nothing)."""

    slot: int
    name: str
    id: str | None
    seconds: float
    done: int | None
    total: int | None
    note: str


def works(sheet: Page) -> list[Work]:
    """All tasks that run on this page."""
    return [found for state in sheet.slots() if (found := _work(sheet, state.slot))]


def _work(sheet: Page, slot: int) -> Work | None:
    """What a slot runs, all of it of one and the same task; None if it runs nothing."""
    for _ in range(_TRIES):
        before = sheet.slot_word(slot)
        if before[1] not in page.OPEN:
            return None
        found = next((one for one in sheet.slots() if one.slot == slot), None)
        if found is not None and (found.number, found.phase) == before == sheet.slot_word(slot):
            return _described(found)
    return None  # tasks so short that none can be seen whole


def _described(state: SlotState) -> Work:
    task_id = id_of(state.head)
    seconds = max(0.0, (page.now() - state.started) / 1e9)
    done, total = state.progress
    told = bool(done or total or state.note)
    return Work(
        state.slot, state.name, task_id, seconds, done if told else None, total if told and total else None, state.note
    )


def standing(sheet: Page, process: str, works: bool) -> str:
    """How a worker is, in a word: `process` is the letter of procfs for its process, `works` whether a task runs on its page."""
    state, orders = sheet.words[page.STATE], sheet.words[page.ORDERS]
    if process in "Tt":
        return "frozen"
    if state == page.STARTING:
        return "starting"
    if state == page.STOPPING or orders & page.STOP:
        return "stopping"
    if works:
        return "busy"
    return "quiet" if orders & page.QUIET else "idle"
