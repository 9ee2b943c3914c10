"""What faulthandler wrote of a worker's stacks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


def blackbox_lines(path: Path) -> Iterator[str]:
    """What faulthandler wrote of a worker's stacks."""
    with contextlib.suppress(OSError):
        yield from path.with_suffix(".stacks").read_text(errors="replace").splitlines()
