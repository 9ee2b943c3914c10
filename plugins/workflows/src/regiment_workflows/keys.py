"""Where the records and joins of a flow are, and what their ranks mean. Nothing else makes these names."""

from __future__ import annotations

from hashlib import blake2s

from regiment_results.records import FINAL, note_rank

NAME = "workflows"
"""Of the extension, and of what it writes into messages."""
RUNNING, FAILED, CANCELLED, SUCCESS = 0, 1, 2, 3
"""Ranks of a flow's record (W6): a success overrides a failure, for a retried flow that completes has succeeded; nothing
overrides a success, and a failure that comes late does not override that it was cancelled.
"""
STATES = {RUNNING: "running", FAILED: "failed", CANCELLED: "cancelled", SUCCESS: "success"}
NO, YES, GROWN = 0, 1, 2
"""How a step has ended, as the rank of its record tells: failed for good, succeeded, succeeded and continued by a piece."""
CHUNK = 1000
"""Members of one chunk of a group."""
LONGEST_INSIDE = 40
"""Characters of a name that stands in the names of what its step has returned."""
FORBIDDEN = "\t/!+~@"
"""What no flow's id and no step's name has; a step's name has no dot either."""


def step_rank(date: float, how: int) -> int:
    """The rank of the record of a step: who was revived and has succeeded, has succeeded, whatever comes late."""
    return FINAL + 4 * note_rank(date) + how


def how_of(rank: int) -> int:
    """How the step has ended whose record has this rank."""
    return rank & 3


def flow_key(flow: str) -> str:
    """The record that says how the flow stands, at its home queue."""
    return f"w:{flow}"


def plan_key(flow: str, grown: str = "") -> str:
    """What the flow is made of: plain data, at each queue that it goes through; `grown`: what a step's piece added."""
    return f"w:{flow}\tplan\t{grown}"


def payloads_key(flow: str, grown: str = "") -> str:
    """The messages of its steps, for those who must send one again; at home."""
    return f"w:{flow}\tpayloads\t{grown}"


def cancelled_key(flow: str) -> str:
    """There, at each queue of the flow, once it was cancelled."""
    return f"w:{flow}\tcancelled"


def skipped_key(flow: str) -> str:
    """There, at home, if steps were skipped."""
    return f"w:{flow}\tskipped"


def count_key(flow: str, node: str) -> str:
    """How many members a streamed group has; there once it is sealed."""
    return f"w:{flow}\tcount\t{node}"


def end_join(flow: str) -> str:
    """Where the last steps arrive."""
    return f"w:{flow}"


def latch(flow: str, episode: int) -> str:
    """Where the first failure of an episode arrives; each retry begins another one (W10)."""
    return f"w:{flow}!{episode}"


def inside(node: str, member: int | None = None) -> str:
    """What begins the names of the steps that a step, or a member, has returned. It stays short, however deep that goes."""
    name = node if member is None else f"{node}~{member}"
    return name if len(name) <= LONGEST_INSIDE else f"@{blake2s(name.encode(), digest_size=12).hexdigest()}"


def join(flow: str, node: str) -> str:
    """Where those arrive that a step waits for; of a group: its chunks."""
    return f"w:{flow}/{node}"


def trigger(flow: str, node: str) -> str:
    """Where those arrive that a group waits for."""
    return f"w:{flow}/{node}/!"


def chunk_join(flow: str, node: str, chunk: int) -> str:
    """Where the members of a chunk arrive."""
    return f"w:{flow}/{node}/{chunk}"


def task_id(flow: str, node: str, member: int | None = None) -> str:
    """The id of a step's task, or of a member's (W3)."""
    return f"{flow}.{node}" if member is None else f"{flow}.{node}.{member}"
