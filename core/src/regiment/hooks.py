"""The hook specs: what a plugin may offer, and what regiment tells it. Only this module imports pluggy.

A plugin is a module (or object) with functions marked `@hookimpl`, named by an entry point of the group `regiment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from regiment.contracts import CONTRACT_VERSION

if TYPE_CHECKING:
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


class Specs:
    """Every hook of regiment. Offers are collected once, at first use, in each process that needs one."""

    # Offers: name -> Offer. The same name from two plugins is an error that names both.

    @hookspec
    def regiment_connectors(self) -> Mapping[str, Offer]:
        """Stores of tasks."""
        raise NotImplementedError

    @hookspec
    def regiment_serializers(self) -> Mapping[str, Offer]:
        """Ways to turn arguments into bytes."""
        raise NotImplementedError

    @hookspec
    def regiment_compressors(self) -> Mapping[str, Offer]:
        """Ways to make those bytes fewer."""
        raise NotImplementedError

    @hookspec
    def regiment_executors(self) -> Mapping[str, Offer]:
        """Ways to run attempts."""
        raise NotImplementedError

    @hookspec
    def regiment_killers(self) -> Mapping[str, Offer]:
        """Ways to stop a task that hangs."""
        raise NotImplementedError

    @hookspec
    def regiment_commands(self) -> Mapping[str, Offer]:
        """click commands that join the command line; only `regiment` itself uses them."""
        raise NotImplementedError

    # Observers are told what happens and change nothing. Each call is guarded on its own: an exception is a log line
    # (`plugin.error`). In the worker they run in the thread of the attempt, if there is one.

    @hookspec
    def regiment_worker_started(self, worker: Any) -> None:
        """In the worker, after `initialize`, before the first task."""

    @hookspec
    def regiment_worker_stopping(self, worker: Any) -> None:
        """In the worker, after the last task, before `finalize`."""

    @hookspec
    def regiment_tasks_pushed(self, queue: str, tasks: Sequence[Task]) -> None:
        """In the process that pushed, after the store accepted the tasks."""

    @hookspec
    def regiment_task_started(self, task: Task) -> None:
        """In the worker, before `pre_work`."""

    @hookspec
    def regiment_task_finished(self, task: Task, outcome: Outcome, seconds: float) -> None:
        """In the worker, after the handler of the outcome, before the settlement is sent."""

    @hookspec
    def regiment_task_dead(self, letter: Any) -> None:
        """In the worker, when a dead letter is made; `letter` is a mapping with task_id, queue, name and reason."""

    @hookspec
    def regiment_supervisor_event(self, event: Mapping[str, Any]) -> None:
        """In the keeper: an event that the supervisor logs, as a mapping with "event" and its fields."""

    # Around: these are part of a task's path, and their answers count.

    @hookspec
    def regiment_push_headers(self, queue: str, name: str) -> dict[str, str]:
        """In the process that pushes, before a task is encoded: headers to add (both keys and values str)."""
        raise NotImplementedError

    @hookspec
    def regiment_around_attempt(self, task: Task) -> AbstractContextManager[None]:
        """In the worker: a context manager around pre_work, work and handlers. Collected once, at start."""
        raise NotImplementedError


OFFERS = ("connectors", "serializers", "compressors", "executors", "killers", "commands")
"""Kinds of offers; the hook of each is `regiment_<kind>`."""


def manager() -> pluggy.PluginManager:
    """A plugin manager that knows the specs and no plugin."""
    made = pluggy.PluginManager(PROJECT)
    made.add_hookspecs(Specs)
    return made
