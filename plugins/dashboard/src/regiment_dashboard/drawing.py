"""Numbers, times and curves, as pages show them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

from markupsafe import Markup

from regiment_console import letters
from regiment_dashboard.trends import Trend

WIDTH, HEIGHT = 120, 28
"""Pixels of a curve."""
MOST_TEXT, MOST_WHOLE = 2_000, 50_000
"""Characters of a text, and of one that is the matter of its page."""
DRAWN = 1000
"""Curves that are kept as they were drawn: a page of many queues shows most of them again."""
WIDE, TALL = 600, 100
"""Size of a picture of bars, which is drawn as wide as there is room."""


class Whole(str):
    """A text of which a page shows more than of others: it is what somebody came for."""

    __slots__ = ()


def cut(value: object) -> object:
    """What a page shows of a value: of a text that somebody fills as he likes no more than its beginning, and how much is left out."""
    most = MOST_WHOLE if isinstance(value, Whole) else MOST_TEXT
    if not isinstance(value, str) or isinstance(value, Markup) or len(value) <= most:
        return value
    return f"{value[:most]}… and {len(value) - most:,} more characters"


def rendered(text: str) -> Markup:
    """What one of our templates has made, to be put into a page: it has escaped what is in it."""
    return Markup(text)  # noqa: S704


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


@lru_cache(DRAWN)
def curve(points: tuple[int, ...]) -> Markup:
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


def bars(trend: Trend, span: str) -> Markup:
    """A bar for each minute or hour, as SVG: done below, failed above it, and what they are to whoever points at one."""
    drawn = Markup()
    for x, wide, low, high, said in _heights(trend, WIDE, TALL):
        drawn += Markup(
            '<g><title>{said}</title><rect class="done" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{low:.1f}"/>'
            '<rect class="failed" x="{x:.1f}" y="{top:.1f}" width="{w:.1f}" height="{high:.1f}"/></g>'
        ).format(said=said, x=x + 0.5, w=wide - 1, y=TALL - low, low=low, top=TALL - low - high, high=high)
    return Markup(
        '<svg class="bars" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{label}">{drawn}</svg>'
    ).format(w=WIDE, h=TALL, label=_label(trend, span), drawn=drawn)


def spikes(trend: Trend, span: str) -> Markup:
    """The same as small as a curve, in two strokes."""
    return _spikes(trend.step, tuple(trend.bars), span)


@lru_cache(DRAWN)
def _spikes(step: str, bars: tuple[tuple[int, int], ...], span: str) -> Markup:
    trend = Trend(step, bars, ())
    done, failed = "", ""
    for x, wide, low, high, _ in _heights(trend, WIDTH, HEIGHT):
        done += f"M{x + wide / 2:.0f} {HEIGHT}V{HEIGHT - low:.1f}" if low else ""
        failed += f"M{x + wide / 2:.0f} {HEIGHT - low:.1f}V{HEIGHT - low - high:.1f}" if high else ""
    return Markup(
        '<svg class="spikes" viewBox="0 0 {w} {h}" role="img" aria-label="{label}"><path class="done" d="{done}"/>'
        '<path class="failed" d="{failed}"/></svg>'
    ).format(w=WIDTH, h=HEIGHT, label=_label(trend, span), done=done, failed=failed)


def _heights(trend: Trend, width: int, height: int) -> Iterator[tuple[float, float, float, float, str]]:
    """Of each bar that is not empty: place, width, height of what was done and of what failed, and both in words. None vanishes."""
    most, wide = max(map(sum, trend.bars), default=0), width / max(len(trend.bars), 1)
    for index, (done, failed) in enumerate(trend.bars):
        if done or failed:
            high = max(height * failed / most, 2.0) if failed else 0.0
            low = min(max(height * done / most, 1.0), height - high) if done else 0.0
            ago = len(trend.bars) - 1 - index
            when = f"{ago} {trend.step}{'' if ago == 1 else 's'} ago" if ago else f"this {trend.step}"
            yield index * wide, wide, low, high, f"{when}: {done:,} done, {failed:,} failed"


def _label(trend: Trend, span: str) -> str:
    return f"last {span}: {trend.done:,} done, {trend.failed:,} failed"


def lasted(seconds: float | None) -> str:
    """The length of a run, with two or three digits; a dash for none."""
    if seconds is None:
        return "–"
    if seconds < 0.9995:
        return f"{seconds * 1000:.{0 if seconds >= 0.00995 else 1}f} ms"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:,.0f} s"
