"""The Markdown tables of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmark.measure.places import ABSENT
from benchmark.peers.system import System, Variant
from benchmark.report.summary import Figure, Summary

Row = tuple[System, Variant]


class Column(NamedTuple):
    """One figure as a column."""

    title: str
    phase: str
    name: str
    ratios: bool = False
    """Whether its ratios to regiment and to the limit follow it."""


class Table(NamedTuple):
    """A heading, what it means, and its columns."""

    title: str
    text: str
    columns: Sequence[Column]


SPEED = Table(
    "Work and pushes",
    "CPU µs per no-op task, median of the rounds (least to most; of a quick run's turns the middle, with the quartiles): the client's, the worker tree's with all its processes, "
    "the server's. ×g: to regiment on the same store with one task at a time; ×l: to the bare loop there.",
    (
        Column("worker", "consume", "worker_us", True),
        Column("server", "consume", "server_us"),
        Column("tasks/s, 1", "consume", "rate"),
        Column("tasks/s, 2", "two", "rate"),
        Column("trips", "consume", "trips"),
        Column("bytes", "consume", "bytes"),
        Column("push: client", "push", "client_us", True),
        Column("server", "push", "server_us"),
        Column("bulk: client", "bulk", "client_us"),
    ),
)
WAITING = Table(
    "Waiting, starting, memory",
    "Milliseconds from before a push to the start of its task in an idle worker; CPU ms and commands per second of an idle "
    "worker tree; seconds from the start of the worker to its first task; MiB (PSS) of the tree of one worker.",
    (
        Column("p50 ms", "latency", "p50_ms", True),
        Column("p99 ms", "latency", "p99_ms"),
        Column("idle tree ms/s", "idle", "tree_ms_per_s"),
        Column("idle server ms/s", "idle", "server_ms_per_s"),
        Column("commands/s", "idle", "commands_per_s"),
        Column("first task s", "start", "start_s"),
        Column("PSS MiB", "memory", "pss_mib"),
    ),
)
RESULTS = Table(
    "Results",
    "Milliseconds from the end of a task, by its own last act, to the return of its result to who waits for it, one task at a time. "
    "10,000 waits in one process for tasks that nobody runs, in one call (`await_all`) and with a coroutine for each: threads and "
    "connections more, CPU s until all wait, CPU ms/s afterwards, MiB more; and MiB of as many coroutines that wait for nothing of ours.",
    (
        Column("p50 ms", "wait", "p50_ms"),
        Column("p99 ms", "wait", "p99_ms"),
        Column("worst ms", "wait", "worst_ms"),
        Column("results", "wait", "results"),
        Column("10,000: threads", "waiters together", "threads"),
        Column("connections", "waiters together", "connections"),
        Column("begin s", "waiters together", "begin_s"),
        Column("idle ms/s", "waiters together", "idle_ms_per_s"),
        Column("MiB", "waiters together", "mib"),
        Column("coroutines: threads", "waiters each", "threads"),
        Column("connections", "waiters each", "connections"),
        Column("begin s", "waiters each", "begin_s"),
        Column("idle ms/s", "waiters each", "idle_ms_per_s"),
        Column("MiB", "waiters each", "mib"),
        Column("bare MiB", "waiters bare", "mib"),
    ),
)
FLOWS = Table(
    "Flows",
    "Milliseconds from before the start of a chain of 10 to the end of its last task, beside ten plain tasks that are pushed one by one; the same of a chord "
    "of 1,000 (fewer for the slowest), to the start of its callback; from the end of the last member to that start; CPU µs of the client for each task. One worker, "
    "each system as it documents its flows.",
    (
        Column("chain ms", "chain", "ms"),
        Column("10 tasks ms", "chain", "plain_ms"),
        Column("×", "chain", "ratio"),
        Column("members", "chord", "tasks"),
        Column("chord ms", "chord", "ms"),
        Column("as many tasks ms", "chord", "plain_ms"),
        Column("×", "chord", "ratio"),
        Column("callback ms", "chord", "callback_ms"),
        Column("client µs", "chord", "client_us"),
    ),
)


def _paired(phase: str) -> tuple[Column, ...]:
    return (
        Column("worker before", phase, "worker_us"),
        Column("worker +", phase, "worker_us more"),
        Column("worker ×", phase, "worker_us ratio"),
        Column("server before", phase, "server_us"),
        Column("server +", phase, "server_us more"),
        Column("server ×", phase, "server_us ratio"),
        Column("trips +", phase, "trips more"),
        Column("bytes +", phase, "bytes more"),
        Column("push: client ×", phase, "client_us ratio"),
        Column("push: server ×", phase, "push_server_us ratio"),
    )


KEPT = Table(
    "What a kept result costs",
    "CPU µs per task that returns 100 bytes, with results beside without, in pairs of turns: the worker tree's, the server's; round trips "
    "and bytes; and a push (in batches: in bulk) that is noted beside one that is not. The middle of the pairs, with the quartiles.",
    _paired("kept"),
)
BESIDE = Table(
    "Beside another checkout",
    "The same for a task without results, of this checkout beside the other.",
    _paired("beside"),
)
FAULTS = Table(
    "kill -9, and a task that never ends",
    "One of two workers is killed in a task: tasks of 200 that were lost (or still held by the dead one when nothing had happened "
    "for the time in brackets), started twice, seconds until the interrupted ones started again, and seconds that all were done "
    "later than two workers could have done what was left. Regex: seconds from the start of an endless regular expression "
    "with a limit of 1 s to the start of the task behind it.",
    (
        Column("lost", "kill", "lost"),
        Column("twice", "kill", "twice"),
        Column("again s", "kill", "again_s"),
        Column("late s", "kill", "late_s"),
        Column("regex s", "hang", "works_again_s"),
    ),
)
LARGE = Table(
    "Large arguments, a million waiting tasks",
    "CPU µs per task, client + worker + server, with an argument of so many bytes; bytes of the server for each of so many "
    "waiting tasks, and CPU µs of a worker beside them.",
    (
        *(
            Column(f"{size} {part}", f"size {size}", f"{part}_us")
            for size in ("1 kB", "100 kB", "1 MB")
            for part in ("client", "worker", "server")
        ),
        Column("waiting", "million", "waiting"),
        Column("bytes each", "million", "server_bytes"),
        Column("worker", "million", "worker_us"),
    ),
)
TABLES = (SPEED, WAITING, RESULTS, FLOWS, FAULTS, LARGE, KEPT, BESIDE)
RANKED = (SPEED, WAITING, RESULTS, FAULTS)
"""Those in which regiment is ranked among its peers."""


def number(value: float) -> str:
    """Three figures of it."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cell(figure: Figure | None, waited: float | None) -> str:
    if figure is None:
        return "–"
    if figure.median is None:
        return f"never ({waited:g} s)" if waited else "never"
    text = number(figure.median)
    if figure.least != figure.most and figure.least is not None and figure.most is not None:
        text += f" ({number(figure.least)}–{number(figure.most)})"
    return text


def render(
    summary: Summary, table: Table, rows: Sequence[Row], last: tuple[str, Callable[[Row], str]] | None = None
) -> str:
    """One table; rows without any of its figures are left out."""
    heads = ["system"]
    for column in table.columns:
        heads += [column.title, "×g", "×l"] if column.ratios else [column.title]
    if last:
        heads.append(last[0])
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for system, variant in rows:
        cells, seen = [f"{system.name} ({variant.title})"], False
        for column in table.columns:
            who = (system.name, variant.title, column.phase)
            figure = summary.get(*who, column.name)
            seen = seen or figure is not None
            cells.append(_cell(figure, summary.median(*who, "waited_s")))
            if column.ratios:
                for other in ("regiment", "limit"):
                    ratio = summary.ratio(system.name, variant, other, column.phase, column.name)
                    cells.append(f"{ratio:.2f}" if ratio is not None else "–")
        if not seen and (system.name, variant.title) in summary.absent and not variant.only:
            cells[1:], seen = [ABSENT] * len(cells[1:]), True
        if last:
            cells.append(last[1]((system, variant)))
        if seen:
            lines.append(f"| {' | '.join(cells)} |")
    return f"## {table.title}\n\n{table.text}\n\n" + "\n".join(lines) + "\n"


def behind(summary: Summary, rows: Sequence[Row]) -> list[str]:
    """Where regiment on Redis is not ahead of every peer there, in a line for each figure. Who takes its tasks in batches is
    compared with regiment in batches of as many. What was lost cannot run twice, so that column is left out.
    """
    said = []
    for table in RANKED:
        for column in table.columns:
            for batch in ("1", "100"):
                if column.name not in ("trips", "bytes", "twice", "results"):
                    said += _behind(summary, rows, column, batch)
    return said


def _behind(summary: Summary, rows: Sequence[Row], column: Column, batch: str) -> list[str]:
    who = f"redis {batch}, results" if column.phase == "wait" else f"redis {batch}"
    mine = summary.get("regiment", who, column.phase, column.name)
    theirs = [
        (value, f"{system.name} ({variant.name})")
        for system, variant in rows
        if system.name not in ("regiment", "limit")
        and variant.store == "redis"
        and not variant.release
        and variant.batch == batch
        and (value := summary.median(system.name, variant.name, column.phase, column.name)) is not None
    ]
    if mine is None or not theirs:
        return []
    what = f"{column.phase}, {column.title}" + (f", in batches of {batch}" if batch != "1" else "")
    if mine.median is None:
        return [f"{what}: regiment never"]
    higher = column.name == "rate"
    ahead = sorted(
        (one for one in theirs if (one[0] > mine.median if higher else one[0] < mine.median)),
        reverse=higher,
    )
    others = ", ".join(f"{name} {number(value)}" for value, name in ahead[:4])
    rank = f"rank {len(ahead) + 1} of {len(theirs) + 1}"
    return [f"{what}: regiment {number(mine.median)}, {rank}, behind {others}"] if ahead else []
