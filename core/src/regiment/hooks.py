"""The hook specs: what a plugin may offer, and what regiment tells it. Only this module imports pluggy.

A plugin is a module (or object) with functions marked `@hookimpl`, named by an entry point of the group `regiment`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import pluggy

from regiment.contracts import CONTRACT_VERSION, Application, Effect, Examined, Finding, Push, Service

if TYPE_CHECKING:
    from regiment.config import WorkerConfig
    from regiment.outcome import Outcome
    from regiment.task import Task

PROJECT = "regiment"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Offer(NamedTuple):
    """One replaceable part: the place of its class, without importing it.

    `target` is "module:attribute"; `schemes` are the URL schemes that a connector answers to, without "://"; `contract`
    is the version of `regiment.contracts` that the part was written for. `regiment plugins check` examines the part
    with the options in `trial`, if it needs any; in their texts {fresh} stands for a word that no other check has, and
    {folder} for an empty folder.
    """

    target: str
    schemes: Sequence[str] = ()
    contract: int = CONTRACT_VERSION
    summary: str = ""
    trial: Mapping[str, Any] = MappingProxyType({})


class Specs(Protocol):
    """Every hook of regiment: each method is a hook spec. Offers are collected once, at first use, in each process that needs one."""

    # Offers: name -> Offer. The same name from two plugins is an error that names both.

    def regiment_connectors(self) -> Mapping[str, Offer]:
        """Stores of tasks."""

    def regiment_serializers(self) -> Mapping[str, Offer]:
        """Ways to turn arguments into bytes."""

    def regiment_compressors(self) -> Mapping[str, Offer]:
        """Ways to make those bytes fewer."""

    def regiment_executors(self) -> Mapping[str, Offer]:
        """Ways to run attempts."""

    def regiment_killers(self) -> Mapping[str, Offer]:
        """Ways to stop a task that hangs."""

    def regiment_extensions(self) -> Mapping[str, Offer]:
        """Objects with hooks, chosen by a queue in `plugins=`."""

    def regiment_commands(self) -> Mapping[str, Offer]:
        """click commands that join the command line; only `regiment` itself uses them."""

    def regiment_checks(self, examined: Examined) -> Iterable[Finding]:
        """Rules of `regiment doctor`, each with one finding or more. Import what they need inside of the function."""

    def regiment_push_options(self) -> Mapping[str, str]:
        """Options of pushes and of `@task` that a plugin understands: name -> one line. It finds them in `push.options`."""

    def regiment_task_settings(self) -> Mapping[str, str]:
        """Settings of `@task` that a plugin understands: name -> one line. It finds them in `task.offered` of a queue's tasks."""

    def regiment_task_declared(self, task: Any) -> None:
        """Where a task with such settings, or with options of its pushes, is declared: `task.offered`, `task.always`. An exception
        reaches who declares it.
        """

    # Observers are told what happens and change nothing. Each call is guarded on its own: an exception is a log line
    # (`plugin.error`). In the worker they run in the thread of the attempt, if there is one.

    def regiment_worker_started(self, worker: Any) -> None:
        """In the worker, after `initialize`, before the first task."""

    def regiment_worker_stopping(self, worker: Any) -> None:
        """In the worker, after the last task, before `finalize`."""

    def regiment_tasks_pushed(self, queue: str, tasks: Sequence[Task]) -> None:
        """In the process that pushed, after the store accepted the tasks."""

    def regiment_task_started(self, task: Task) -> None:
        """In the worker, before `pre_work`."""

    def regiment_task_finished(self, task: Task, outcome: Outcome, seconds: float) -> None:
        """In the worker, after the handler of the outcome, before the settlement is sent."""

    def regiment_task_failed(self, task: Task, outcome: Outcome, seconds: float) -> None:
        """In the worker, as `regiment_task_finished`, but not for successes, which it costs nothing."""

    def regiment_task_dead(self, letter: Any) -> None:
        """In the worker, when a dead letter is made; `letter` is a mapping with task_id, queue, name and reason."""

    def regiment_worker_ended(self, end: Mapping[str, Any]) -> None:
        """In the keeper, when a worker's process is gone: worker, pid, queue, kind, reason, and the tasks that ran."""

    def regiment_event(self, event: Mapping[str, Any], process: str) -> None:
        """What a process of a tree logs, as a mapping with "event" and its fields; what the supervisor logs, in the keeper."""

    # Around: these are part of a task's path, and their answers count.

    def regiment_push(self, push: Push) -> None:
        """In the process that pushes, before tasks are encoded: may change the push. An exception reaches the caller."""

    def regiment_around_push(self, push: Push) -> AbstractContextManager[None]:
        """In the process that pushes: a context manager around encoding and storing, which sees a failure."""

    def regiment_loading(self, target: str) -> None:
        """Before a target's module is imported, in a worker or a command. Not for plugins that a queue names."""

    def regiment_around_attempt(self, task: Task) -> AbstractContextManager[None]:
        """In the worker: a context manager around pre_work, work and handlers. Collected once, at start."""

    def regiment_prepare(self, task: Task) -> Callable[[], object] | None:
        """In the worker, before `pre_work`, or else before the work, under its limits: may change `task.kwargs`.

        An exception fails the attempt; `Cancelled` ends it without a run. What it returns, if not None, is called without
        arguments when what it came before is over, however that ended. On an event loop both are called in a thread.
        """

    def regiment_work(self, app: Application, name: str) -> tuple[Callable[[Task], Any], WorkerConfig] | None:
        """In the worker: what runs tasks of a name that the application does not know, and the configuration of its rules."""

    def regiment_effects(
        self, task: Task | None, task_id: str, outcome: Outcome, settles: Literal["done", "again", "dead"]
    ) -> Iterable[Effect]:
        """In the worker, after the handlers: effects in the step that settles this end (`regiment.contracts.effects`).

        An exception makes a success a failure; a second one, a dead letter. `task` is None if it could not be read.
        """

    # Services: what runs beside the keeper of a tree. An exception fails the start.

    def regiment_notes(self, app: Application) -> Any:
        """In the first worker of a target, before it connects: plain data of the application for this plugin's services."""

    def regiment_services(self, spec: Mapping[str, Any], notes: Any) -> Mapping[str, Service]:
        """In the supervisor, for each target: which services are to run. `spec` is what its keeper knows."""


for _spec in vars(Specs).values():
    if getattr(_spec, "__name__", "").startswith(f"{PROJECT}_"):
        hookspec(_spec)

OFFERS = ("connectors", "serializers", "compressors", "executors", "killers", "extensions", "commands")
"""Kinds of offers; the hook of each is `regiment_<kind>`."""

TOO_LATE = ("regiment_loading", "regiment_commands")
"""Asked before any queue is known, so nothing that a queue names can have them."""
ELSEWHERE = ("regiment_connectors", "regiment_killers", "regiment_worker_ended", "regiment_services")
"""Asked in processes that never import an application, so an object of the application cannot have them."""


def manager() -> pluggy.PluginManager:
    """A plugin manager that knows the specs and no plugin."""
    made = pluggy.PluginManager(PROJECT)
    made.add_hookspecs(Specs)
    return made
