"""Where the token of a push is remembered: a bit among those of the process that made it, or a key of its own."""

from __future__ import annotations

MADE = 18
"""Letters before the "-" of an id that regiment makes: the process that made it (`regiment.task.new_ids`)."""
BITS = 13
"""Of the number behind the "-", the lowest bits: 8,192 pushes of a process to a queue share a string of 1 KiB."""


WINDOW = 60_000
"""Milliseconds that a token is remembered if nobody says otherwise. Tokens of another window have strings of their own, for the last push
of a string says when all in it end."""


def place(token: str, window: int = WINDOW) -> tuple[str, int | str]:
    """The key behind `S:token`, and the token's bit in it; without one (empty), the key is this token's alone.

    A push of 100,000 tasks a second, one by one, for a minute would leave 6,000,000 keys of 175 bytes. The tokens of its process are
    numbers that ascend, so their bits lie side by side: 1 MB. It is exact: any token may come again at any time within the window,
    from any thread, connection or process. A token of another shape, as of a relay that makes them from rows, has a key.
    """
    number = token[MADE + 1 :]
    if token[MADE : MADE + 1] == "-" and token.isascii() and number.isalnum() and len(number) <= 12:
        try:
            value = int(number, 16)
        except ValueError:
            return ":" + token, ""
        if f"{value:x}" == number:
            others = "" if window == WINDOW else f"~{window}"
            return f"s:{token[:MADE]}-{value >> BITS:x}{others}", value & (1 << BITS) - 1
    return ":" + token, ""
