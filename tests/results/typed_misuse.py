"""What type checkers refuse, one line each (`test_types.py`)."""

from __future__ import annotations

from typed_use import add

add.push(x="1", y=2)  # wrong
add.push(x=1)  # wrong
add.push(x=1, y=2, z=3)  # wrong
add.push(x=1, y=2).result().upper()  # wrong
add.options(delay=1).push(x=None, y=2)  # wrong
add.push(x=1, y=2).result("soon")  # wrong
