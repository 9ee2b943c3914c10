"""`regiment demo`: real work by real workers, with a progress bar, a summary, and the commands to type next."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import click

from regiment import exits
from regiment_cli.printing import draw, put, say
from regiment_console import demo_app as app

LOOKS = 0.2
"""Seconds between two looks at the queue."""
AS_DATA = ("--burst", "--log-format", "json", "--log-level", "INFO")
LINES = 2.0
"""Seconds between two lines of progress without a terminal."""
PLANTED = {"no_colon.py": "def greet(name)\n    print(name)\n", "half.py": "greeting = 'hello\n"}


@click.command("demo")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), help="Worker processes.")
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for queue, results and log.  [default: a new one among the temporary files]",
)
@click.option("--connector", metavar="URL", help="Another store than an SQLite file in that folder.")
@click.pass_context
def demo(ctx: click.Context, workers: int, keep: Path | None, connector: str | None) -> None:
    """Parse every source file of this Python's standard library in supervised workers.

    Files that are no valid Python become dead letters with the reason, one task that never ends is stopped at its
    limit, and killing a worker meanwhile loses nothing.
    """
    folder = _folder(keep)
    try:
        ctx.exit(Demo(folder, connector, workers).run())
    finally:
        with suppress(OSError):
            folder.rmdir()  # only if it was refused before anything was written


command = demo


class Told(NamedTuple):
    """The results at the end of the demo."""

    rows: list[list[str]]
    letters: list[tuple[str | None, str, dict[str, Any]]]
    """For each dead letter: the file (None: the endless task), the task's id and the reason."""
    missing: int
    """Tasks without a result and without a dead letter."""
    again: int
    """Files with more than one result."""


class Demo:
    """One run of the demo, in `folder`."""

    def __init__(self, folder: Path, connector: str | None, workers: int) -> None:
        from regiment.build import make_broker
        from regiment.queue import Queue

        self.folder, self.workers = folder, workers
        self.results, self.log = folder / "results.csv", folder / "workers.log"
        self.url = connector or f"sqlite:///{quote(str(folder / 'queue.db'))}"
        self.queue = Queue(app.QUEUE, connector=self.url)
        self.broker = make_broker(self.queue.config, "regiment demo")
        self.terminal = sys.stdout.isatty()
        self._bar = ""
        self._interrupts: list[bool] = []

    def run(self) -> int:
        """Queue the files, supervise the workers, print the summary; returns the exit code."""
        self._refuse_what_is_not_ours()
        files, planted = self._files()
        total = len(files) + 1
        self._begin(files, planted)
        began = time.monotonic()
        # Ctrl-C is noted, not raised: inside `Popen.poll` it could leave a lock for which `wait` waits without end.
        before = signal.signal(signal.SIGINT, lambda *_: self._interrupts.append(True))
        try:
            process = self._supervise()
            self._follow(process, total)
            if self._interrupts:
                put("\nstopping: what runs is finished, the rest goes back")
                process.send_signal(signal.SIGTERM)
            process.wait()
        finally:
            signal.signal(signal.SIGINT, before)
        return self._end(files, process.returncode, time.monotonic() - began)

    # Before

    def _refuse_what_is_not_ours(self) -> None:
        made = self.broker.make()
        if not made.capabilities.shared:
            raise click.UsageError(
                f"{made.describe()} lives in one process; the demo's workers need a store that several share"
            )
        store = self.broker.open("push")
        try:
            counts = store.counts(app.QUEUE)
        finally:
            store.close()
        held = counts.ready + counts.delayed + counts.leased + counts.dead
        if held:
            raise click.UsageError(
                f'the queue "{app.QUEUE}" of {self.url} holds {held:,} tasks already; name another store, '
                f"or empty it: regiment queues purge {app.QUEUE}, regiment dead purge {app.QUEUE}"
            )

    def _files(self) -> tuple[list[str], bool]:
        """The files to parse, and whether two broken ones had to be planted among them."""
        library = Path(sysconfig.get_path("stdlib"))
        strangers = {"site-packages", "dist-packages", "__pycache__"}
        files = sorted(
            str(path)
            for path in library.rglob("*.py")
            if not strangers.intersection(path.relative_to(library).parts) and path.is_file()
        )
        if not files:
            raise click.ClickException(f"no Python source file in {library}: this interpreter came without its sources")
        broken = any(_is_broken(path) for path in files if os.path.basename(path).startswith("bad"))
        if not broken:
            place = self.folder / "planted"
            place.mkdir()
            for name, text in PLANTED.items():
                (place / name).write_text(text)
                files.append(str(place / name))
        return files, not broken

    def _begin(self, files: list[str], planted: bool) -> None:
        began = time.monotonic()
        third = len(files) // 3
        pushing = self.queue.options(name="count")
        pushing.push_many({"path": path} for path in files[:third])
        self.queue.options(name="match_forever").push()
        pushing.push_many({"path": path} for path in files[third:])
        self.broker.close()
        self.queue.broker.close()
        seconds = time.monotonic() - began
        put(
            f"{len(files):,} Python files of {sysconfig.get_path('stdlib')}, to be parsed and counted\n"
            f"    1 regular expression that never ends, to be stopped after {app.LIMIT:g} s"
        )
        if planted:
            put(f"    2 of the files are no valid Python, planted in {self.folder}/planted: this library has none")
        put(f'queued on "{app.QUEUE}" in {seconds:.2f} s; the tasks live in {self.url}\nlog of the workers: {self.log}')

    def _supervise(self) -> subprocess.Popen[bytes]:
        with open(self.results, "x", encoding="ascii") as file:
            file.write(",".join(app.COLUMNS) + "\n")
        env = {**os.environ, "REGIMENT_CONNECTOR": self.url, app.RESULTS: str(self.results)}
        with open(self.log, "wb") as log:
            # -P: no module of the current folder may replace one of the library.
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "regiment", "run", f"{app.TARGET}={self.workers}", *AS_DATA],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    # Meanwhile

    def _follow(self, process: subprocess.Popen[bytes], total: int) -> None:
        """Show progress until the supervisor has ended."""
        from regiment.errors import StoreUnavailable

        events, store = Events(self.log), self.broker.open("look")
        began = spoke = time.monotonic()
        ready: list[int] = []
        try:
            while process.poll() is None and not self._interrupts:
                time.sleep(LOOKS)
                for event in events.new():
                    self._tell(event, ready)
                with suppress(StoreUnavailable):
                    counts = store.counts(app.QUEUE)
                    done = total - counts.ready - counts.delayed - counts.leased
                    now = time.monotonic()
                    if self.terminal:
                        self._draw(_bar(done, total, counts.dead, now - began))
                    elif now - spoke >= LINES:
                        spoke = now
                        put(f"{done:,} of {total:,} tasks, {done / (now - began):,.0f}/s, {counts.dead} dead letters")
        finally:
            store.close()
            self._draw("")

    def _tell(self, event: dict[str, Any], ready: list[int]) -> None:
        """Print the events of workers that a person should know, as they happen."""
        name, pid = event.get("event"), event.get("worker")
        if name == "worker.ready":
            ready.append(int(str(pid)))
            if len(ready) == self.workers:
                self._say(
                    f"workers {', '.join(map(str, ready))} are at work. Try it: kill -9 {ready[0]}   "
                    "(nothing will be lost)"
                )
            elif len(ready) > self.workers:
                self._say(f"worker {pid} took its place")
        elif name == "worker.crashed":
            self._say(f"worker {pid or ''} ended: {event.get('reason')}")
        elif name == "task.timeout":
            seconds = event.get("seconds", 0)
            after = f" (after {seconds:.2f} s)" if seconds >= app.LIMIT else ""
            self._say(f"the endless regular expression was stopped at its limit of {app.LIMIT:g} s{after}")

    def _say(self, text: str) -> None:
        bar = self._bar
        self._draw("")
        put(text)
        self._draw(bar)

    def _draw(self, bar: str) -> None:
        """Draw this bar in place of the last one."""
        if bar != self._bar:
            draw(bar, "\r\033[K")
            self._bar = bar

    # After

    def _end(self, files: list[str], code: int, seconds: float) -> int:
        told = self._told(files)
        died = [event for event in Events(self.log).new() if event.get("event") == "worker.crashed"]
        total, finished = len(files) + 1, len(files) + 1 - told.missing
        totals = [sum(int(row[column]) for row in told.rows) for column in range(1, 5)]
        parsed = len({row[0] for row in told.rows})
        put(
            f"\n{finished:,} tasks in {seconds:.1f} s: {finished / seconds:,.0f} tasks/s with {self.workers} "
            f"worker{'s' * (self.workers > 1)}\n"
            f"{parsed:>7,} files parsed: {totals[0]:,} lines, {totals[1]:,} classes, {totals[2]:,} functions\n"
            f"{len(told.letters):>7,} dead letters"
        )
        for (why, example), number in _by_reason([reason for _, _, reason in told.letters]):
            put(f"{number:>11,}  {why}, such as: {example}" if number > 1 else f"{number:>11,}  {why}: {example}")
        put(f"{told.again:>7,} duplicates run")
        if died:
            put(f"{len(died):>7,} worker{'s' * (len(died) > 1)} killed and replaced; only what it was at began again")
        put(f"results: {self.results}")
        if told.missing:
            say(
                f"{told.missing:,} of {total:,} tasks are not done (the supervisor ended with {code}); they wait in the "
                f"queue. What happened stands in {self.log}; its last lines:\n{_tail(self.log)}",
            )
            return exits.BAD
        put("\nnow try:")
        for line in self.next_commands(told):
            put(f"  {line}")
        return exits.OK

    def _told(self, files: list[str]) -> Told:
        """Compare the queued files with their results, file by file."""
        with open(self.results, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))[1:]
        letters: list[tuple[str | None, str, dict[str, Any]]] = []
        store = self.broker.open("look")
        try:
            for letter in store.dead(app.QUEUE, len(files) + 1):
                task = self.broker.codec.decode(letter.payload, app.QUEUE)
                letters.append((task.kwargs.get("path"), task.id, json.loads(letter.reason)))
        finally:
            store.close()
        ends = [*(row[0] for row in rows), *(path for path, _, _ in letters)]
        missing = {*files, None} - set(ends)
        return Told(rows, letters, len(missing), len(ends) - len(set(ends)))

    def next_commands(self, told: Told) -> list[str]:
        """Three commands that work now."""
        where = f"--connector {shlex.quote(self.url)}"
        endless = next((task_id for path, task_id, _ in told.letters if path is None), "ID")
        return [
            f"{_program()} dead list {app.QUEUE} --group {where}",
            f"{_program()} dead show {endless} {where}",
            f"{_program()} queues list {where}",
        ]


class Events:
    """The events in a log of JSON lines, as they are written."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0

    def new(self) -> Iterator[dict[str, Any]]:
        """The events since the last call; an incomplete line waits, a line that is no event is ignored."""
        with open(self._path, "rb") as file:
            file.seek(self._at)
            lines = file.readlines()
        for line in lines:
            if not line.endswith(b"\n"):
                break
            self._at += len(line)
            with suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict):
                    yield event


def _bar(done: int, total: int, dead: int, seconds: float) -> str:
    text = f" {done:,} of {total:,} tasks, {done / seconds:,.0f}/s, {dead} dead letters"
    width = max(10, min(60, shutil.get_terminal_size().columns - len(text) - 3))
    full = width * done // total
    return f"[{'#' * full}{'-' * (width - full)}]{text}"


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="regiment-demo-"))
    if (keep / "results.csv").exists():
        raise click.BadParameter(
            f"{keep} holds the results of an earlier demo; name another folder", param_hint="--keep"
        )
    keep.mkdir(mode=0o700, parents=True, exist_ok=True)
    return keep.absolute()


def _is_broken(path: str) -> bool:
    import ast

    try:
        ast.parse(Path(path).read_bytes())
    except (SyntaxError, ValueError):
        return True
    return False


def _by_reason(reasons: list[dict[str, Any]]) -> list[tuple[tuple[str, str], int]]:
    """((reason, an example of it), how many), the most frequent first."""
    texts: dict[str, list[str]] = {}
    for reason in reasons:
        kind = reason["kind"]
        why = kind if kind == "timeout" else reason.get("error_type") or kind
        texts.setdefault(why, []).append(str(reason.get("error", "")).partition("\n")[0])
    found = [((why, min(seen, key=len)), len(seen)) for why, seen in texts.items()]
    return sorted(found, key=lambda one: -one[1])


def _program() -> str:
    """The command that runs `regiment` here."""
    called = Path(sys.argv[0])
    if called.name != "regiment" or not called.is_file():
        return "regiment" if shutil.which("regiment") else f"{shlex.quote(sys.executable)} -m regiment"
    found = shutil.which("regiment")
    return "regiment" if found and called.samefile(found) else shlex.quote(str(called))


def _tail(path: Path, lines: int = 5) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
