"""The picture of a flow, as Mermaid and as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from regiment_workflows.states import Step

COLOURS = {"success": "#c8e6c9", "failed": "#ffcdd2", "running": "#bbdefb", "waiting": "#eeeeee", "skipped": "#fff9c4"}
WIDTH, HEIGHT, GAP_X, GAP_Y = 180, 44, 60, 20


def mermaid(steps: Sequence[Step]) -> str:
    """A Mermaid flowchart from left to right."""
    keys = {one.name: f"n{number}" for number, one in enumerate(steps)}
    lines = ["flowchart LR"]
    for one in steps:
        shape = {"group": '[["{}"]]', "gate": '{{{{"{}"}}}}'}.get(one.kind, '["{}"]')
        lines.append(f"    {keys[one.name]}{shape.format(_label(one))}:::{one.state}")
    lines += [f"    {keys[need]} --> {keys[one.name]}" for one in steps for need in one.needs if need in keys]
    lines += [f"    {keys[above]} -.-> {keys[one.name]}" for one in steps if (above := _above(one.name)) in keys]
    lines += [f"    classDef {state} fill:{colour},color:#222" for state, colour in COLOURS.items()]
    return "\n".join(lines) + "\n"


class Box(NamedTuple):
    """A step in its place."""

    step: Step
    x: int
    y: int
    note: str


class Drawing(NamedTuple):
    """Where everything of a picture is, in pixels."""

    width: int
    height: int
    boxes: Sequence[Box]
    lines: Sequence[tuple[int, int, int, int]]
    """From the right side of a box to the left side of another."""


def laid(steps: Sequence[Step]) -> Drawing:
    """The boxes in columns by how many steps come before."""
    column = _columns(steps)
    rows: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for one in steps:
        row = rows[column[one.name]] = rows.get(column[one.name], -1) + 1
        places[one.name] = 10 + column[one.name] * (WIDTH + GAP_X), 10 + row * (HEIGHT + GAP_Y)
    width = max((x for x, _ in places.values()), default=0) + WIDTH + 10
    height = max((y for _, y in places.values()), default=0) + HEIGHT + 10
    lines = []
    for one in steps:
        x, y = places[one.name]
        for need in [*one.needs, _above(one.name)]:
            if need in places:
                from_x, from_y = places[need]
                lines.append((from_x + WIDTH, from_y + HEIGHT // 2, x, y + HEIGHT // 2))
    return Drawing(width, height, [Box(one, *places[one.name], _note(one)) for one in steps], lines)


def _columns(steps: Sequence[Step]) -> dict[str, int]:
    column = {one.name: 0 for one in steps}
    for _ in steps:
        moved = False
        for one in steps:
            before = [column[need] for need in [*one.needs, _above(one.name)] if need in column]
            at = max(before, default=-1) + 1
            if at > column[one.name]:
                column[one.name], moved = at, True
        if not moved:
            break
    return column


def svg(steps: Sequence[Step]) -> str:
    """A drawing of the same."""
    drawing = laid(steps)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{drawing.width}" height="{drawing.height}" font-family="sans-serif" font-size="12">'
    ]
    lines += [f'<line x1="{a}" y1="{b}" x2="{c}" y2="{d}" stroke="#666"/>' for a, b, c, d in drawing.lines]
    for one, x, y, note in drawing.boxes:
        fill = COLOURS.get(one.state, "#ffffff")
        lines.append(f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{fill}" stroke="#444"/>')
        lines.append(f'<text x="{x + 8}" y="{y + 18}">{escape(one.name[:26])}</text>')
        lines.append(f'<text x="{x + 8}" y="{y + 35}" fill="#555">{escape(note)}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _label(one: Step) -> str:
    name = one.name.replace('"', "#quot;")
    return f"{name}<br/>{_note(one)}"


def _note(one: Step) -> str:
    if one.members is not None:
        return f"{one.state} {one.arrived:,} of {one.members:,}"
    return f"{one.state}" + (f" {one.seconds:.1f} s" if one.seconds else "")


def _above(name: str) -> str:
    """The step that has returned the piece in which this one stands."""
    return name.rpartition("+")[0].partition("~")[0]
