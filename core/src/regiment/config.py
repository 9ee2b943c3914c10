"""The one place where a worker is configured: `WorkerConfig` and its parts, frozen records that collect their problems."""

from __future__ import annotations

import os

from regiment import bounds
from regiment.errors import ConfigError
from regiment.masking import Url
from regiment.settings import Settings, field, rule, seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from regiment.settings import Rule

MIB = 1024 * 1024
DAY = 86_400.0

CONNECTOR_VARIABLE = "REGIMENT_CONNECTOR"
DEFAULT_CONNECTOR = "local"
DEFAULT_EXECUTOR = "serial"
SCHEMES = ("sqlite", "memory", "redis", "rediss", "unix", "redis+sentinel", "redis+cluster", "mongodb", "mongodb+srv")
"""What begins a URL also where no // follows, so that its connector can say what is wrong."""


class Use:
    """The choice of an offer by name (or of a class, "module:Class") and its options."""

    __slots__ = ("name", "options")

    def __init__(self, name: str, /, **options: Any) -> None:
        self.name, self.options = name, options

    @property
    def scheme(self) -> str | None:
        """The scheme, where it is the choice of a URL; the registry finds who has it."""
        return self.name[:-1] if self.name.endswith(":") else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Use) and (self.name, self.options) == (other.name, other.options)

    def __hash__(self) -> int:
        return hash((self.name, repr(self.options)))

    def __repr__(self) -> str:
        return f"Use({', '.join([repr(self.name), *(f'{option}=…' for option in self.options)])})"


class Surroundings:
    """What a configuration takes from the process that makes it, read once: later changes of the current folder or of
    the environment do not send a program's tasks elsewhere.
    """

    __slots__ = ("connector", "folder")

    def __init__(self) -> None:
        try:
            self.folder: str | None = os.getcwd()
            """The current folder, from which relative paths are meant; None where it has been removed."""
        except OSError:
            self.folder = None
        self.connector = os.environ.get(CONNECTOR_VARIABLE) or None
        """The store that the environment names."""


# Rules: what a field may be, and that in words


def whole(least: int, most: int = bounds.MOST) -> Rule:
    """A whole number of that range."""
    return rule(lambda value: bounds.whole(value, least, most), f"a whole number from {least:,} to {most:,}")


def record(kind: type[Settings]) -> Rule:
    """One of these records."""
    return rule(lambda value: isinstance(value, kind), f"{kind.__name__}(…)")


def or_none(inner: Rule, expected: str = "") -> Rule:
    """The same, or None."""

    def of(value: object) -> str | None:
        return None if value is None or not (said := inner(value)) else expected or f"{said}, or None"

    return of


def _exceptions(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, type) and issubclass(one, BaseException) for one in value)


def _delays(value: object) -> bool:
    return isinstance(value, (tuple, list)) and bool(value) and all(map(bounds.period, value))


def _accepted(value: object) -> str | None:
    good = isinstance(value, (tuple, list)) and value and all(isinstance(one, (str, Use)) for one in value)
    return None if good or value is None else 'None or a tuple of serializers, each a name or Use("name", option=…)'


def _plugins(value: object) -> str | None:
    given = value if isinstance(value, (tuple, list)) else [None]
    wrong = [one for one in given if one is None or _wants_an_object(one)]
    name = next((one.__name__ for one in wrong if isinstance(one, type)), "Tally")
    text = f"a list of modules, extensions and objects with hooks; of a class an object, {name}() for {name}"
    return text if wrong else None


def _wants_an_object(one: object) -> bool:
    """True if it is a class, and its hooks are no static ones."""
    named = [vars(cls).items() for cls in (one.__mro__ if isinstance(one, type) else ())]
    hooks = [hook for items in named for name, hook in items if name.startswith("regiment_")]
    return isinstance(one, type) and (not hooks or any(hasattr(hook, "__code__") for hook in hooks))


LIMIT = rule(bounds.limit, f"a positive number of seconds, at most {bounds.YEARS} years")
PERIOD = rule(bounds.period, f"seconds from 0 to {bounds.YEARS} years")
STEEPNESS = rule(lambda value: bounds.period(value, 1, bounds.STEEPEST), f"a number from 1 to {bounds.STEEPEST:,.0f}")
CHOICE = rule(lambda value: isinstance(value, (str, Use)), 'a name or Use("name", option=…)')
CHOICE_OR_NONE = or_none(CHOICE, 'a name, Use("name", …) or None')
EXCEPTIONS = rule(_exceptions, "a tuple of exception types")
DELIVERY = rule(lambda value: value in ("at_least_once", "at_most_once"), '"at_least_once" or "at_most_once"')
DELAYS = rule(_delays, f"a tuple of seconds from 0 to {bounds.YEARS} years")
EVENTS = rule(lambda value: hasattr(value, "values"), "a mapping of events to levels")
RETRIES = or_none(whole(0), f"a whole number from 0 to {bounds.MOST:,}, or None for no end")


# The records


class Timeouts(Settings):
    """Time limits of one task, in seconds.

    Only `hard`: a soft strike (`TaskTimeout` in the task) at `hard`, SIGKILL at `hard + grace`. Both: the soft strike
    at `soft`, SIGKILL at `hard`. Only `soft`: no SIGKILL.
    """

    hard: float | None = field(or_none(LIMIT), default=None)
    soft: float | None = field(or_none(LIMIT), default=None)
    grace: float = field(PERIOD, default=1.0)

    def strikes(self) -> tuple[float | None, float | None]:
        """Seconds until the soft strike and until SIGKILL; None: never."""
        if self.hard is None or self.soft is not None:
            return self.soft, self.hard
        return self.hard, self.hard + self.grace

    def check(self) -> list[str]:
        """All problems of these values, one sentence each; a soft limit comes before the hard one."""
        found = super().check()
        if not found and self.hard is not None and self.soft is not None and self.soft >= self.hard:
            found.append(f"timeouts.soft is {self.soft!r} and hard is {self.hard!r}; soft must come first")
        return found


class Backoff(Settings):
    """Delay before the n-th retry: `first * factor ** (n - 1)` seconds, at most `limit`; with jitter half to all of it."""

    first: float = field(PERIOD, default=1.0)
    factor: float = field(STEEPNESS, default=2.0)
    limit: float = field(PERIOD, default=600.0)
    jitter: bool = True


class Starvation(Settings):
    """Call `on_starvation` after `time_with_no_tasks` seconds without a task."""

    time_with_no_tasks: float = field(LIMIT)


class Logging(Settings):
    """What the worker logs: `level` of its logger, `events` by name -> level (None: silent), extra `handlers`."""

    level: str = "INFO"
    events: Mapping[str, str | None] = field(EVENTS, default={})
    handlers: Sequence[Any] = ()

    def check(self) -> list[str]:
        """All problems of these values, one sentence each; levels are those of `logging`, by name."""
        levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        found = super().check()
        named = [] if found else [level for level in self.events.values() if level is not None]
        wrong = [level for level in (self.level, *named) if level not in levels]
        return found + [f"logging: level {seen(level)} is none of {', '.join(levels)}" for level in wrong]


class WorkerConfig(Settings):
    """Everything that can be set of a worker. `docs/settings.md` tells the meaning of each field."""

    name: str = field(bounds.queue_expected)
    connector: str | Use | None = field(CHOICE_OR_NONE, default=None)
    serializer: str | Use = field(CHOICE, default="msgpack")
    accept: tuple[str | Use, ...] | None = field(_accepted, default=None)
    compressor: str | Use | None = field(CHOICE_OR_NONE, default=None)
    executor: str | Use = field(CHOICE, default=DEFAULT_EXECUTOR)
    killer: str | Use | None = field(CHOICE_OR_NONE, default=None)
    number_of_threads: int | None = field(or_none(whole(1), "a whole number, 1 or more"), default=None)
    tasks_per_transaction: int = field(whole(1, 100_000), default=1)
    timeouts: Timeouts = field(record(Timeouts), default=Timeouts())
    hook_limit: float | None = field(or_none(LIMIT), default=60.0)
    max_retries: int | None = field(RETRIES, default=0)
    retry_on: tuple[type[BaseException], ...] = field(EXCEPTIONS, default=(Exception,))
    dead_on: tuple[type[BaseException], ...] = field(EXCEPTIONS, default=())
    backoff: Backoff = field(record(Backoff), default=Backoff())
    delivery: str = field(DELIVERY, default="at_least_once")
    lease: float = field(LIMIT, default=30.0)
    max_deliveries: int = field(whole(1), default=5)
    poison_delays: tuple[float, ...] = field(DELAYS, default=(0, 1, 5, 25, 125))
    recheck: float = field(LIMIT, default=5.0)
    id_window: float = field(LIMIT, default=3600.0)
    token_window: float = field(LIMIT, default=60.0)
    give_back_after: float | None = field(or_none(LIMIT), default=1.0)
    settle_within: float = field(LIMIT, default=0.5)
    max_tasks_per_run: int = field(whole(0), default=0)
    payload_limit: int = field(whole(1, bounds.LARGEST), default=8 * MIB)
    dead_limit: int = field(whole(1), default=100_000)
    dead_age: float = field(LIMIT, default=90 * DAY)
    unknown_for: float = field(PERIOD, default=600.0)
    push_timeout: float = field(LIMIT, default=2.0)
    push_durability: str | None = None
    starvation: Starvation | None = field(or_none(record(Starvation), "Starvation(seconds), or None"), default=None)
    logging: Logging = field(record(Logging), default=Logging())
    plugins: Sequence[Any] = field(_plugins, default=())

    if TYPE_CHECKING:

        @property
        def surroundings(self) -> Surroundings:
            """Where and with which environment this configuration was made."""

    _prefix = ""

    def _made(self) -> None:
        object.__setattr__(self, "surroundings", Surroundings())
        if isinstance(self.connector, str) and ":" in self.connector:  # so that no repr shows a password
            object.__setattr__(self, "connector", Url(self.connector))

    def replace(self, **changes: Any) -> Any:
        """A copy with some fields changed, made in the same surroundings; `ConfigError` for a field that does not exist."""
        made = super().replace(**changes)
        object.__setattr__(made, "surroundings", self.surroundings)
        return made

    def executor_use(self) -> Use:
        """The executor, `number_of_threads` taken into account."""
        if self.number_of_threads is not None and self.executor == DEFAULT_EXECUTOR:
            return Use("threaded", threads=self.number_of_threads)
        return as_use(self.executor)

    def check(self) -> list[str]:
        """All problems that these values have by themselves; whether the parts exist is the assembly's question."""
        found = super().check()
        for part in ("connector", "serializer", "compressor", "executor", "killer"):
            choice = getattr(self, part)
            if isinstance(choice, str):
                try:
                    as_use(choice)
                except ConfigError as error:
                    found.append(f"{part}: {error}")
        if not found and self.accept is not None:
            own, read = as_use(self.serializer).name, {as_use(one).name for one in self.accept}
            text = f"accept is {self.accept!r} and serializer is {own!r}; expected accept to list {own!r}"
            found += [] if own in read else [f"{text}, or what this queue pushes is not read"]
        return found


def as_use(choice: str | Use) -> Use:
    """A name or a URL as a `Use`; a URL stands under the name of its scheme, which the registry resolves.

    `ConfigError` for what is neither; as it may hold a password, only its beginning is repeated.
    """
    if isinstance(choice, Use):
        return choice
    scheme, colon, rest = choice.partition(":")
    lower = scheme.lower()
    if "://" in choice or (colon and not rest) or (colon and lower in SCHEMES):
        return Use(f"{lower}:", url=Url(f"{lower}:{rest}"))
    if not all(part.isidentifier() for part in rest.split(".")) if colon else not _is_name(choice):
        seen = f'"{choice[:8]}…"' if len(choice) > 8 and not rest.isdigit() else f'"{choice}"'
        raise ConfigError(
            f"{seen} is no name and no URL; expected a name, a URL with its scheme (redis://localhost:6379, sqlite:///queue.db) or "
            '"module:Class"'
        )
    return Use(choice)


def is_offer_name(name: str) -> bool:
    """Whether a name out of data may be looked up at all: 1 to 32 of a-z, 0-9, _ and -.

    A module's name with a colon, a URL or a path is none, so data can name nothing but an offer.
    """
    return 0 < len(name) <= 32 and not name.strip(_OFFER_LETTERS)


_OFFER_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_-"


def _is_name(choice: str) -> bool:
    return choice != "" and all(c.isalnum() or c in "_-.+" for c in choice)
