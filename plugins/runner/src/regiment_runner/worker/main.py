"""The worker process: it imports its target, assembles its parts, and runs attempts until told to stop."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from regiment import exits, log
from regiment.config import Logging
from regiment.contracts import Connector
from regiment.errors import (
    Cancelled,
    ConfigError,
    PluginError,
    RegimentError,
    Respawn,
    Stop,
    StoreUnavailable,
    TaskTimeout,
)
from regiment.registry import Registry
from regiment_cli import targets
from regiment_runner.parts import Parts, assemble, keeper_spec, terms_of
from regiment_runner.shared import crossing, messages, page, process, procfs
from regiment_runner.shared.page import Page
from regiment_runner.shared.pause import Pause
from regiment_runner.shared.retold import retell
from regiment_runner.worker import striking
from regiment_runner.worker.known import known
from regiment_runner.worker.lease import Lease
from regiment_runner.worker.notices import Notices
from regiment_runner.worker.runtime import Runtime
from regiment_runner.worker.source import Source
from regiment_runner.worker.started import not_started
from regiment_runner.worker.taking import Desk
from regiment_runner.worker.waiting import obey

FIRST_CONNECTION = 10.0
"""Seconds that the first worker of a target tries to reach its store before `run` gives up."""


class Setup(NamedTuple):
    """What a supervisor gives its child."""

    target: str
    page: Path
    channel: socket.socket
    wake: int
    """Eventfd that wakes this worker."""
    keeper_poke: int
    watcher_poke: int
    app_dir: str
    burst: bool = False
    first: bool = False
    """Whether no worker of this target has run yet: then it must reach its store, or say why not."""
    solo: bool = False
    notes: bool = False
    """Whether this worker is to say what the application notes for services."""


def main(setup: Setup) -> int:
    """The body of a worker process; the exit code."""
    report = Reporter(setup.channel)
    try:
        return _run(setup, report)
    except RegimentError as error:
        # Of a start the supervisor says why it failed; of what came later nobody else does.
        if report.ready:
            log.event(logging.ERROR, "worker.error", error=str(error), exc_info=error)
        failure: messages.Failure = {"code": error.exit_code, "text": str(error), "exhausted": process.exhausted(error)}
        report({"failed": failure})
        return error.exit_code
    except BaseException as error:
        if report.ready:
            report({"failed": {"code": exits.CRASH_LOOP, "text": f"{type(error).__name__}: {error}"}})
            raise
        text, exhausted = not_started(error), process.exhausted(error)
        report({"failed": {"code": exits.CRASH_LOOP, "text": text, "exhausted": exhausted}})
        return exits.CRASH_LOOP


class Reporter:
    """Tells the supervisor what this worker has found and reached."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.ready = False

    def __call__(self, message: messages.FromWorker) -> None:
        self.ready = self.ready or "ready" in message
        with contextlib.suppress(OSError):
            for piece in crossing.pieces(message):
                self._channel.send(piece)


def _run(setup: Setup, report: Reporter) -> int:
    sheet = Page(setup.page)
    sheet.words[page.PID] = os.getpid()
    sheet.wake_watcher = lambda: os.eventfd_write(setup.watcher_poke, 1)
    _take_sigterm(sheet, setup.wake)
    blackbox = open(setup.page.with_suffix(".stacks"), "wb", buffering=0)  # noqa: SIM115  stays open for faulthandler
    faulthandler.enable(file=blackbox, all_threads=True)
    faulthandler.register(page.DUMP_SIGNAL, file=blackbox, all_threads=True)
    app, parts = _assembled(setup, report)
    _configure_logging(app.config.logging)
    connector = _connect(parts, setup)
    runtime = _runtime(app, parts, sheet)
    lease = Lease(connector, app.config.name, terms_of(app.config, parts.executor.slots))
    source = Source(
        runtime,
        lease,
        parts.executor.slots,
        setup.wake,
        burst=setup.burst,
        elsewhere=parts.executor.place != "main",
        tell_keeper=lambda: os.eventfd_write(setup.keeper_poke, 1),
    )
    Notices(source.hold, runtime)
    sheet.write_off = source.write_off
    runtime.desk = Desk(parts.broker, sheet, terms_of(app.config), source.hold.tell_keeper)
    runtime.desk.end, runtime.broker = source.end, parts.broker
    os.register_at_fork(after_in_child=lambda: _no_worker_any_more(sheet, source))
    parts.killer.install(sheet, parts.executor.place)
    striking.install(sheet, parts.killer, parts.executor.place, source.attempts)
    if not setup.solo:
        log.passing = (TaskTimeout, Cancelled)  # every signal is ours here
    try:
        _around_the_work(app, parts, source, report, sheet)
    except SystemExit:
        if source.hold.left_unsettled:
            report({"ended": _how(source, sheet)})  # what it holds is interrupted, and no crash
        raise
    for close in (runtime.desk.close, connector.close, parts.broker.close):
        _close(close)
    why = process.out_of_memory(source.weight.too_large, sheet.words[page.MEMORY]) if source.weight.too_large else ""
    report({"ended": _how(source, sheet), "why": why, "over": source.over})
    return exits.OK


def _assembled(setup: Setup, report: Reporter) -> tuple[Any, Parts]:
    """Import the target, and tell the supervisor what it is made of."""
    if setup.app_dir not in sys.path:
        sys.path.insert(0, setup.app_dir)
    found = targets.find(setup.target)
    label = next(iter(found))
    report({"found": list(found)})
    app = targets.application(found[label])
    parts = assemble(app, label)
    if not parts.connector.capabilities.shared and not setup.solo:
        raise ConfigError(
            f"{label}: connector {parts.connector.describe()!r} lives in one process; a supervisor's workers need "
            f"one that several share, or run with --solo"
        )
    plugins = plugins_in_words(parts.registry)
    spec = {**keeper_spec(parts, app), "known": known(app, parts, label, setup.app_dir)}
    message: messages.Configured = {"configured": spec, "label": label, "plugins": plugins}
    if setup.notes:
        message["notes"] = notes_of(app, parts.registry)
    report(message)
    retell(parts.registry, "worker")
    return app, parts


def _around_the_work(app: Any, parts: Parts, source: Source, report: Reporter, sheet: Page) -> None:
    handlers = app.handlers
    if "initialize" in handlers:
        try:
            source.runtime.call(handlers["initialize"])
        except (Stop, Respawn) as control:
            source.end(respawn=isinstance(control, Respawn))
            return
    _tell(parts.registry, "regiment_worker_started", app)
    _check_memory(app.config.name, sheet.words[page.MEMORY])
    sheet.words[page.STATE] = page.READY
    report({"ready": True})
    log.event(logging.INFO, "worker.ready", worker=os.getpid(), queue=app.config.name)
    try:
        parts.executor.run(source)
    finally:
        sheet.words[page.STATE] = page.STOPPING
        report({"leaving": _how(source, sheet)})
        _tell(parts.registry, "regiment_worker_stopping", app)
        if "finalize" in handlers:
            obey(source.runtime, source.end, "finalize", handlers["finalize"])
        _close(getattr(parts.executor, "close", _nothing))


def _close(close: Callable[[], object]) -> None:
    """Close what is left of a worker whose tasks are settled: what that raises is said, and makes no crash of its end."""
    try:
        close()
    except BaseException as error:
        log.event(logging.ERROR, "hook.error", exc_info=error, hook="close")


def _check_memory(queue: str, limit: int) -> None:
    """A limit below what a worker has in use before its first task would replace it after every task, for ever."""
    used = procfs.resident(os.getpid()) or 0
    if limit and used > limit:
        raise ConfigError(
            f'a worker of "{queue}" has {used / process.MIB:.0f} MiB in use before its first task, and --max-memory is '
            f"{limit / process.MIB:.0f} MiB; give it more than a task needs beyond that"
        )


def _nothing() -> None:
    """An executor that opens nothing has no `close`."""


def _no_worker_any_more(sheet: Page, source: Source) -> None:
    """In a process that a task has forked: it may run on, but it is not the worker, and ends where the task ends."""
    sheet.detach()
    if source.keeping.annex is not None:
        source.keeping.annex.detach()
    source.runtime.forked = source.outbox.forked = True
    crossing.take_as_ever()
    log.passing = log.PASSING
    source.end(respawn=True)  # what follows one plain task by another looks up, and leaves, too


def _how(source: Source, sheet: Page) -> str:
    if source.weight.too_large:
        return "memory"
    if source.stop_all:
        return "stop"
    if sheet.words[page.ORDERS]:
        return "ordered"
    if not source.respawn:
        return "burst"
    most = source.config.max_tasks_per_run
    return "max_tasks_per_run" if most and sheet.words[page.TASKS] >= most else "respawn"


def _take_sigterm(sheet: Page, wake: int) -> None:
    """SIGTERM means: finish what runs. The page's own orders come from the supervisor."""

    def stop(number: int, frame: Any) -> None:
        sheet.words[page.ORDERS] |= page.STOP
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(wake, 1)

    signal.signal(signal.SIGTERM, stop)


def _configure_logging(settings: Logging) -> None:
    log.logger.setLevel(settings.level if log.logger.level == logging.NOTSET else log.logger.level)
    for handler in settings.handlers:
        log.logger.addHandler(handler)


def _connect(parts: Parts, setup: Setup) -> Connector:
    """Open the worker's connection. The first worker gives up in time; a later one waits for its store."""
    deadline, pause, tries = time.monotonic() + FIRST_CONNECTION, Pause(0.05, 2.0), 0
    while True:
        tries += 1
        try:
            parts.connector.open("lease")
            return parts.connector
        except StoreUnavailable as error:
            seconds = pause()
            if setup.first and time.monotonic() + seconds > deadline:
                raise StoreUnavailable(f"{error}; tried {tries} times in {FIRST_CONNECTION:.0f} s") from error
            if os.getppid() == 1:
                raise
            time.sleep(seconds)


def _runtime(app: Any, parts: Parts, sheet: Page) -> Runtime:
    hooks = {
        "around": "regiment_around_attempt",
        "started": "regiment_task_started",
        "finished": "regiment_task_finished",
        "failed": "regiment_task_failed",
        "died": "regiment_task_dead",
    }
    found: dict[str, Any] = {key: [call for _, call in parts.registry.hooks(name)] for key, name in hooks.items()}
    # An executor with a place of its own for hooks (a loop) says so with a verb `call(hook, *args)`.
    # One whose tasks run in processes of others says with `carry(app, name, work)` what runs them.
    calls = {verb: getattr(parts.executor, verb) for verb in ("call", "carry") if hasattr(parts.executor, verb)}
    for key in ("effects", "prepare"):
        found[key] = parts.registry.hooks(f"regiment_{key}")
    found["works"] = parts.registry.hooks("regiment_work")
    return Runtime(app, parts.broker.codec, sheet, parts.killer, **found, **calls)


def _tell(reg: Registry, hook: str, *args: Any) -> None:
    for _, call in reg.hooks(hook):
        log.tell(call, *args)


def notes_of(app: Any, reg: Registry) -> dict[str, Any]:
    """Plugin -> the plain data that it notes of the application for its services; `PluginError` for what is none."""
    notes = {}
    for plugin, call in reg.hooks("regiment_notes"):
        try:
            notes[plugin] = json.loads(json.dumps(call(app)))
        except ConfigError:
            raise  # it says what is wrong with the application, and no plugin is
        except Exception as error:
            raise PluginError(f"the notes of the plugin {plugin}: {type(error).__name__}: {error}") from error
    return notes


def plugins_in_words(reg: Registry) -> list[str]:
    """What is loaded, one line each; what is not ok says why."""
    return [
        f"{plugin.name} ({plugin.source})" + ("" if plugin.state == "ok" else f": {plugin.state}: {plugin.reason}")
        for plugin in reg.plugins
    ]
