"""The picture of a flow, as Mermaid and as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

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


def svg(steps: Sequence[Step]) -> str:
    """A drawing of the same: columns by how many steps come before."""
    column: dict[str, int] = {}
    for one in steps:
        column[one.name] = 0
    for _ in steps:
        moved = False
        for one in steps:
            before = [column[need] for need in [*one.needs, _above(one.name)] if need in column]
            at = max(before, default=-1) + 1
            if at > column[one.name]:
                column[one.name], moved = at, True
        if not moved:
            break
    rows: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for one in steps:
        row = rows[column[one.name]] = rows.get(column[one.name], -1) + 1
        places[one.name] = 10 + column[one.name] * (WIDTH + GAP_X), 10 + row * (HEIGHT + GAP_Y)
    width = max((x for x, _ in places.values()), default=0) + WIDTH + 10
    height = max((y for _, y in places.values()), default=0) + HEIGHT + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">'
    ]
    for one in steps:
        x, y = places[one.name]
        for need in [*one.needs, _above(one.name)]:
            if need in places:
                from_x, from_y = places[need]
                lines.append(
                    f'<line x1="{from_x + WIDTH}" y1="{from_y + HEIGHT // 2}" x2="{x}" y2="{y + HEIGHT // 2}" stroke="#666"/>'
                )
    for one in steps:
        x, y = places[one.name]
        fill = COLOURS.get(one.state, "#ffffff")
        lines.append(f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{fill}" stroke="#444"/>')
        lines.append(f'<text x="{x + 8}" y="{y + 18}">{escape(one.name[:26])}</text>')
        lines.append(f'<text x="{x + 8}" y="{y + 35}" fill="#555">{escape(_note(one))}</text>')
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
