"""Numbers, times and curves, as pages show them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from regiment_console import letters

WIDTH, HEIGHT = 120, 28
"""Pixels of a curve."""


def many(number: float) -> str:
    """A whole number with its thousands apart; a small one that is not whole with one digit."""
    if not math.isfinite(number):
        return "?"
    return f"{number:,.0f}" if number == int(number) or number >= 100 else f"{number:,.1f}"


def clock(at: float | None) -> str:
    """A time of the wall clock, as verbs show it; a dash for none."""
    try:
        return letters.clock(at) if at else "–"
    except (ValueError, OverflowError, OSError):
        return "unreadable"


def curve(points: Sequence[int]) -> Markup:
    """A line of these values, as SVG: the newest on the right, the largest at the top."""
    top = max(points, default=0) or 1
    step = WIDTH / max(len(points) - 1, 1)
    line = " ".join(
        f"{index * step:.1f},{HEIGHT - 2 - (HEIGHT - 4) * value / top:.1f}" for index, value in enumerate(points)
    )
    last, most = (points[-1], max(points)) if points else (0, 0)
    return Markup(
        '<svg class="curve" viewBox="0 0 {w} {h}" role="img" aria-label="{label}"><polyline points="{line}"/></svg>'
    ).format(w=WIDTH, h=HEIGHT, label=f"ready and running, now {last:,}, at most {most:,}", line=line)
