"""What a plugin adds to the dashboard: a page of its own. Plain types, so that a plugin needs no dashboard to offer one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple, Protocol

from regiment.broker import Broker


class Panel(NamedTuple):
    """A page that is offered. It is data: its target is imported when somebody first looks at it."""

    title: str
    """What it is called in the navigation."""
    path: str
    """Its address below that of the dashboard: 1 to 32 of a-z, 0-9 and -, beginning with a letter."""
    target: str
    """ "module:attribute" of a `Page`."""
    needs: frozenset[str] = frozenset()
    """Extras of the contract that the store must keep; on another store there is no such page."""
    order: int = 50
    """Its place in the navigation; of two with the same, the title decides."""


class Asked(NamedTuple):
    """What somebody asks of a panel."""

    broker: Broker
    """To look, all its connections are opened to look, and refuse to change anything; to act, it can write."""
    queues: Sequence[str]
    """The queues that the store knows, and those that living workers serve, by name."""
    values: Mapping[str, str]
    """Fields of the address, or of the form."""


class Done(NamedTuple):
    """What an act has done."""

    said: str
    """In a sentence, for who asked."""
    of: str = ""
    """To what it was done, for the account of it: the name of a schedule, the id of a flow."""
    changed: bool = True
    """True if there is something to keep account of."""


Act = Callable[[Asked], Done]


class Page(Protocol):
    """What a panel's target is: an object, or a module with these names. It is called in a thread, one call after the other."""

    templates: str | PathLike[str]
    """The folder of its templates (Jinja). A page extends "panel.html" and fills its block `panel`."""
    acts: Mapping[str, Act]
    """Name -> what a form of an operator does: one that is sent to `{{ here }}/NAME`, with the field `queue`."""

    def show(self, asked: Asked) -> tuple[str, Mapping[str, Any]]:
        """The template, and what it shows. An exception becomes a box with its text, and hides no other page."""
