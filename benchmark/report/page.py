"""Files of a run: `NAME.json` (figures), `NAME.md` (tables), `*.svg` (charts)."""

from __future__ import annotations

import json
from pathlib import Path

from benchmark.peers import systems
from benchmark.peers.system import System, Variant
from benchmark.report import growth
from benchmark.report.charts import Bar, chart
from benchmark.report.journal import Journal
from benchmark.report.summary import Summary
from benchmark.report.tables import FAULTS, TABLES, Row, behind, number, render

CHARTS = (
    (
        "worker-cpu",
        "CPU of the worker tree, per no-op task on Redis",
        "µs, log scale; less is better",
        "consume",
        "worker_us",
    ),
    ("push-cpu", "CPU of the client, per push to Redis", "µs, log scale; less is better", "push", "client_us"),
    (
        "latency",
        "From a push to the start of its task, idle worker on Redis",
        "ms (p50), log scale; less is better",
        "latency",
        "p50_ms",
    ),
    ("kill", "kill -9 of a worker: until its task runs again", "seconds, log scale; less is better", "kill", "again_s"),
    (
        "regex",
        "Endless regex with a limit of 1 s: until the worker works again",
        "seconds, log scale; less is better",
        "hang",
        "works_again_s",
    ),
)
COLORS = {"regiment": "#1a7f37", "limit": "#8c959f"}
OTHER = "#0969da"


def write(journal: Journal, base: Path) -> str:
    """Write the files beside `base`; says which."""
    summary = Summary(journal.records)
    rows = list(summary.rows(systems.ALL))
    written = [base.with_suffix(".json"), base.with_suffix(".md")]
    written[0].write_text(json.dumps(summary.plain(), indent=1) + "\n")
    written[1].write_text(page(summary, rows))
    for name, title, under, phase, figure in CHARTS:
        bars = [bar for row in rows if (bar := _bar(summary, row, phase, figure))]
        if bars:
            written.append(base.with_name(f"{base.name}-{name}.svg"))
            written[-1].write_text(chart(title, under, bars))
    return "written: " + ", ".join(path.name for path in written)


def filled(journal: Journal) -> str:
    """The tables that have figures, to be printed."""
    summary = Summary(journal.records)
    rows = list(summary.rows(systems.ALL))
    texts = [render(summary, table, rows) for table in TABLES]
    failed = [f"failed: {' '.join(who)}: {error}\n" for who, error in summary.failed.items()]
    grown = [text for text in [growth.tables(summary)] if text]
    return "\n".join([text for text in texts if text.count("\n| ") > 1] + grown + failed)


def page(summary: Summary, rows: list[Row]) -> str:
    """All tables, with what one must know to read them."""
    machine = ", ".join(f"{name} {value}" for name, value in summary.machine.items())
    dates = f"{min(summary.dates, default='')} to {max(summary.dates, default='')}"
    parts = [
        f"# Benchmark\n\n{dates}. {machine}. How it is measured: docs/benchmark.md. Figures of one run on one machine: "
        "ratios say more than times.\n"
    ]
    lines = behind(summary, rows)
    parts.append(
        "## Where regiment is behind\n\nregiment beside all peers on Redis, whatever they promise: one task at a time, and in batches those that have them.\n\n"
        + ("\n".join(f"- {line}" for line in lines) or "Nowhere in this run.")
        + "\n"
    )
    for table in TABLES:
        last = ("promise for a dead worker's task", _promise) if table is FAULTS else None
        parts.append(render(summary, table, rows, last))
    if grown := growth.tables(summary):
        parts.append(grown)
    parts.append(
        "## Versions\n\n"
        + "\n".join(
            f"- {name}: {', '.join(f'{k} {v}' for k, v in found.items())}"
            for name, found in sorted(summary.versions.items())
        )
        + "\n"
    )
    if summary.failed:
        parts.append(
            "## What could not be measured\n\n"
            + "\n".join(
                f"- {system} ({variant}), {group}: {error}"
                for (system, variant, group), error in summary.failed.items()
            )
            + "\n"
        )
    return "\n".join(parts)


def _promise(row: tuple[System, Variant]) -> str:
    return row[1].promise


def _bar(summary: Summary, row: Row, phase: str, name: str) -> Bar | None:
    system, variant = row
    figure = summary.get(system.name, variant.title, phase, name)
    if figure is None or variant.store != "redis" or variant.release:
        return None
    color = COLORS.get(system.name, OTHER)
    label = f"{system.name} ({variant.title})"
    if figure.median is None:
        lost = summary.median(system.name, variant.title, phase, "lost")
        waited = summary.median(system.name, variant.title, phase, "waited_s")
        return Bar(label, None, f"never in {waited:g} s" + (f", {lost:g} lost" if lost else ""), color)
    return Bar(label, figure.median, number(figure.median), color)
