"""`regiment dead try`: run the task of a dead letter here, in this terminal, with its arguments; the letter stays as it is."""

from __future__ import annotations

import inspect
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from regiment import exits, log
from regiment.build import make_codec
from regiment.context import attempt_now
from regiment.contracts import Application, Letter
from regiment.errors import Control, DecodeError, Fail, RegimentError, Requeue, Respawn, Retry, Stop, TargetError
from regiment.registry import Registry, registry
from regiment.task import Task
from regiment_cli import targets
from regiment_cli.printing import say
from regiment_cli.text import age
from regiment_console import letters
from regiment_console.dead import command
from regiment_console.store import APP_VARIABLE, Store, open_store, store_options

if TYPE_CHECKING:
    import asyncio

__all__ = ["command"]

_OURS = ("/regiment/", "/regiment_console/", "/regiment_cli/", "/asyncio/")
"""Parts of the paths of frames in which nobody looks for the error of a task."""


class Here:
    """What `current()` is in a task that is tried: an attempt that settles nothing."""

    evidence: dict[str, Any] = {}
    cancelled = False

    def __init__(self, task: Task) -> None:
        self.task: Task | None = task
        self.commit = Uncommitted()

    def check(self) -> None:
        """Nobody cancels it but by Ctrl-C."""

    def remaining(self) -> float | None:
        """There is no limit."""
        return None

    def progress(self, done: int, total: int = 0, note: str = "") -> None:
        """Told here."""
        say(f"progress {done:,}{f' of {total:,}' if total else ''} {note}".rstrip())

    def take(self, number: int, queue: str | None = None) -> NoReturn:
        raise RegimentError("take works in a task that a worker runs; dead try leases nothing")

    def once(self, *words: Any, **how: Any) -> NoReturn:
        raise RegimentError(
            "once works in a task that a worker runs: what is done here is entered nowhere, so the task would do it again when it "
            "is replayed. Revive the letter (dead replay) and let a worker run it"
        )

    def retry(self, **options: Any) -> NoReturn:
        raise Retry(**options)

    def requeue(self, **options: Any) -> NoReturn:
        raise Requeue(**options)

    def fail(self, reason: object = None) -> NoReturn:
        raise Fail(reason=reason)

    def stop(self, *, done: bool = False) -> NoReturn:
        raise Stop(done=done)

    def respawn(self, *, done: bool = False) -> NoReturn:
        raise Respawn(done=done)


class Uncommitted:
    """Says what would have come with the success of the task; nothing of it is done."""

    def push(self, task: Any, /, *args: Any, **kwargs: Any) -> None:
        say(f"not done: commit.push of {getattr(task, 'name', task)}")

    def keep(self, key: str, value: Any, ttl: float | None = None) -> None:
        say(f"not done: commit.keep of {key!r}")


@command.command("try")
@click.argument("id")
@click.option("--queue", "-q", help="Look in this queue only.")
@click.option("--pdb", is_flag=True, help="Where it fails, open the debugger.")
@store_options
def try_letter(id: str, queue: str | None, pdb: bool, app: str | None, connector: str | None) -> int:
    """Run the task of a dead letter here, with its arguments: no time limit, stdin kept, and the letter stays as it is.

    What the task itself does is done: its pushes, its mails. Exit code 0 if it succeeded, 1 if not.
    """
    app = app or os.environ.get(APP_VARIABLE)
    if not app:
        raise click.UsageError(
            "no application is named, and the task's code is in it: -A MODULE", click.get_current_context()
        )
    with open_store(app, connector) as store:
        home, letter = _letter(store, id, queue)
        face = _face(app, home)
    running = targets.application(face)
    config = running.config
    try:
        task = make_codec(config, registry().scope(config.plugins)).decode(letter.payload, home)
    except DecodeError as error:
        raise RegimentError(f"the message of letter {letter.id} cannot be read here: {error}") from None
    reason = letters.reason_of(letter)
    say(f'trying {task.name or home} {task.id} of "{home}", which died as {reason.get("kind")}; the letter stays')
    if reason.get("kind") in ("poison", "timeout"):
        say("  it ended its worker or did not end by itself: it may do the same here")
    return _tried(running, task, pdb)


def _letter(store: Store, id: str, queue: str | None) -> tuple[str, Letter]:
    """The newest letter with this id, or of this task."""
    queues = [store.known(queue)] if queue else list(store.looking.queues())
    found = letters.find(store.looking, queues, id)
    if not found:
        raise RegimentError(f'no dead letter "{id}" in {store.where}; regiment dead list shows what there is')
    homes = {home for home, _ in found}
    if len(homes) > 1:
        raise RegimentError(
            f'"{id}" is a letter of {len(homes)} queues: {", ".join(sorted(homes))}; name one: -q QUEUE'
        )
    return found[0]


def _face(app: str, queue: str) -> Any:
    """The worker or queue of an application that runs the tasks of a queue."""
    known = {label: face.outlet.config().name for label, face in targets.find(app).items()}
    for label, name in known.items():
        if name == queue:
            return targets.find(app)[label]
    raise TargetError(f'no worker of "{app}" has the queue "{queue}"; its queues: {", ".join(known.values())}')


def _tried(app: Application, task: Task, pdb: bool) -> int:
    """Run it, as a worker would, with what belongs around it; tell how it ended."""
    reg = registry().scope(app.config.plugins)
    work, call = _work(app, task, reg), Caller()
    began = time.monotonic()
    try:
        with closing(call), _around(app, task, reg, call):
            began = time.monotonic()
            call(work, task)
    except Control as control:
        what = type(control).__name__.lower()
        why = f": {control.reason}" if control.reason is not None else ""
        say(f"ended after {age(time.monotonic() - began)}: the task asked for {what}{why}")
        return exits.OK if control.done else exits.BAD
    except KeyboardInterrupt:
        say(f"interrupted after {age(time.monotonic() - began)}; the letter stays")
        return exits.BAD
    except BaseException as error:
        if isinstance(error, GeneratorExit):
            raise
        return _failed(error, time.monotonic() - began, pdb)
    say(f"succeeded in {age(time.monotonic() - began)}; regiment dead replay {task.id} runs it in a worker")
    return exits.OK


def _work(app: Application, task: Task, reg: Registry) -> Callable[[Task], Any]:
    work = app.work_of(task.name)
    if work is None:
        others = (call(app, task.name) for _, call in reg.hooks("regiment_work"))
        work = next((other[0] for other in others if other is not None), None)
    if work is None:
        known = ", ".join(app.works) or "none"
        raise TargetError(f'the queue "{task.queue}" has no task named "{task.name}" here; there are: {known}')
    return work


@contextmanager
def _around(app: Application, task: Task, reg: Registry, call: Caller) -> Iterator[None]:
    """What a worker does before and after a task: `initialize` and `finalize`, plugins, `pre_work` and `post_work`."""
    handlers = app.handlers
    token = attempt_now.set(Here(task))
    try:
        call(handlers.get("initialize"))
        for _, started in reg.hooks("regiment_worker_started"):
            log.tell(started, app)
        with ExitStack() as stack:
            for _, around in reg.hooks("regiment_around_attempt"):
                stack.enter_context(around(task))
            for _, prepare in reg.hooks("regiment_prepare"):
                prepare(task)
            call(handlers.get("pre_work"), task)
            error: BaseException | None = None
            try:
                yield
            except BaseException as raised:
                error = raised
                raise
            finally:
                call(handlers.get("post_work"), task, error is None, error)
        for _, stopping in reg.hooks("regiment_worker_stopping"):
            log.tell(stopping, app)
        call(handlers.get("finalize"))
    finally:
        attempt_now.reset(token)


class Caller:
    """Calls functions, and runs coroutines to their ends, all of them on one loop, as a worker does."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def __call__(self, function: Callable[..., Any] | None, *args: Any) -> Any:
        """What it returns; nothing if there is none."""
        answer = None if function is None else function(*args)
        if not inspect.isawaitable(answer):
            return answer
        import asyncio

        async def waited() -> Any:
            return await answer

        self._runner = self._runner or asyncio.Runner()
        return self._runner.run(waited())

    def close(self) -> None:
        """Close the loop, if there is one."""
        if self._runner is not None:
            self._runner.close()


def _failed(error: BaseException, seconds: float, pdb: bool) -> int:
    """Show where it failed, without our own frames; with the debugger there, if it is wanted."""
    frames = _theirs(error.__traceback__)
    say("".join(traceback.format_exception(type(error), error, frames)).rstrip())
    where = traceback.extract_tb(frames)
    last = f" at {targets.short_path(where[-1].filename)} line {where[-1].lineno}" if where else ""
    say(f"failed after {age(seconds)}{last}; the letter stays")
    if pdb and frames is not None:
        import pdb as debugger

        debugger.post_mortem(frames)
    return exits.BAD


def _theirs(frames: TracebackType | None) -> TracebackType | None:
    """The frames from the first one of the application on."""
    found = frames
    while found is not None and any(part in found.tb_frame.f_code.co_filename for part in _OURS):
        found = found.tb_next
    return found or frames
