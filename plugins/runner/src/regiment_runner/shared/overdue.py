"""The limit of a hook, as it stands on the page: when it is slow, when it is ended, and which hook it is. What else runs of a
task's or of a plugin's code outside of the task, its limit included, is a hook here, too: texts of exceptions, observers.

A hook runs in no guard: `pre_work` before it (*started*), all others after it (*ended*, *judging*), where nothing is struck as a
timeout (R12). So its limit uses the words of the slot's limits, which mean nothing to a killer then, with the hook's number in
the upper bits of the hard one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from regiment_runner.shared import page
from regiment_runner.shared.page import HOOK_SHIFT, Page

TEXT, OBSERVER, EFFECTS = "the text of its exception", "an observer of a plugin", "the effects of a plugin"

HOOKS = (
    "",
    "pre_work",
    "post_work",
    "on_success",
    "on_failure",
    "on_timeout",
    "on_retry",
    "on_max_retries",
    "on_requeue",
    "on_stop",
    "on_dead",
    TEXT,
    OBSERVER,
    EFFECTS,
    "on_cancel",
)
"""Names by number; 0 is no hook. No more than 15: four bits have room for them."""
NUMBERS = {name: number for number, name in enumerate(HOOKS) if name}

_clock, _BOOT = time.clock_gettime_ns, page.CLOCK
_AT = (1 << HOOK_SHIFT) - 1


class Running(NamedTuple):
    """A hook that runs under a limit: slow at `slow_at`, ended at `end_at` (boot clock, nanoseconds)."""

    slot: int
    number: int
    hook: str
    slow_at: int
    end_at: int


def arm(sheet: Page, at: int, hook: str, limit: int, grace: int) -> None:
    """In the worker: note in the slot whose words begin `at` that a hook begins, slow after `limit` nanoseconds, and ended
    `grace` later.
    """
    words, slow_at = sheet.words, _clock(_BOOT) + limit
    # The mark first: who reads the hard word first never takes the other for a soft limit.
    words[at + page.HARD] = NUMBERS[hook] << HOOK_SHIFT | (slow_at + grace) & _AT
    words[at + page.SOFT] = slow_at
    if slow_at < words[page.WATCHING]:
        sheet.wake_watcher()


def disarm(sheet: Page, at: int) -> None:
    """In the worker: the hook has ended."""
    words = sheet.words
    words[at + page.SOFT] = words[at + page.HARD] = 0  # in this order


def running(sheet: Page) -> Iterator[Running]:
    """The hooks that run under a limit; each reading is of one and the same number."""
    words = sheet.words
    for slot in range(sheet.used()):
        at = page.slot_index(slot)
        hard = words[at + page.HARD]
        hook = hard >> HOOK_SHIFT
        if not 0 < hook < len(HOOKS):
            continue
        word, slow_at = words[at], words[at + page.SOFT]
        if slow_at and word & 7 in page.OPEN and words[at + page.HARD] == hard and words[at] == word:
            yield Running(slot, word >> 3, HOOKS[hook], slow_at, hard & _AT)
