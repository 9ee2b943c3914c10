"""What extensions are given, and what they give: a push on its way, services, and what runs beside the keeper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from regiment.contracts.effects import Effect
from regiment.contracts.flow import Ticket
from regiment.contracts.running import Application
from regiment.contracts.store import Connector
from regiment.task import Task


class Push:
    """One push before it is encoded: one task, or up to 1,000 of a bulk push that go the same way.

    A plugin may change `headers`, `trace_id` and `expires` (seconds since the epoch, or None) of all its tasks, `id` (of
    one task only: an id of one's own, or None), `priority`, `delay` and `at` (as options of a push), `tags` (plugin -> plain
    data for that plugin, in all its tasks and in none that is pushed from them: a worker without the plugin parks them), and
    `answer`: what makes the answer of `push` from id, queue and whether it existed. It may add `effects`: they come in the
    step that takes the tasks, before any of them can be leased; also where a task's id was known and it is left out. A push
    of more than 16 MiB takes several steps, and they come in the last. It may set `put`: what is called with all that
    `Broker.push` is, to store the tasks, in its place: later, or elsewhere; not for a push that is part of a settlement. It
    may set `tickets`, one for each task (extra `flow`): then `Broker.push` answers with a `Known`, and says what they met.
    `options` are all that this push was given, those that extensions offer among them; `tasks`, `queue` and `broker` are
    there to be read.
    """

    CHANGED = ("headers", "tags", "trace_id", "id", "priority", "delay", "at")
    __slots__ = (*CHANGED, *["answer", "broker", "effects", "expires", "options", "put", "queue", "tasks", "tickets"])

    def __init__(self, broker: Any, queue: str, tasks: Sequence[Task], options: Mapping[str, Any]) -> None:
        first = tasks[0]
        self.broker, self.queue, self.tasks, self.options = broker, queue, tasks, options
        self.headers: dict[str, str] = dict(first.headers or {})
        self.trace_id, self.expires = first.trace_id, first.expires
        self.id, self.priority, self.delay, self.at = map(options.get, ("id", "priority", "delay", "at"))
        self.tags: dict[str, Any] = {}
        self.effects: list[Effect] = []
        self.answer: Callable[[str, str, bool], Any] | None = None
        self.put: Callable[..., Sequence[int]] | None = None
        self.tickets: Sequence[Ticket] | None = None

    @property
    def name(self) -> str:
        """The name of its tasks; empty for a worker in class form."""
        return self.tasks[0].name


class Service(NamedTuple):
    """What runs beside the keeper of a tree: "module:attribute", options as plain data, and which kind it is."""

    target: str
    options: Mapping[str, Any] = MappingProxyType({})
    kind: Literal["duty", "server"] = "duty"


class Finding(NamedTuple):
    """What one rule of `regiment doctor` says: that all is well, what is wrong and what to do, or that it cannot be known."""

    rule: str
    level: Literal["ok", "warn", "fail", "unknown"] = "ok"
    text: str = ""
    remedy: str = ""


class Examined(NamedTuple):
    """What the rules of `regiment doctor` look at."""

    store: Connector | None
    """Opened to look; None if it does not answer."""
    targets: Mapping[str, Application]
    """Label -> what was named on the command line, as an application."""
    deep: bool = False
    """True if a look may take long."""


class AtWork(NamedTuple):
    """A task that runs in a tree now, as its worker's page tells. `progress` is (done, total, note), as the task said itself."""

    id: str
    pid: int
    seconds: float
    """Since it started."""
    progress: tuple[int, int, str] | None = None


class Served(Protocol):
    """A target of the tree, as a service learns of it. `spec` is what the keeper knows of its workers."""

    label: str
    queue: str
    spec: Mapping[str, Any]

    def connect(self) -> Connector:
        """A connection of the service's own to the store of this queue, opened in the role `duty`; it closes it."""

    def at_work(self, seconds: float) -> Sequence[AtWork]:
        """The tasks of this queue that have run for so long in this tree; read off pages, nobody is asked."""


@runtime_checkable
class Duty(Protocol):
    """A duty of the steward: it has a thread of its own there, which calls its verbs one after the other.

    It never imports an application. `look` is called again after as many seconds as it says; what it raises is logged, and
    it is called again later. One that has `news(queue, board)` is told the notice board of a queue whenever that has changed.
    One that has `wakes(wake)` is given, before anything else, what makes the next look come at once, from any thread.
    """

    def learn(self, target: Served, notes: Any) -> None:
        """A target of the tree, and its plain data (None without any); told again when these have changed."""

    def look(self, now: float) -> float:
        """Do what is due at `now` (seconds since the epoch); seconds until the next look."""


@runtime_checkable
class Server(Protocol):
    """A service with a process of its own; `serve` runs in a thread there, and its end is the end of the process."""

    def learn(self, target: Served, notes: Any) -> None:
        """As a duty's."""

    def serve(self) -> None:
        """Serve until the process ends."""
