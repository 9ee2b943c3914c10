"""The layout of the page: where each word lies, who writes it, and what its values mean. `page` reads and writes them.

| word of the head | written by | says |
|---|---|---|
| MAGIC, BORN | supervisor | that it is a page, and when it was made |
| PID, STATE, TASKS, SLOTS, DEAD_LETTERS | worker | which process, and what it has done |
| FIRST, BASE, LAST, TURN | worker | the numbers of its identity and of its last batch |
| LEASE_UNTIL | keeper, worker | until when the lease holds (R7) |
| REVOKED, LOOKING | keeper | the range that was taken back (R13), and when it looks again |
| WATCHING, ORDERS, MEMORY | supervisor | when it looks again, orders, the limit of memory |
| EFFECTS, END_A, END_B | worker | from which number on there are records in the annex, and how long its halves are |
| BOARD | worker | the version of its queue's notice board that it has read |
| CANCELS | keeper | 1 once any slot was marked as CANCELLING |
| TAKEN | worker | how many tasks of its tally others have taken along |
| DOZING | supervisor | 1 while it is to be told that tasks were leased |

A slot has WORD (number and phase), START, SOFT, HARD, PROGRESS, TOTAL, TALLY of its worker, CONDEMNED and STRUCK of the supervisor, and
CANCELLING of the keeper: the number that is to be cancelled there. The tally lies behind the slots (`tally`).
"""

from __future__ import annotations

import signal
import struct
import time

from regiment.contracts import MOST_SLOTS

IDLE, STARTED, ENDED, JUDGING, RETURNING, DONE = range(6)
PHASES = ("idle", "started", "ended", "judging", "returning", "done")
OPEN = frozenset({STARTED, ENDED, JUDGING, RETURNING})
"""Phases in which a number may not be taken for done (R2)."""

SOFT_SIGNAL = signal.SIGRTMIN + 5
"""The reserved signal of a soft strike; its handler asks the page whether it still applies."""

DUMP_SIGNAL = signal.SIGRTMIN + 6
"""The reserved signal at which a worker writes all its stacks to its black box (faulthandler, no Python runs)."""

HEAD_BYTES = 96
"""How much of a payload is noted: its head, which holds the task's id."""

STOP, QUIET = 1, 2
"""Orders of the supervisor: finish what runs and end; finish what runs and lease nothing."""

DRAIN_WAIT = 0.002
"""Seconds to wait between writing a word and reading another's: longer than any store buffer keeps a write (R15)."""

STARTING, READY, STOPPING = range(3)
"""What `state` says of the worker."""

(
    MAGIC,
    PID,
    STATE,
    FIRST,
    BASE,
    LAST,
    TURN,
    LEASE_UNTIL,
    REVOKED,
    WATCHING,
    ORDERS,
    TASKS,
    BORN,
    SLOTS,
    FENCED,
    LOOKING,
    DEAD_LETTERS,
    MEMORY,
    EFFECTS,
    END_A,
    END_B,
    BOARD,
    CANCELS,
    TAKEN,
    DOZING,
) = range(25)
MOST = (1 << 62) - 1
PAGE_MAGIC = 0x726567696D65_01
JOINS_AT, JOIN_SIZE, JOINS = 512, 256, 8
SLOTS_AT, SLOT_SIZE = 4096, 256
WORD, CONDEMNED, STRUCK, START, SOFT, HARD, PROGRESS, TOTAL = range(8)
CANCELLING, TALLY = SLOT_SIZE // 8 - 1, SLOT_SIZE // 8 - 2
PACK_START = struct.Struct(f"QQQQQ{HEAD_BYTES}s").pack_into
"""Writes START to TOTAL and the head of a payload; the source calls it without the detour of `Page.start`."""
START_AT = 8 * START
HOOK_SHIFT = 59
"""From this bit on a HARD word says which hook it is the limit of (`overdue`); such a one is no killer's. 18 years are below it."""
HEAD_AT, NAME_AT, NAME_SIZE, NOTE_AT, NOTE_SIZE = 64, 160, 32, 192, 48
TALLY_AT, TALLY_SIZE = SLOTS_AT + MOST_SLOTS * SLOT_SIZE, 4096
SIZE = TALLY_AT + TALLY_SIZE
HALF = 512 * 1024
"""Bytes of each half of the annex, which lies behind the tally (`annex`)."""
SIZES = (SIZE, SIZE + 2 * HALF)
"""What a page may measure: without an annex, which is reserved when a task first leaves effects, and with one. Who reads a
page takes both; the annex is there once EFFECTS says from which number on there are records in it.
"""
TRIES = 1000
"""Readings of a consumer until two agree; a worker that writes it all the time is damaging its page."""

SHARED_SLOTS = 16
"""Slots whose memory is reserved with the page; a worker with more reserves them itself."""

JOIN = struct.Struct("QQQ56s104s")
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> int:
    """Nanoseconds of the boot clock: immune to changes of the wall clock, and it goes on while a host sleeps."""
    return time.clock_gettime_ns(CLOCK)


def slot_index(slot: int) -> int:
    """Index of a slot's first word among the words of a page."""
    return (SLOTS_AT + slot * SLOT_SIZE) >> 3
