"""Every message that the processes of a tree send each other, in one place: who says what to whom.

A message is a JSON object (`crossing`), and its first key says which it is: `if "dead" in message`. What must be known at once,
or of a process that can no longer speak, stands on its page and not in a message.

| from | to | messages |
|---|---|---|
| worker | supervisor | `Found`, `Configured`, `Ready`, `Leaving`, `Ended`, `Failed` |
| supervisor | keeper | `Serve` (with the worker's pidfd), `Dead`, `Untold`, `Event`, `Count`, `Doze`, `Bye` |
| keeper | supervisor | `Tick`, `Released`, `Telling`, `Backlog`, `Order` |
| supervisor | steward, server | `Learn`, `Bye` |
| steward, server | supervisor | `Tick` |
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict, final

Spec = dict[str, Any]
"""What supervisor and keeper know of a worker: `parts.keeper_spec`."""
Note = dict[str, Any]
"""The evidence that stays with a delivery whose run ended its worker."""


# A worker to its supervisor


@final
class Found(TypedDict):
    """It has imported its target, and these are the workers there; it is the first of them."""

    found: list[str]


@final
class Configured(TypedDict):
    """It has built its parts. `notes`, if they were asked for: what the application notes for services, by plugin."""

    configured: Spec
    label: str
    plugins: list[str]
    notes: NotRequired[dict[str, Any]]


@final
class Ready(TypedDict):
    """It takes tasks."""

    ready: bool


@final
class Leaving(TypedDict):
    """Its last task is over, and its end will be of this kind (`stop`, `burst`, `respawn`, …)."""

    leaving: str


@final
class Ended(TypedDict):
    """It ends in order: the kind of its end, why in words, and how many tasks have ended otherwise than by going back."""

    ended: str
    why: NotRequired[str]
    over: NotRequired[int]


@final
class Failure(TypedDict):
    """Why a start failed: exit code and words. `exhausted`: for want of what may be there again soon (descriptors, memory)."""

    code: int
    text: str
    exhausted: NotRequired[bool]


@final
class Failed(TypedDict):
    """It could not start, or an error of our own ends it."""

    failed: Failure


FromWorker = Found | Configured | Ready | Leaving | Ended | Failed


# A supervisor to its keeper


@final
class Serve(TypedDict):
    """Look after this worker, whose page lies there."""

    serve: str
    path: str
    spec: Spec


class PostMortem(TypedDict, total=False):
    """What a worker's end means for what it had started: nothing, if it was interrupted; else the note of each number that
    was struck, the others being neighbors, or the note of all that had started. `end`: what observers are told.
    """

    interrupted: bool
    note: Note
    notes: dict[str, Note]
    end: dict[str, str]


@final
class Dead(PostMortem):
    """This worker has ended: give back what it held."""

    dead: str


@final
class Untold(TypedDict):
    """Tell the plugins of such a worker of its end, the last `left` of them: what a keeper before had not begun."""

    untold: str
    end: dict[str, Any]
    spec: Spec
    left: int


@final
class Event(TypedDict):
    """Tell the observers of this event of the supervisor's."""

    event: dict[str, Any]


@final
class Count(TypedDict):
    """How many tasks are ready in the queue of this worker?"""

    count: str


@final
class Doze(TypedDict):
    """Whether to tick no more until something happens; if not, tick now."""

    doze: bool


@final
class Bye(TypedDict):
    """That was all: end."""

    bye: bool


ToKeeper = Serve | Dead | Untold | Event | Count | Doze | Bye


# A keeper to its supervisor


@final
class Tick(TypedDict):
    """It lives."""

    tick: bool


@final
class Released(TypedDict):
    """What this worker held is given back. `untold`: who is to be told of its end, and what; a `Telling` is said of each."""

    released: str
    untold: NotRequired[Untold]


@final
class Telling(TypedDict):
    """A plugin is told of the end of this worker from now on, and so many are left."""

    telling: str
    left: int


@final
class Backlog(TypedDict):
    """So many tasks are ready in the queue of this worker."""

    backlog: str
    ready: int


@final
class Order(TypedDict):
    """What a board tells the target of this worker to do: `quiet`, `drain`, or nothing (any more); `by`: to whom that is said."""

    order: str
    told: str
    by: str


FromKeeper = Tick | Released | Telling | Backlog | Order


# A supervisor to its steward, or to a server


@final
class Learn(TypedDict):
    """This target wants this service, which `key` tells from others; `service` is what makes it: target, options, kind."""

    learn: str
    spec: Spec
    notes: Any
    key: str
    service: dict[str, Any]


ToService = Learn | Bye
