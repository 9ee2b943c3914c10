"""The one place where a worker is configured: `WorkerConfig` and its parts, frozen records that collect their problems."""

from __future__ import annotations

import os

from regiment import bounds
from regiment.errors import ConfigError
from regiment.masking import Url, masked
from regiment.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

MIB = 1024 * 1024
DAY = 86_400.0

POSITIVE = f"a positive number of seconds, at most {bounds.YEARS} years"
FROM_ZERO = f"seconds from 0 to {bounds.YEARS} years"

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


class Timeouts(Settings):
    """Time limits of one task, in seconds.

    Only `hard`: a soft strike (`TaskTimeout` in the task) at `hard`, SIGKILL at `hard + grace`. Both: the soft strike
    at `soft`, SIGKILL at `hard`. Only `soft`: no SIGKILL.
    """

    hard: float | None = None
    soft: float | None = None
    grace: float = 1.0

    def strikes(self) -> tuple[float | None, float | None]:
        """Seconds until the soft strike and until SIGKILL; None: never."""
        if self.hard is None or self.soft is not None:
            return self.soft, self.hard
        return self.hard, self.hard + self.grace

    def check(self) -> list[str]:
        found = [
            f"timeouts.{name} is {_seen(value)}; expected {POSITIVE}, or None"
            for name, value in (("hard", self.hard), ("soft", self.soft))
            if value is not None and not bounds.limit(value)
        ]
        if not bounds.period(self.grace):
            found.append(f"timeouts.grace is {_seen(self.grace)}; expected {FROM_ZERO}")
        if not found and self.hard is not None and self.soft is not None and self.soft >= self.hard:
            found.append(f"timeouts.soft is {self.soft!r} and hard is {self.hard!r}; soft must come first")
        return found


class Backoff(Settings):
    """Delay before the n-th retry: `first * factor ** (n - 1)` seconds, at most `limit`; with jitter half to all of it."""

    first: float = 1.0
    factor: float = 2.0
    limit: float = 600.0
    jitter: bool = True

    def check(self) -> list[str]:
        found = [
            f"backoff.{name} is {_seen(value)}; expected {FROM_ZERO}"
            for name, value in (("first", self.first), ("limit", self.limit))
            if not bounds.period(value)
        ]
        if not bounds.period(self.factor, 1, bounds.STEEPEST):
            found.append(f"backoff.factor is {_seen(self.factor)}; expected a number from 1 to {bounds.STEEPEST:,.0f}")
        return found


class Starvation(Settings):
    """Call `on_starvation` after this many seconds without a task."""

    time_with_no_tasks: float = ...  # type: ignore[assignment]

    def check(self) -> list[str]:
        if bounds.limit(self.time_with_no_tasks):
            return []
        return [f"starvation.time_with_no_tasks is {_seen(self.time_with_no_tasks)}; expected {POSITIVE}"]


class Logging(Settings):
    """What the worker logs: `level` of its logger, `events` by name -> level (None: silent), extra `handlers`."""

    level: str = "INFO"
    events: Mapping[str, str | None] = {}
    handlers: Sequence[Any] = ()

    def check(self) -> list[str]:
        levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        try:
            named = [level for level in self.events.values() if level is not None]
        except AttributeError:
            return [f"logging.events is {_seen(self.events)}; expected a mapping of events to levels"]
        wrong = [self.level, *named]
        return [
            f"logging: level {_seen(level)} is none of {', '.join(levels)}" for level in wrong if level not in levels
        ]


class WorkerConfig(Settings):
    """Everything that can be set of a worker. `docs/settings.md` tells the meaning of each field."""

    name: str = ...  # type: ignore[assignment]
    connector: str | Use | None = None
    serializer: str | Use = "msgpack"
    accept: tuple[str | Use, ...] | None = None
    compressor: str | Use | None = None
    executor: str | Use = DEFAULT_EXECUTOR
    killer: str | Use | None = None
    number_of_threads: int | None = None
    tasks_per_transaction: int = 1
    timeouts: Timeouts = Timeouts()
    max_retries: int | None = 0
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    dead_on: tuple[type[BaseException], ...] = ()
    backoff: Backoff = Backoff()
    delivery: str = "at_least_once"
    lease: float = 30.0
    max_deliveries: int = 5
    poison_delays: tuple[float, ...] = (0, 1, 5, 25, 125)
    recheck: float = 5.0
    id_window: float = 3600.0
    token_window: float = 60.0
    give_back_after: float | None = 1.0
    settle_within: float = 0.5
    max_tasks_per_run: int = 0
    payload_limit: int = 8 * MIB
    dead_limit: int = 100_000
    dead_age: float = 90 * DAY
    unknown_for: float = 600.0
    push_timeout: float = 2.0
    push_durability: str | None = None
    starvation: Starvation | None = None
    logging: Logging = Logging()
    plugins: Sequence[Any] = ()

    if TYPE_CHECKING:

        @property
        def surroundings(self) -> Surroundings:
            """Where and with which environment this configuration was made."""

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
        found: list[str] = []

        def expect(field: str, good: bool, expected: str) -> None:
            if not good:
                found.append(f"{field} is {_seen(getattr(self, field))}; expected {expected}")

        problem = bounds.name_problem(self.name)
        if problem:
            found.append(problem)
        for field in ("serializer", "executor"):
            expect(
                field,
                isinstance(getattr(self, field), (str, Use)),
                'a name or Use("name", option=…)',
            )
        for field in ("connector", "compressor", "killer"):
            expect(
                field,
                isinstance(getattr(self, field), (str, Use, type(None))),
                'a name, Use("name", …) or None',
            )
        for field in ("connector", "serializer", "compressor", "executor", "killer"):
            if isinstance(getattr(self, field), str):
                try:
                    as_use(getattr(self, field))
                except ConfigError as error:
                    found.append(f"{field}: {error}")
        found += _accept_problems(self.accept, self.serializer)
        threads = self.number_of_threads
        expect(
            "number_of_threads",
            threads is None or bounds.whole(threads, 1),
            "a whole number, 1 or more",
        )
        expect(
            "tasks_per_transaction",
            bounds.whole(self.tasks_per_transaction, 1, 100_000),
            "a whole number from 1 to 100,000",
        )
        expect(
            "max_retries",
            self.max_retries is None or bounds.whole(self.max_retries, 0),
            f"a whole number from 0 to {bounds.MOST:,}, or None for no end",
        )
        for field in ("retry_on", "dead_on"):
            value = getattr(self, field)
            types = isinstance(value, tuple) and all(
                isinstance(t, type) and issubclass(t, BaseException) for t in value
            )
            expect(field, types, "a tuple of exception types")
        expect(
            "delivery",
            self.delivery in ("at_least_once", "at_most_once"),
            '"at_least_once" or "at_most_once"',
        )
        expect(
            "max_deliveries",
            bounds.whole(self.max_deliveries, 1),
            f"a whole number from 1 to {bounds.MOST:,}",
        )
        expect(
            "max_tasks_per_run",
            bounds.whole(self.max_tasks_per_run, 0),
            f"a whole number from 0 to {bounds.MOST:,}",
        )
        for field, most in (("payload_limit", bounds.LARGEST), ("dead_limit", bounds.MOST)):
            expect(
                field,
                bounds.whole(getattr(self, field), 1, most),
                f"a whole number from 1 to {most:,}",
            )
        for field in (
            "lease",
            "recheck",
            "id_window",
            "token_window",
            "settle_within",
            "dead_age",
            "push_timeout",
        ):
            expect(field, bounds.limit(getattr(self, field)), POSITIVE)
        expect("unknown_for", bounds.period(self.unknown_for), FROM_ZERO)
        expect(
            "give_back_after",
            self.give_back_after is None or bounds.limit(self.give_back_after),
            f"{POSITIVE}, or None",
        )
        expect(
            "poison_delays",
            isinstance(self.poison_delays, (tuple, list))
            and bool(self.poison_delays)
            and all(map(bounds.period, self.poison_delays)),
            f"a tuple of {FROM_ZERO}",
        )
        for field, kind in (("timeouts", Timeouts), ("backoff", Backoff), ("logging", Logging)):
            expect(field, isinstance(getattr(self, field), kind), f"{kind.__name__}(…)")
        expect(
            "starvation",
            isinstance(self.starvation, (Starvation, type(None))),
            "Starvation(seconds), or None",
        )
        for field in ("timeouts", "backoff", "logging", "starvation"):
            if isinstance(getattr(self, field), Settings):
                found += getattr(self, field).check()
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
        raise ConfigError(
            f"{masked_choice(choice)} is no name and no URL; expected a name, a URL (redis://host:6379/0, "
            'sqlite:///queue.db) or "module:Class"'
        )
    return Use(choice)


def _accept_problems(accept: object, serializer: object) -> list[str]:
    """What is wrong with the list of serializers that a queue reads."""
    if accept is None:
        return []
    expected = 'expected None or a tuple of serializers, each a name or Use("name", option=…)'
    if not isinstance(accept, (tuple, list)) or not accept:
        return [f"accept is {accept!r}; {expected}"]
    if not all(isinstance(one, (str, Use)) for one in accept):
        return [f"accept is {accept!r}; {expected}"]
    if not isinstance(serializer, (str, Use)):
        return []
    own = as_use(serializer).name
    if own in {as_use(one).name for one in accept}:
        return []
    return [
        f"accept is {accept!r} and serializer is {own!r}; expected accept to list {own!r}, or what this queue pushes "
        "is not read"
    ]


def is_offer_name(name: str) -> bool:
    """Whether a name out of data may be looked up at all: 1 to 32 of a-z, 0-9, _ and -.

    A module's name with a colon, a URL or a path is none, so data can name nothing but an offer.
    """
    return 0 < len(name) <= 32 and not name.strip(_OFFER_LETTERS)


_OFFER_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_-"


def _is_name(choice: str) -> bool:
    return choice != "" and all(c.isalnum() or c in "_-.+" for c in choice)


def masked_choice(choice: str) -> str:
    """The beginning of what should have been a name or a URL."""
    return f'"{choice[:8]}…"' if len(choice) > 8 else repr(choice)


def _seen(value: object) -> str:
    """A setting's value as an error shows it: a URL without its secrets, what may hold one by its type alone."""
    if isinstance(value, (dict, list, bytes)):
        return f"a {type(value).__name__}"
    shown = bounds.seen(value)
    if "://" not in shown:
        return shown
    return masked(shown)
