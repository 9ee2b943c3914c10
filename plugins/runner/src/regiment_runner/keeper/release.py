"""What a dead worker's page says of its deliveries: done, suspect, or to be given back (R2, R17, R18)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from regiment.contracts import Span
from regiment.contracts.effects import Effect
from regiment_runner.shared import page
from regiment_runner.shared.annex import left_of, records, spans_of
from regiment_runner.shared.heads import id_of
from regiment_runner.shared.messages import PostMortem
from regiment_runner.shared.page import Page


class Released(NamedTuple):
    """What is to be said of one consumer after the death of its worker."""

    queue: str
    consumer: str
    done: list[Span]
    suspects: dict[int, bytes]
    effects: dict[int, tuple[Effect, ...]]
    """What of it was left behind (E3)."""


def release_plan(sheet: Page, dead: PostMortem, *, once: bool = False) -> Iterable[Released]:
    """What each consumer that a page names has done and left, judged after its worker's death.

    `dead` holds `notes` (number -> note for what was struck, everything else being a neighbor), or `note` (for
    whatever had started), or `interrupted` (nothing is suspect). `once`: what has started must not run a second time
    (`delivery="at_most_once"`), so that it is counted even if it was merely interrupted.
    """
    plan = []
    struck = {int(number): note for number, note in dead.get("notes", {}).items()}
    merely_interrupted = bool(dead.get("interrupted") or struck)
    for index, join in sheet.joins():
        suspects: dict[int, bytes] = {}
        effects: dict[int, tuple[Effect, ...]] = {}
        if index == 0:
            found, whole = records(sheet, join.first)
            if once and not whole:
                continue  # a task has destroyed it: nobody knows what has run, as after a lost host
            recorded = left_of(found)
            spans = [*sheet.finished(join.first), *spans_of(recorded)]
            effects = {number: said for number, said in recorded.items() if said}
            for _, number, phase in sheet.numbers():
                if phase not in (page.STARTED, page.ENDED, page.JUDGING) or number < join.first:
                    continue
                if number in struck:
                    # R18, as below: killed in a hook of what it judged.
                    suspects[number] = b"" if phase == page.JUDGING else json.dumps(struck[number]).encode()
                elif not merely_interrupted:
                    # R18: a judge that was killed counts, and the note it judged stays.
                    note = b"" if phase == page.JUDGING else json.dumps(dead.get("note", {})).encode()
                    suspects[number] = note
                elif once and phase != page.JUDGING:
                    suspects[number] = json.dumps(_INTERRUPTED).encode()
        else:
            spans = []
            if once or not merely_interrupted:
                note = json.dumps(dead.get("note", _INTERRUPTED)).encode()
                suspects = dict.fromkeys(range(join.first, join.last + 1), note)
        plan.append(Released(join.queue, join.consumer, spans, suspects, effects))
    return plan


_INTERRUPTED = {"kind": "interrupted", "reason": "its worker was ended for another reason"}


def running(sheet: Page) -> list[dict[str, Any]]:
    """The tasks that ran when a worker ended, as its page shows them: name, id, and for how many seconds."""
    if sheet.damage() is not None:
        return []
    found = []
    for slot in sheet.slots():
        if slot.phase in page.OPEN:
            seconds = round(max(0, page.now() - slot.started) / 1e9, 3)
            found.append({"name": slot.name, "id": id_of(slot.head) or "", "seconds": seconds})
    return found
