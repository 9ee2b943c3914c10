"""`regiment workers`: supervisors, their workers, and what each does now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from regiment.build import connector_use, make_connector
from regiment.config import WorkerConfig
from regiment.errors import StoreError
from regiment_cli import targets
from regiment_cli.options import json_option, settings
from regiment_cli.printing import put, say
from regiment_cli.terminal import show_json
from regiment_cli.text import age, many, table
from regiment_cli.verbs import Group
from regiment_runner.shared.works import Work
from regiment_runner.verbs import trees
from regiment_runner.verbs.trees import Row, Tree

HEAD = ("pid", "target", "queue", "state", "task", "for", "progress", "memory", "cpu", "tasks", "up")
RIGHT = ("pid", "for", "memory", "cpu", "tasks", "up")


@click.group("workers", cls=Group)
def command() -> None:
    """What every worker of this user does now (without a verb: list)."""


@command.command("list")
@click.option("-A", "--app", metavar="MODULE[:NAME]", help="Look also at the store that this worker uses.")
@click.option("--connector", metavar="URL", help="Look also at this store.")
@json_option
def list_workers(app: str | None, connector: str | None, as_json: bool) -> None:
    """What every worker of this user does now, read from shared memory: no store is asked.

    With -A or --connector also the workers of other hosts, as far as that store knows them.
    """
    found, others = trees.look(), list[Row]()
    unreachable: StoreError | None = None
    if app or connector:
        try:
            others = elsewhere(app, connector)
        except StoreError as error:
            unreachable = error  # what is here can be seen without it
    _show(found, others, as_json, asked=bool(app or connector))
    if unreachable is not None:
        raise unreachable


def elsewhere(app: str | None, connector: str | None) -> list[Row]:
    """The workers of other hosts, as far as a store knows them; says which store, and who chose it."""
    config = WorkerConfig(name="cli")
    if app:
        settings().reach_application()
        config = targets.shared_config(app)
    if connector is not None:
        config, why = config.replace(connector=connector), "from --connector"
    else:
        why = f"from -A {app}: {connector_use(config)[1]}"
    store = make_connector(config, why)()
    say(f"store: {store.describe()}, {why}")
    try:
        store.open("look")
        return trees.elsewhere(store.presence().values())
    finally:
        store.close()


def _show(found: list[Tree], others: list[Row], as_json: bool, *, asked: bool) -> None:
    if as_json:
        show_json(
            {
                "supervisors": [tree.record() for tree in found],
                "elsewhere": [row.record() for row in others],
            }
        )
        return
    if not found and not others:
        say("no supervisor of this user runs here" + ("" if asked else "; -A or --connector looks at other hosts"))
    blocks = [f"{summary(tree)}\n{listing(tree.workers)}" for tree in found]
    if others:
        blocks.append(f"on other hosts: {many(len(others), 'worker')}\n{_elsewhere(others)}")
    if blocks:
        put("\n\n".join(blocks))


def summary(tree: Tree) -> str:
    """A supervisor and its targets: how many workers each has, how those before them ended, and why the last did."""
    words = [f"supervisor {tree.pid}"]
    if tree.keeper:
        words.append(f"keeper {tree.keeper}")
    words += [f"up {age(tree.up)}", f"memory {size(tree.memory)}", f"cpu {seconds(tree.cpu)}"]
    if tree.stopping:
        words.append("stopping")
    if tree.heartbeat is not None and tree.heartbeat > 5:
        words.append(f"no sign of life for {age(tree.heartbeat)}")
    lines = ["  ".join(words)]
    for target in tree.targets:
        here = sum(row.target == target["label"] for row in tree.workers)
        low, high = target["low"], target["high"]
        wanted = f"{target['size']}" if low == high else f"{target['size']} ({low}..{high})"
        ends = ", ".join(f"{count:,} {kind}" for kind, count in target["ends"].items())
        last = f"; last: {target['last_end']}" if ends and target["last_end"] else ""
        lines.append(f"  {target['label']}  {here} of {wanted} workers  ended: {ends or 'none'}{last}")
    return "\n".join(lines)


def listing(rows: Iterable[Row], cpu: dict[int, float] | None = None) -> str:
    """One line for each task at work, and for each worker without one. `cpu`: percent by pid, else seconds."""
    return table((cells for row in rows for cells in _cells(row, cpu)), HEAD, right=RIGHT)


def _cells(row: Row, cpu: dict[int, float] | None) -> list[Sequence[object]]:
    used = seconds(row.cpu) if cpu is None else f"{cpu.get(row.pid, 0.0):.0f} %"
    front = (row.pid, row.target, row.queue, row.state)
    lines: list[Sequence[object]] = [
        (
            *front,
            work.name or work.id,
            age(work.seconds),
            progress(work),
            size(row.memory),
            used,
            row.tasks,
            age(row.up),
        )
        for work in row.work
    ]
    # A pid is a name and not a number: no thousands.
    empty = (*front, None, None, None, size(row.memory), used, row.tasks, age(row.up))
    return [(str(cells[0]), *cells[1:]) for cells in lines or [empty]]


def _elsewhere(rows: Iterable[Row]) -> str:
    cells = [(row.host, str(row.supervisor), str(row.pid), row.queue, row.tasks) for row in rows]
    head = ("host", "supervisor", "pid", "queue", "tasks")
    return table(cells, head, right=("supervisor", "pid", "tasks"))


def progress(work: Work) -> str | None:
    """`3/10 parsing`, as the task said it."""
    if work.done is None:
        return None
    of = f"/{work.total:,}" if work.total else ""
    return f"{work.done:,}{of} {work.note}".strip()


def size(count: int | None) -> str:
    """Bytes in MiB."""
    return "-" if count is None else f"{count / 1024 / 1024:,.0f} MiB"


def seconds(count: float | None) -> str:
    """CPU time."""
    return "-" if count is None else f"{count:,.1f} s"
