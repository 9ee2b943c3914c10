"""The tables of growth: what was done by how much was there, for each store."""

from __future__ import annotations

from collections import defaultdict

from benchmark.report.summary import Summary
from benchmark.report.tables import number

TEXT = (
    "CPU µs for each piece of work, server / client, at the connector, where so many of a kind are there; medians of short slices in one process for each table "
    "(SQLite has no server). Bytes: of the store, for each. "
    + '"Before": the other checkout, on a store of its own in the same run.'
)
BYTES = "bytes"
Cells = dict[str, dict[int, dict[str, float]]]
"""By what was done, how much was there, and the name of the figure."""


def tables(summary: Summary) -> str:
    """All of them; empty if nothing was measured."""
    found: dict[tuple[str, str], Cells] = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for (_, variant, phase, key), figure in summary.figures.items():
        if phase.startswith("growth ") and figure.median is not None:
            what, size, name = key.split("|")
            found[variant.replace(", growth", ""), phase.partition(" ")[2]][what][int(size)][name] = figure.median
    if not found:
        return ""
    parts = [f"## Growth\n\n{TEXT}\n"]
    for (store, subject), cells in found.items():
        parts.append(f"### {store}: {subject}\n\n" + (_weights(cells) if subject == "weights" else _table(cells)))
    return "\n".join(parts)


def _table(cells: Cells) -> str:
    sizes = sorted({size for by_size in cells.values() for size in by_size})
    lines = [f"| | {' | '.join(f'{size:,}' for size in sizes)} |", "|---" * (len(sizes) + 1) + "|"]
    for what, by_size in cells.items():
        for tail in _sides(by_size):
            row = [_cell(by_size.get(size, {}), tail) for size in sizes]
            lines.append(f"| {what}{_unit(by_size, tail)} | {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def _weights(cells: Cells) -> str:
    lines = ["| bytes | of so many | each | before |", "|---|---|---|---|"]
    for what, by_size in cells.items():
        for size, figures in by_size.items():
            told = [number(figures[name]) if name in figures else "–" for name in (BYTES, f"{BYTES} before")]
            lines.append(f"| {what} | {size:,} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def _sides(by_size: dict[int, dict[str, float]]) -> list[str]:
    """What stands behind the names of the figures: the other checkout's first."""
    names = {name for figures in by_size.values() for name in figures}
    return [tail for tail in (" before", "") if any(name.endswith(" before") is bool(tail) for name in names)]


def _unit(by_size: dict[int, dict[str, float]], tail: str) -> str:
    names = {name.removesuffix(" before") for figures in by_size.values() for name in figures}
    unit = ", bytes" if BYTES in names else ", server / client (looks)" if "looks" in names else ""
    return unit + (", before" if tail else "")


def _cell(figures: dict[str, float], tail: str) -> str:
    def of(name: str) -> str:
        return number(figures[name + tail]) if name + tail in figures else "–"

    if BYTES + tail in figures:
        return of(BYTES)
    if f"client_us{tail}" not in figures:
        return "–"
    looks = f" ({of('looks')})" if "looks" + tail in figures else ""
    return f"{of('server_us')} / {of('client_us')}{looks}" if figures[f"server_us{tail}"] else of("client_us")
