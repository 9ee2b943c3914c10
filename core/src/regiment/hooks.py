"""The hook specs: what a plugin may offer, and what it is told. The only module that imports pluggy.

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
    """One replaceable part: where its class is, without importing it.

    `target` is "module:attribute"; `schemes` are the URL schemes that a connector answers to, without "://";
    `contract` is the version of `regiment.contracts` that the part was written for. `trial` are the options with which
    `regiment plugins check` examines the part, where it needs any; in their texts {fresh} stands for a word that no other
    check has, and {folder} for an empty folder.
    """

    target: str
    schemes: Sequence[str] = ()
    contract: int = CONTRACT_VERSION
    summary: str = ""
    trial: Mapping[str, Any] = MappingProxyType({})


class Specs:
    """Every hook of regiment. Offers are asked once, at first use, in whichever process needs one."""

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
        """Ways to stop what hangs."""
        raise NotImplementedError

    @hookspec
    def regiment_commands(self) -> Mapping[str, Offer]:
        """click commands that join the command line; asked only by `regiment` itself."""
        raise NotImplementedError

    # Observers: told, never asked. Each call is guarded on its own: an exception is a log line (`plugin.error`) and
    # changes nothing. In the worker, in the thread of the attempt where there is one.

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
        """In the worker, when a dead letter was made; `letter` is a mapping with task_id, queue, name and reason."""

    @hookspec
    def regiment_supervisor_event(self, event: Mapping[str, Any]) -> None:
        """In the keeper: what the supervisor logs, as a mapping with "event" and its fields."""

    # Around: asked, and part of the path.

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
