"""`regiment top`: what `regiment workers` shows, live. It reads shared memory and procfs; no worker notices."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from regiment.config import CONNECTOR_VARIABLE
from regiment_cli.failing import failed
from regiment_cli.printing import draw, put
from regiment_cli.reaching import chosen
from regiment_cli.terminal import Duration
from regiment_cli.text import many, table
from regiment_runner.shared.polling import readable
from regiment_runner.verbs import trees
from regiment_runner.verbs.backlog import Backlog
from regiment_runner.verbs.trees import Row, Tree
from regiment_runner.verbs.workers import listing, summary

SORTS: dict[str, Callable[[Row, dict[int, float]], Any]] = {
    "pid": lambda row, cpu: row.pid,
    "time": lambda row, cpu: -max((work.seconds for work in row.work), default=-1.0),
    "memory": lambda row, cpu: -(row.memory or 0),
    "cpu": lambda row, cpu: -cpu.get(row.pid, 0.0),
    "tasks": lambda row, cpu: -row.tasks,
}
"""Ways to sort, in the order of the key `s`; the largest first, but for the pid."""

MOST_TASKS = 8
"""Names of tasks of which a frame shows how many end."""
CLEAR = "\033[H\033[J"
FIRST_ANSWER = 2.0
"""Seconds that the first frame waits for the store."""
SCROLLED = 5
"""Lines by which a key goes down or up."""
_FIRST_LOOK = 0.2
"""Seconds between the two looks of the first frame, from which CPU is known."""


@click.command("top")
@click.option("--interval", type=Duration(), default="1s", show_default=True, help="Time between two frames.")
@click.option("--once", is_flag=True, help="One frame.")
@click.option("--sort", type=click.Choice(list(SORTS)), default="pid", show_default=True)
@click.option("--filter", "wanted", default="", metavar="TEXT", help="Only workers whose line has TEXT in it.")
@click.option("--connector", metavar="URL", help=f"Show the queues of this store.  [default: ${CONNECTOR_VARIABLE}]")
@click.option("-A", "--app", metavar="MODULE[:NAME]", help="Show the queues of this application.")
def command(interval: float, once: bool, sort: str, wanted: str, connector: str | None, app: str | None) -> None:
    """What waits in a store, and what every worker of this user on this host does now, live.

    Keys: q ends, s sorts by the next column, / asks for a filter, j and k go down and up. In a pipe: one frame after another,
    without keys.
    """
    if interval < 0.1:
        raise click.UsageError(f"--interval is {interval:g} s; expected 100ms or more")
    backlog = Backlog(*chosen(None, app, connector), max(interval, 1.0))
    view = View(sort, wanted, backlog)
    view.look()
    backlog.start(FIRST_ANSWER)
    time.sleep(min(_FIRST_LOOK, interval))
    if once or not (sys.stdout.isatty() and sys.stdin.isatty()):
        _frames(view, interval, once)
    else:
        _live(view, interval)


class View:
    """What is shown: the newest look, CPU since the one before, the order and the filter."""

    def __init__(self, sort: str, wanted: str, backlog: Backlog | None = None) -> None:
        self.sort, self.wanted, self._backlog = sort, wanted, backlog
        self.above = 0
        """Lines of a frame that are not shown, as somebody has gone down."""
        self.trees: list[Tree] = []
        self.cpu: dict[int, float] = {}
        self._before: dict[int, tuple[float, float]] = {}
        self.rates: dict[tuple[str, str], tuple[float, float]] = {}
        """(queue, task) -> how many ended and how many failed in a second, since the last look."""
        self._ended: tuple[float, dict[tuple[str, str], tuple[int, int]]] = 0.0, {}

    def look(self) -> None:
        """Look again; CPU is percent of one processor since the last look."""
        now = time.monotonic()
        self.trees = trees.look()
        rows = [row for tree in self.trees for row in tree.workers]
        for row in rows:
            then, used = self._before.get(row.pid, (0.0, 0.0))
            if then and row.cpu is not None and now > then:
                self.cpu[row.pid] = 100 * max(0.0, row.cpu - used) / (now - then)
        self._before = {row.pid: (now, row.cpu or 0.0) for row in rows}
        self.cpu = {pid: used for pid, used in self.cpu.items() if pid in self._before}
        self._rate(now)

    def _rate(self, now: float) -> None:
        totals: dict[tuple[str, str], tuple[int, int]] = {}
        for tree in self.trees:
            for queue, tallied in tree.ended.items():
                for task, row in tallied.items():
                    known = totals.get((queue, task), (0, 0))
                    totals[queue, task] = known[0] + sum(row[:-1]), known[1] + failed(row)
        then, before = self._ended
        self._ended, passed = (now, totals), max(now - then, 1e-3)
        for key, (all_, bad) in totals.items():
            was = before.get(key, (0, 0))
            self.rates[key] = (max(0, all_ - was[0]) / passed, max(0, bad - was[1]) / passed) if then else (0.0, 0.0)
        self.rates = {key: rate for key, rate in self.rates.items() if key in totals}

    def _tasks(self) -> str:
        """What ends, the busiest first."""
        shown = sorted(self.rates.items(), key=lambda one: (-one[1][0], one[0]))[:MOST_TASKS]
        totals = self._ended[1]
        cells = [
            (queue, task or queue, f"{rate[0]:,.1f}/s", f"{rate[1]:,.1f}/s", *totals[queue, task])
            for (queue, task), rate in shown
        ]
        return table(
            cells, ("queue", "task", "ends", "fails", "ended", "failed"), right=("ends", "fails", "ended", "failed")
        )

    def text(self) -> str:
        """One frame."""
        rows = [row for tree in self.trees for row in tree.workers]
        busy = sum(bool(row.work) for row in rows)
        says = f"regiment top  {time.strftime('%H:%M:%S')}  {many(len(rows), 'worker')}, {busy} busy"
        says += f"  sorted by {self.sort}" + (f'  with "{self.wanted}"' if self.wanted else "")
        blocks = [says, *(summary(tree) for tree in self.trees)]
        rows.sort(key=lambda row: SORTS[self.sort](row, self.cpu))
        head, *lines = listing(rows, self.cpu).splitlines()
        blocks.append("\n".join([head, *(line for line in lines if self.wanted in line)]))
        if self.rates:
            blocks.insert(1, self._tasks())
        if not self.trees:
            blocks[1:] = ["no supervisor of this user runs here"]
        if self._backlog is not None and self._backlog.text:
            blocks.insert(1, self._backlog.text)
        return "\n\n".join(blocks)

    def next_sort(self) -> None:
        """Sort by the next column."""
        names = list(SORTS)
        self.sort = names[(names.index(self.sort) + 1) % len(names)]


def _frames(view: View, interval: float, once: bool) -> None:
    """For a pipe; ends when its reader has gone."""
    try:
        while True:
            view.look()
            put(view.text())
            if once:
                return
            put()
            sys.stdout.flush()
            time.sleep(interval)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  what is left to flush goes nowhere


def _live(view: View, interval: float) -> None:
    with contextlib.suppress(KeyboardInterrupt), _keys() as key:
        while True:
            view.look()
            _draw(view)
            until = time.monotonic() + interval
            while (left := until - time.monotonic()) > 0:
                pressed = key(left)
                if pressed in ("q", "\x04"):
                    return
                if pressed == "s":
                    view.next_sort()
                    _draw(view)
                elif pressed in ("j", "k"):
                    view.above = max(0, view.above + (SCROLLED if pressed == "j" else -SCROLLED))
                    _draw(view)
                elif pressed == "/":
                    view.wanted = _ask(key, view)
                    _draw(view)


def _draw(view: View, below: str = "") -> None:
    """Draw a frame over the last one, cut to what the terminal has room for."""
    width, height = shutil.get_terminal_size()
    first, *rest = view.text().splitlines()
    view.above = min(view.above, max(0, len(rest) - height + 3))
    lines = [_cut(line, width) for line in [first, *rest[view.above :]][: height - 2]]
    draw("\n".join([*lines, below or "q ends, s sorts, / filters, j and k scroll"]), CLEAR)


def _cut(line: str, width: int) -> str:
    return line if "\033" in line else line[:width]


def _ask(key: Callable[[float | None], str], view: View) -> str:
    """Read a filter, letter by letter."""
    text = ""
    while True:
        _draw(view, f"filter: {text}_")
        pressed = key(None)
        if pressed in ("\r", "\n", ""):
            return text
        if pressed == "\x1b":
            return view.wanted
        text = text[:-1] if pressed in ("\x7f", "\b") else text + pressed


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float | None], str]]:
    """A function that waits so many seconds for a key; the terminal gives keys at once and shows none of them."""
    import termios
    import tty

    fd = sys.stdin.fileno()
    before: Sequence[Any] = termios.tcgetattr(fd)

    def key(wait: float | None) -> str:
        if not readable(fd, wait):
            return ""
        return os.read(fd, 1).decode(errors="replace") or "q"  # the terminal has gone

    tty.setcbreak(fd)
    sys.stdout.write("\033[?1049h\033[?25l")
    try:
        yield key
    finally:
        sys.stdout.write("\033[?25h\033[?1049l")
        sys.stdout.flush()
        termios.tcsetattr(fd, termios.TCSADRAIN, list(before))
