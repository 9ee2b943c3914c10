"""Bar charts as SVG: bars on a logarithmic scale, because between a limit and a slow system there are three orders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, LABEL, ROW, TOP = 760, 230, 22, 58


class Bar(NamedTuple):
    """One row. Without a value, `text` stands where the bar would be."""

    label: str
    value: float | None
    text: str
    color: str


def chart(title: str, under: str, bars: Sequence[Bar]) -> str:
    """The chart as SVG text."""
    known = [bar.value for bar in bars if bar.value]
    least, most = (min(known), max(known)) if known else (1.0, 10.0)
    low = math.floor(math.log10(least))
    span = max(1.0, math.log10(most) - low)
    room = WIDTH - LABEL - 90
    height = TOP + ROW * len(bars) + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="16" font-weight="600" fill="#1f2328">{escape(title)}</text>',
        f'<text x="12" y="41" font-size="12" fill="#59636e">{escape(under)}</text>',
    ]
    for power in range(low, math.ceil(low + span) + 1):
        x = LABEL + room * (power - low) / span
        if x <= LABEL + room + 1:
            lines.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 12}" stroke="#d1d9e0"/>')
    for index, bar in enumerate(bars):
        y = TOP + ROW * index
        lines.append(f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end" fill="#1f2328">{escape(bar.label)}</text>')
        long = 0.0
        if bar.value:
            long = max(2.0, room * (math.log10(bar.value) - low) / span)
            lines.append(
                f'<rect x="{LABEL}" y="{y + 3}" width="{long:.1f}" height="{ROW - 7}" rx="2" fill="{bar.color}"/>'
            )
        lines.append(f'<text x="{LABEL + long + 6:.1f}" y="{y + 14}" fill="#1f2328">{escape(bar.text)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
