"""Pages by plugins: found by the hook `regiment_panels`, shown in a frame of ours; one that fails is a box with the reason."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, PrefixLoader

from regiment import log
from regiment.broker import Broker, extras
from regiment.build import make_broker
from regiment.config import WorkerConfig
from regiment.contracts import Connector, Role
from regiment.errors import RegimentError, StoreError
from regiment.hooks import hookspec
from regiment.installed import load
from regiment.registry import registry
from regiment_cli.hooking import declare
from regiment_cli.panels import Asked, Done, Page, Panel
from regiment_console.acting import account
from regiment_dashboard.asking import Asking

PATIENCE = 10.0
"""Seconds that a panel has for an answer. It goes on after that, and keeps other panels waiting, but no page of ours."""
OURS = frozenset(("queue", "workers", "dead", "group", "letter", "sign-in", "act", "static", "history", "live"))
"""Addresses that no panel may have."""
T = TypeVar("T")


class Specs:
    """Implemented with `@hookimpl(optionalhook=True)`: where no dashboard is installed nobody knows the hook."""

    @hookspec
    def regiment_panels(self) -> Iterable[Panel]:
        """Pages that a plugin adds to the dashboard. Asked once, when a dashboard starts."""
        raise NotImplementedError


class Failed(Exception):
    """A panel has no answer; its text says why."""


class Entry(NamedTuple):
    """A link of the navigation."""

    path: str
    title: str


def offered(kept: frozenset[str]) -> list[Panel]:
    """The panels of all plugins, as they stand in the navigation, for a store that keeps these extras. What is no panel, or takes
    an address that is taken, is an event, and hides no other.
    """
    here = registry()
    declare(here.pm, Specs, "regiment_panels")
    found: dict[str, Panel] = {}
    for plugin, call in here.hooks("regiment_panels"):
        for panel in _of(plugin, call):
            problem = _problem(panel, found)
            if problem:
                log.event(logging.ERROR, "dashboard.panel", plugin=plugin, problem=problem)
            elif frozenset(panel.needs) <= kept:
                found[panel.path] = panel
    return sorted(found.values(), key=lambda one: (one.order, one.title))


def _of(plugin: str, call: Callable[[], Iterable[Panel]]) -> list[Panel]:
    try:
        return list(call())
    except Exception as error:
        log.event(logging.ERROR, "dashboard.panel", plugin=plugin, problem=f"{type(error).__name__}: {error}")
        return []


def _problem(panel: Any, taken: Mapping[str, Panel]) -> str:
    if not isinstance(panel, Panel):
        return f"regiment_panels gave {panel!r:.80}; expected a Panel"
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", str(panel.path)) or panel.path in OURS:
        return f"a panel has the path {panel.path!r:.80}; expected 1 to 32 of a-z, 0-9 and -, and none of {', '.join(sorted(OURS))}"
    if panel.path in taken:
        return f"{panel.title!r} has the path {panel.path!r}, and so has {taken[panel.path].title!r}; give it another"
    return ""


class _Looking(Broker):
    """A broker whose connections can change nothing."""

    def open(self, role: Role) -> Connector:
        return super().open("look")


class Panels:
    """The pages of plugins, and the one thread in which they are asked."""

    def __init__(self, config: WorkerConfig) -> None:
        self._writing = make_broker(config)
        self._looking = _Looking(self._writing.make, self._writing.codec, config)
        self._offered = offered(extras(self._writing.make()))
        self._pages: dict[str, Page] = {}
        self._folders: dict[str, BaseLoader] = {}
        self._thread = Asking("panels")

    @property
    def navigation(self) -> Sequence[Entry]:
        """Path and title of each."""
        return [Entry(one.path, one.title) for one in self._offered]

    def loader(self, ours: BaseLoader) -> BaseLoader:
        """What finds our templates, and those of a panel once it was asked: "path/name"."""
        return ChoiceLoader([ours, PrefixLoader(self._folders)])

    def stop(self) -> None:
        """Ask nothing more."""
        self._thread.stop()

    async def show(self, path: str, queues: Sequence[str], values: Mapping[str, str]) -> tuple[str, Mapping[str, Any]]:
        """A template and what it shows; `Failed` with the reason if there is none."""

        def asked() -> tuple[str, Mapping[str, Any]]:
            name, shown = self._page(path).show(Asked(self._looking, queues, values))
            return f"{path}/{name}", dict(shown)

        return await self._ask(path, asked)

    async def act(self, path: str, act: str, queues: Sequence[str], values: Mapping[str, str], via: str) -> str:
        """Do what a form says, keep account of it, and say what was done."""

        def asked() -> str:
            does, queue = self._page(path).acts.get(act), values.get("queue", "")
            if does is None or not queue:
                raise RegimentError(
                    f"nothing was done: this panel has no form {act!r}"
                    if queue
                    else "nothing was done: the form has no field queue"
                )
            done = does(Asked(self._writing, queues, values))
            if not isinstance(done, Done):
                raise Failed(f"the form gave {done!r:.80}; expected Done(…)")
            if done.changed:
                with (
                    self._writing.connector() as store,
                    account(store, queue, f"{path} {act}", via=via, of=done.of or None) as made,
                ):
                    made.done = True
            return done.said

        return await self._ask(path, asked, act=True)

    def _page(self, path: str) -> Page:
        if path not in self._pages:
            target = next(one.target for one in self._offered if one.path == path)
            page = load(target)
            self._folders[path] = FileSystemLoader(page.templates)
            self._pages[path] = page
        return self._pages[path]

    async def _ask(self, path: str, work: Callable[[], T], *, act: bool = False) -> T:
        try:
            answer = asyncio.wrap_future(self._thread.submit(work, act=act))
            return await asyncio.wait_for(answer, PATIENCE)
        except (RegimentError, StoreError, Failed):
            raise
        except TimeoutError:
            raise Failed(
                f"it has not answered within {PATIENCE:g} s; what it was asked to do may be done later"
            ) from None
        except Exception as error:
            log.event(logging.ERROR, "dashboard.panel", exc_info=error, panel=path)
            raise Failed(f"{type(error).__name__}: {error}") from error
