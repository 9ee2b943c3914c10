"""From a configuration to everything that one worker is made of; all problems are found before anything runs."""

from __future__ import annotations

import inspect
import json
import os
from types import ModuleType
from typing import Any, NamedTuple

from regiment import config as defaults
from regiment import exits
from regiment.broker import Broker
from regiment.build import also_accepted, connector_choice, connector_use, located, make_broker, with_durability
from regiment.config import CONNECTOR_VARIABLE, Timeouts, Use, WorkerConfig, as_use
from regiment.contracts import MOST_SLOTS, Application, Connector, Terms
from regiment.errors import ConfigError, PluginError, RegimentError
from regiment.hooks import ELSEWHERE
from regiment.options import check_options
from regiment.registry import Registry, registry
from regiment.worker import Worker
from regiment_runner.shared.silence import LEAST_LEASE, SILENCE

TEST_LEASES = "REGIMENT_TEST_LEASES"
"""Set by the tests of this repository alone (`tests/harness`), whose leases are tenths of the real ones."""


class Parts(NamedTuple):
    """Everything one worker is made of."""

    config: WorkerConfig
    connector: Connector
    broker: Broker
    executor: Any
    killer: Any
    registry: Registry


class Problem(NamedTuple):
    """What is wrong with a worker's configuration, in words, and the exit code that it asks for."""

    text: str
    code: int = exits.CONFIG


def terms_of(config: WorkerConfig, slots: int = 1) -> Terms:
    """What the worker's consumer asks of its queue."""
    return Terms(
        config.lease,
        tuple(config.poison_delays),
        config.dead_limit,
        config.dead_age,
        config.id_window,
        config.token_window,
        config.delivery,
        slots,
    )


def check(app: Application, where: str = "") -> list[Problem]:
    """All problems of a worker's configuration, whatever their kind; nothing is connected."""
    config = app.config
    problems = [Problem(text) for text in (*config.check(), *_of_tasks(app), *_of_hooks(app))]
    problems += [] if problems else _lease_too_short(config)
    reg = registry().scope(config.plugins if isinstance(config.plugins, (tuple, list)) else ())
    problems += [Problem(str(error), error.exit_code) for error in reg.errors] + _of_objects(config)
    uses: list[tuple[str, Any]] = [
        *(("serializers", one) for one in also_accepted(config)),
        ("serializers", config.serializer),
        ("compressors", config.compressor),
    ]
    if isinstance(config.connector, (str, Use, type(None))):
        uses.insert(0, ("connectors", config.connector or _chosen(config, problems)))
    if config.executor == defaults.DEFAULT_EXECUTOR:
        uses.append(("executors", config.executor_use()))
    else:
        uses.append(("executors", config.executor))
    uses.append(("killers", config.killer))
    classes: dict[str, Any] = {}
    for kind, choice in uses:
        if not isinstance(choice, (str, Use)):
            continue
        try:
            use = with_durability(config, as_use(choice)) if kind == "connectors" else as_use(choice)
        except ConfigError:
            continue  # a problem of the configuration itself, said already
        try:
            name, cls = reg.resolve(kind, use, f"{where}.config.{kind[:-1]}" if where else "")
        except (PluginError, ImportError, AttributeError) as error:
            problems.append(Problem(str(error), exits.PLUGIN if isinstance(error, PluginError) else exits.CONFIG))
            continue
        classes[kind] = cls
        problems += map(Problem, check_options(f"{kind[:-1]} {name!r}", cls, use.options))
    if "executors" in classes and not problems:
        problems += _fit(app, reg, classes)
    if not problems:
        problems += _not_kept(config, reg, where)
    return problems


def _not_kept(config: WorkerConfig, reg: Registry, where: str) -> list[Problem]:
    """What a plugin needs of the store, and the store does not keep."""
    try:
        located(config, reg, where)
    except RegimentError as error:
        return [Problem(str(error), error.exit_code)]
    return []


def _lease_too_short(config: WorkerConfig) -> list[Problem]:
    """A keeper that hangs is replaced after `SILENCE`; a lease that ends sooner lets two living workers run one task."""
    if config.lease >= LEAST_LEASE or TEST_LEASES in os.environ:
        return []
    text = (
        f"lease is {config.lease:g} s; expected {LEAST_LEASE:g} or more: a keeper that hangs is replaced after {SILENCE:g} s, "
        f"and a lease that ends before its successor renews it lets a second worker run what still runs"
    )
    return [Problem(text)]


def _of_objects(config: WorkerConfig) -> list[Problem]:
    """What no other process could build: an object with hooks for the keeper or the supervisor, options that are no data."""
    problems: list[Problem] = []
    for item in config.plugins if isinstance(config.plugins, (tuple, list)) else ():
        name = getattr(item, "__name__", type(item).__name__)
        if isinstance(item, Use):
            try:
                json.dumps(item.options)
            except (TypeError, ValueError) as error:
                text = f"the extension {item.name!r} has options that are no plain data: {error}"
                problems.append(Problem(text))
        elif not isinstance(item, (str, ModuleType)) and (far := [hook for hook in ELSEWHERE if hasattr(item, hook)]):
            text = (
                f"plugins=: the object {name} has {far[0]}, which is asked in a process that never imports this "
                f'application; name its module ("package.module"), or offer it as an extension and use that'
            )
            problems.append(Problem(text))
    return problems


def plugins_as_data(config: WorkerConfig) -> list[str | dict[str, Any]]:
    """The plugins of a queue that other processes build for themselves: modules, and extensions with their options."""
    found: list[str | dict[str, Any]] = []
    for item in config.plugins:
        if isinstance(item, Use):
            found.append({"name": item.name, "options": item.options})
        elif isinstance(item, (str, ModuleType)):
            found.append(item if isinstance(item, str) else item.__name__)
    return found


def _chosen(config: WorkerConfig, problems: list[Problem]) -> Use | None:
    """The connector that the environment or the default chooses; None and a problem more if it names none."""
    try:
        return connector_choice(config)[0]
    except ConfigError as error:
        problems.append(Problem(f"{CONNECTOR_VARIABLE}: {error}"))
        return None


def _of_tasks(app: Application) -> list[str]:
    """Problems of what single tasks of a `Queue` set for themselves."""
    ours = set(app.config.check())
    return [
        f"task {name!r}: {problem}"
        for name, task in getattr(app, "tasks", {}).items()
        for problem in app.config.replace(**task.settings).check()
        if problem not in ours
    ]


def _of_hooks(app: Application) -> list[str]:
    """Hooks that cannot take what they are called with: each call would be an error in the log, and nothing else."""
    problems = []
    for name, hook in app.handlers.items():
        wanted = list(inspect.signature(getattr(Worker, name)).parameters)[1:]
        try:
            takes = inspect.signature(hook)
        except (TypeError, ValueError):
            continue  # made in C, and says nothing of itself
        try:
            takes.bind(*wanted)
        except TypeError as error:
            problems.append(f"the hook {name} takes {takes}, and is called as {name}({', '.join(wanted)}): {error}")
    return problems


def _limits(app: Application) -> list[tuple[str, Timeouts]]:
    """Every time limit that is asked for: the worker's, and those of single tasks."""
    tasks = getattr(app, "tasks", {})
    own = [(f"task {name!r}: ", task.settings.get("timeouts")) for name, task in tasks.items()]
    return [("", app.config.timeouts), *((name, limit) for name, limit in own if limit is not None)]


def _fit(app: Application, reg: Registry, classes: dict[str, Any]) -> list[Problem]:
    """Whether executor, killer, connector and the user's code can do together what is asked of them."""
    config, executor = app.config, classes["executors"]
    killer_use = as_use(config.killer or executor.default_killer)
    try:
        killer_name, killer = reg.resolve("killers", killer_use)
    except PluginError as error:
        return [Problem(str(error), exits.PLUGIN)]
    executor_name = config.executor_use().name
    problems = _unplaced(executor, executor_name, config) + _never_run(app)
    problems += executor.refuses(app) if hasattr(executor, "refuses") else ()
    for whose, timeouts in _limits(app):
        if timeouts.strikes()[1] is not None and executor.place not in killer.ends:
            problems.append(
                f"{whose}a hard limit ({timeouts!r}) cannot be enforced by killer {killer_name!r} in executor {executor_name!r}; "
                f"killers that can: {_able(reg, 'ends', executor.place)}"
            )
        if timeouts.soft is not None and executor.place not in killer.softens:
            problems.append(
                f"{whose}a soft limit ({timeouts!r}) cannot be enforced by killer {killer_name!r} in executor {executor_name!r}; "
                f"killers that can: {_able(reg, 'softens', executor.place)}"
            )
        elif timeouts.soft is not None and executor.is_async and (plain := _plain_works(app, whose)):
            problems.append(
                f"{whose}a soft limit ({timeouts!r}) cannot be enforced on {', '.join(plain)}: executor {executor_name!r} runs plain "
                f"def in a thread, which is not cancelled; make it async def, or set a hard limit alone"
            )
    if not executor.is_async:
        names = [
            *(name for name, hook in app.handlers.items() if inspect.iscoroutinefunction(hook)),
            *(name for name, work in _works(app) if inspect.iscoroutinefunction(work)),
        ]
        if names:
            problems.append(
                f"{', '.join(sorted(names))}: async def needs an executor that awaits; "
                f'{executor_name!r} does not, executor="asyncio" does'
            )
    return [Problem(text) for text in problems]


def _never_run(app: Application) -> list[str]:
    """What is called and would run nothing: generator functions as work or as hooks."""
    names = [
        name
        for name, function in [*_works(app), *app.handlers.items()]
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    ]
    if not names:
        return []
    return [
        f"{', '.join(sorted(names))}: a generator (it has a yield), and a call would run nothing of it; do the work and return"
    ]


def _unplaced(executor: Any, name: str, config: WorkerConfig) -> list[str]:
    """What is wrong with the number of slots."""
    if config.number_of_threads is not None and as_use(config.executor).name != defaults.DEFAULT_EXECUTOR:
        return [
            f"number_of_threads is {config.number_of_threads!r} and executor is {name!r}; number_of_threads is short for "
            f'executor=Use("threaded", threads=…), set one of the two'
        ]
    try:
        slots = executor(**config.executor_use().options).slots
    except Exception as error:
        return [f"executor {name!r} cannot be made: {type(error).__name__}: {error}"]
    if isinstance(slots, int) and 1 <= slots <= MOST_SLOTS:
        return []
    return [f"executor {name!r} has {slots!r} slots; expected 1 to {MOST_SLOTS:,}"]


def _works(app: Application) -> list[tuple[str, Any]]:
    return list(getattr(app, "works", {}).items())


def _plain_works(app: Application, whose: str) -> list[str]:
    """Names of the plain functions that run under a limit."""
    return [
        name
        for name, work in _works(app)
        if not inspect.iscoroutinefunction(work) and whose in ("", f"task {name!r}: ")
    ]


def _able(reg: Registry, verb: str, place: str) -> str:
    """Names of the killers that can do it there."""
    able = [name for name in reg.names("killers") if place in getattr(reg.resolve("killers", Use(name))[1], verb)]
    return ", ".join(able) or "none installed"


def assemble(app: Application, where: str = "") -> Parts:
    """Check everything and build the parts; all problems are raised as one `ConfigError`, but for a part that is not
    here: that is a `PluginError` of its own, and comes first.
    """
    problems = check(app, where)
    for problem in problems:
        if problem.code == exits.PLUGIN:
            raise PluginError(problem.text)
    if problems:
        raise ConfigError([problem.text for problem in problems])
    config, reg = app.config, registry().scope(app.config.plugins)
    broker = make_broker(config, where)
    executor = reg.build("executors", config.executor_use())
    killer = reg.build("killers", as_use(config.killer or executor.default_killer))
    return Parts(config, broker.make(), broker, executor, killer, reg)


def signs_and_reads_unsigned(config: WorkerConfig) -> bool:
    """True if the serializer signs messages and the queue reads those of every other serializer as well."""
    _, cls = registry().scope(config.plugins).resolve("serializers", as_use(config.serializer))
    return config.accept is None and hasattr(cls, "seal")


def keeper_spec(parts: Parts, app: Application) -> dict[str, Any]:
    """What supervisor and keeper must know of a worker, as data; an application's module is not among it."""
    name, _, options = located(parts.config, parts.registry, "")
    config, killer = parts.config, as_use(parts.config.killer or parts.executor.default_killer)
    spec = {
        "queue": config.name,
        "connector": {
            "name": name,
            "options": options,
            "where": parts.connector.describe(),
            "plugins": [item for item in plugins_as_data(config) if isinstance(item, str)],
        },
        "plugins": plugins_as_data(config),
        "killer": {"name": killer.name, "options": killer.options},
        "lease": config.lease,
        "give_back_after": config.give_back_after,
        "settle_within": config.settle_within,
        "graces": _graces(app),
        "delivery": config.delivery,
        "parts": parts_in_words(parts),
    }
    try:
        return dict(json.loads(json.dumps(spec)))
    except TypeError as error:
        raise ConfigError(f"options of connector and killer must be plain data: {error}") from None


def _graces(app: Application) -> dict[str, float]:
    """Name of a task that sets its own limits -> its grace; under the empty name the queue's."""
    own = {name: task.settings.get("timeouts") for name, task in getattr(app, "tasks", {}).items()}
    return {"": app.config.timeouts.grace, **{name: limits.grace for name, limits in own.items() if limits is not None}}


def parts_in_words(parts: Parts) -> dict[str, str]:
    """Kind -> what the worker uses of it, for people."""
    config = parts.config
    _, where = connector_use(config)
    return {
        "connector": f"{parts.connector.describe()}, from {where}",
        "serializer": as_use(config.serializer).name,
        "compressor": "none" if config.compressor is None else as_use(config.compressor).name,
        "executor": config.executor_use().name,
        "killer": as_use(config.killer or parts.executor.default_killer).name,
    }
