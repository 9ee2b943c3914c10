"""The part of a run that the README shows, between two marks; and whoever is behind in it stands there as well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.report.page import CHARTS
from benchmark.report.summary import Summary
from benchmark.report.tables import Column, Row, Table, behind, render

README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- benchmark -->\n", "<!-- /benchmark -->\n"
SHORT = Table(
    "",
    "",
    (
        Column("worker CPU µs", "consume", "worker_us"),
        Column("tasks/s", "consume", "rate"),
        Column("push CPU µs", "push", "client_us"),
        Column("p50 ms", "latency", "p50_ms"),
        Column("idle ms/s", "idle", "tree_ms_per_s"),
        Column("PSS MiB", "memory", "pss_mib"),
        Column("first task s", "start", "start_s"),
        Column("lost by kill -9", "kill", "lost"),
        Column("runs again s", "kill", "again_s"),
        Column("endless regex s", "hang", "works_again_s"),
    ),
)
EACH = {"regiment": "redis 1", "limit": "redis 1", "huey": "redis"}
"""The variant of the short table, where it is not the first."""


def write(summary: Summary, rows: Sequence[Row], name: str) -> str:
    """Put the figures into the README; says so. LookupError without the marks."""
    text = README.read_text()
    if BEGIN not in text or END not in text:
        raise LookupError(f"{README.name} has no {BEGIN.strip()} … {END.strip()} to put the figures between")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(before + BEGIN + _part(summary, rows, name) + END + after)
    return f"written: {README.name}"


def _part(summary: Summary, rows: Sequence[Row], name: str) -> str:
    chosen = [row for row in rows if row[1].title == EACH.get(row[0].name, row[0].variants[0].name)]
    extra = [row for row in rows if row[0].name == "regiment" and row[1].title in ("redis 100", "sqlite 1")]
    order = sorted([*chosen, *extra], key=rows.index)
    table = render(summary, SHORT, order).partition("\n\n\n\n")[2]
    machine = summary.machine
    lines = [
        f"One run, {min(summary.dates)[:10]}, {machine.get('cores')} cores of {machine.get('processor')}, Python {machine.get('python')}; no-op tasks, "
        "one worker, defaults of each, Redis unless it says SQLite (Procrastinate: PostgreSQL); medians (least–most). `limit` is a bare loop without a framework. "
        f"[All figures](benchmark/results/{name}.md), [how they are measured](docs/benchmark.md); `make bench` measures them on your machine.",
        "",
        table,
    ]
    slower = behind(summary, rows)
    if slower:
        lines += [
            "Where regiment is behind a peer on Redis, of any variant:",
            "",
        ]
        lines += [f"- {line}" for line in slower] + [""]
    for chart_name, title, *_ in CHARTS:
        lines.append(f"![{title}](benchmark/results/{name}-{chart_name}.svg)")
    return "\n".join(lines) + "\n"
