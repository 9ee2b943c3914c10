"""What the head of a message on a page tells; the rest of the message is not there."""

from __future__ import annotations

TRACE = "trace:"
"""What begins a notice about all tasks of a trace: the task with this id, and whatever was pushed from it."""


def id_of(head: bytes) -> str | None:
    """The task id in the first bytes of a message (`docs/wire-format.md`); None if they hold none that can be read.

    `codec.read_head` reads whole messages only, because it checks their sum; a page holds no more than the head.
    """
    at, found = 2, b""
    for _ in range(3):
        if at >= len(head):
            return None
        found, at = head[at + 1 : at + 1 + head[at]], at + 1 + head[at]
    if at > len(head) or not found:
        return None
    text = found.decode(errors="replace")
    return text if text.isprintable() else None
