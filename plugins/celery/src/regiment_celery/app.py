"""`Celery(…)`: an application, which is its default queue, and has one more for each other queue that its code names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any

from regiment.bounds import seen
from regiment.config import WorkerConfig
from regiment.errors import nearest
from regiment.pushing import Outlet
from regiment.queue import Queue
from regiment.task import Task as Record
from regiment_celery import shared
from regiment_celery.beat import Periodic
from regiment_celery.conf import COMPRESSORS, Conf, lifetime, limits, store_of
from regiment_celery.connections import Connections
from regiment_celery.ending import Ending, handlers_of
from regiment_celery.exceptions import NotRegistered
from regiment_celery.lanes import Lane
from regiment_celery.options import Refused, tell
from regiment_celery.rates import budgets
from regiment_celery.result import AsyncResult, GroupResult
from regiment_celery.sending import Sending
from regiment_celery.signals import Signal
from regiment_celery.task import Task, options_of, refuse_function
from regiment_celery.values import name_of
from regiment_results import Results
from regiment_schedules.zones import zone
from regiment_workflows import Workflows

_REFUSED = {
    "control": "commands read the store: regiment tasks cancel, regiment queues pause, regiment workers (docs/operating.md)",
    "events": "the log, hooks and `regiment metrics` tell what happens",
    "amqp": "a store has queues and no exchanges",
    "backend": "app.AsyncResult(id) reads and forgets results",
    "pool": "a program has one connection for each store",
    "connection": "a program has one connection for each store",
    "connection_for_write": "a program has one connection for each store",
    "worker_main": "regiment run TARGET",
    "start": "regiment run TARGET",
    "Worker": "regiment run TARGET",
    "Beat": "every `regiment run` fires, each tick once",
    "register_task": "make a function a task: @app.task(bind=True)",
    "setup_security": 'sign: Celery(…, regiment={"serializer": Use("signed", …)})',
    "user_options": "commands are plugins: docs/hooks.md",
    "steps": "a plugin's hooks see every attempt: docs/hooks.md",
}
_PASSIVE = (
    "loader",
    "amqp",
    "events",
    "log",
    "control",
    "fixups",
    "autofinalize",
    "strict_typing",
    "config_source_silent",
)
"""Arguments of Celery(…) that only None, or a truth value, may be given for."""


class Celery(Sending):
    """An application of Celery. `regiment=` are settings of `WorkerConfig` for all its queues; `{"canvas": False}` there says that
    it makes no chains, groups, chords and errbacks, which makes its runs cheaper.

    `regiment run MODULE:APP` serves its default queue and all other queues that its settings and tasks name.
    """

    def __init__(
        self,
        main: str | None = None,
        *,
        broker: Any = None,
        backend: Any = None,
        include: Any = (),
        changes: Mapping[str, Any] | None = None,
        config_source: Any = None,
        namespace: str | None = None,
        set_as_current: bool = True,
        task_cls: Any = None,
        regiment: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.main, self.namespace = main, namespace
        self.own = dict(regiment or {})
        self.canvas = self.own.pop("canvas", True)
        if not isinstance(self.canvas, bool):
            raise Refused(f'Celery(regiment={{"canvas": …}}) is {seen(self.canvas)}; expected True or False')
        self.tasks: dict[str, Any] = {}
        self.periodic = Periodic(self)
        self.discover: list[Callable[[], Any]] = []
        self.on_configure, self.on_after_configure = Signal("on_configure"), Signal("on_after_configure")
        self.on_after_finalize, self.on_after_fork = Signal("on_after_finalize"), Signal("on_after_fork")
        self._version, self._made, self._loaded = 0, dict[str, tuple[int, WorkerConfig]](), False
        self._lanes: dict[str, Lane] = {}
        self.conf = Conf(self.changed)
        self.Task: type[Task] = _base_class(task_cls)
        self.outlet = Outlet(lambda: self.config, f"Celery({main!r})")
        for name in _PASSIVE:
            value = settings.pop(name, None)
            if value is not None and not isinstance(value, bool):
                raise Refused(f"Celery({name}=…) cannot be had here; a plugin's hooks take its place: docs/hooks.md")
        given = {"broker_url": broker, "result_backend": backend, "include": include, **(changes or {}), **settings}
        self.conf.update({name: value for name, value in given.items() if value})
        if config_source is not None:
            self.config_from_object(config_source, namespace=namespace)
        shared.add_app(self, set_as_current)

    def __repr__(self) -> str:
        return f"<Celery {self.main or '__main__'}: {', '.join(self.tasks) or 'no tasks'}>"

    def __getattr__(self, name: str) -> Any:
        if name in _REFUSED:
            raise Refused(f"app.{name} cannot be had here; {_REFUSED[name]}")
        raise AttributeError(
            f"a Celery application has no {name!r}.{nearest(name, [*dir(type(self)), *self.__dict__])}"
        )

    # Settings

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> None:
        """Take the settings of a module, an object, or what a path names: "celeryconfig", "django.conf:settings"."""
        if silent:
            tell("config_from_object(silent=True) has no effect here: a module that is missing is an error")
        self.conf.read(obj, namespace or self.namespace or "")

    def config_from_envvar(self, variable_name: str, silent: bool = False, force: bool = False) -> None:
        """Take the settings of the module that a variable of the environment names."""
        module = os.environ.get(variable_name)
        if not module:
            raise Refused(f"the variable {variable_name} is not set; expected the name of a module of settings")
        self.config_from_object(module, silent)

    def add_defaults(self, fun: Any) -> None:
        """Take settings that nothing else has set."""
        for name, value in (fun() if callable(fun) else fun).items():
            self.conf.setdefault(name, value)

    def changed(self) -> None:
        """A setting has changed: what was made of it is made anew."""
        self._version += 1
        for outlet in (self.outlet, *(lane.outlet for lane in self._lanes.values())):
            outlet._broker = None

    @property
    def name(self) -> str:  # type: ignore[override]
        """The default queue."""
        return str(self.own.get("name") or self.conf["task_default_queue"])

    @property
    def include(self) -> tuple[str, ...]:  # type: ignore[override]
        """Modules with tasks."""
        found: list[str] = []
        for given in (self.conf["include"], self.conf["imports"]):
            found += [given] if isinstance(given, str) else given or ()
        return tuple(found)

    @property
    def config(self) -> WorkerConfig:  # type: ignore[override]
        """The configuration of the default queue."""
        return self.config_for(self.name)

    def config_for(self, queue: str) -> WorkerConfig:
        """The configuration of one of its queues."""
        version, made = self._made.get(queue, (-1, None))
        if made is None or version != self._version:
            made = self._configured(queue)
            self._made[queue] = self._version, made
        return made

    def _configured(self, queue: str) -> WorkerConfig:
        conf, settings = self.conf, dict[str, Any]()
        plugins: list[Any] = [Workflows(), Ending(self)] if self.canvas else []
        if os.environ.get("DJANGO_SETTINGS_MODULE"):
            plugins.append(Connections())
        if conf["result_backend"]:
            ttl = lifetime(conf["result_expires"]) or 10 * 365 * 86_400.0
            plugins.append(Results(ttl=ttl, failure_ttl=ttl))
        if conf["task_compression"]:
            settings["compressor"] = COMPRESSORS[conf["task_compression"]]
        if conf["task_serializer"]:
            settings["serializer"] = conf["task_serializer"]
        if conf["worker_max_tasks_per_child"]:
            settings["max_tasks_per_run"] = conf["worker_max_tasks_per_child"]
        if conf["worker_pool"] == "threads":
            settings["executor"] = "threaded"
        settings |= {
            "connector": store_of(conf["broker_url"]),
            "delivery": "at_least_once" if conf["task_acks_late"] else "at_most_once",
            "timeouts": limits(conf["task_soft_time_limit"], conf["task_time_limit"]),
            "max_retries": 3,
            "retry_on": (),
        }
        own = {name: value for name, value in self.own.items() if name not in ("name", "plugins")}
        plugins += [*self.own.get("plugins", ()), *budgets(self.tasks, self.own.get("plugins", ()))]
        return WorkerConfig(name=queue, **{**settings, **own, "plugins": plugins})

    @property
    def timezone(self) -> Any:
        """The zone in which naive datetimes and schedules are meant."""
        return zone(str(self.conf["timezone"] or "UTC"))

    def now(self) -> datetime:
        """The time, in the zone of the application."""
        return datetime.now(self.timezone)

    def moment(self, value: Any) -> Any:
        """A datetime, made aware by the zone of the application."""
        return value.replace(tzinfo=self.timezone) if isinstance(value, datetime) and value.tzinfo is None else value

    # Tasks

    def task(self, *args: Any, **options: Any) -> Any:
        """`@app.task` and `@app.task(…)`: make a function a task."""
        if len(args) == 1 and callable(args[0]):
            return self._task(args[0], options)
        if args:
            raise Refused(f"@app.task got {args!r}; expected options by name")
        return lambda function: self._task(function, options)

    def _task(self, function: Any, given: dict[str, Any]) -> Any:
        where = f"@app.task on {getattr(function, '__qualname__', function)!s}"
        if isinstance(function, Task):
            return function
        refuse_function(function, where)
        base = given.get("base") or self.Task
        if not isinstance(base, type) or not issubclass(base, Task):
            raise Refused(f"{where}: base={base!r}; expected a class derived from regiment_celery.Task")
        options = options_of(base, given, where)
        name = options.get("name") or self._named(function)
        made = base(self, function, name, options)
        self.tasks[name] = made
        self._version += 1
        if made.rate is not None:
            self.changed()
        return made

    def _named(self, function: Callable[..., Any]) -> str:
        if function.__module__ == "__main__" and self.main:
            return f"{self.main}.{function.__name__}"
        return name_of(function)

    gen_task_name = staticmethod(lambda name, module: f"{module}.{name}")

    def autodiscover_tasks(self, packages: Any = None, related_name: str | None = "tasks", force: bool = False) -> None:
        """Import `tasks` of these packages (of a project of Django: of its applications) when the tasks are needed. An error in
        one reaches who needs them.
        """

        def found() -> None:
            names = packages() if callable(packages) else packages
            for package in names if names is not None else _django_apps():
                _import_related(package, related_name)

        self.discover.append(found)
        self._loaded = False

    def load(self) -> None:
        """Import everything that defines tasks, and let those who wait for that add theirs."""
        if self._loaded:
            return
        self._loaded = True
        for module in self.include:
            import_module(module)
        for find in self.discover:
            find()
        for signal in (self.on_configure, self.on_after_configure, self.on_after_finalize):
            signal.send(sender=self)
        self.periodic.settle()

    finalize = load

    def set_current(self) -> None:
        """Let it be the application of shared tasks."""
        shared.make_current(self)

    set_default = set_current

    @property
    def current_task(self) -> Any:
        """The task that runs here, or None."""
        return shared.task_now()

    def task_named(self, name: str) -> Any:
        """The task of this name; `NotRegistered` with the nearest one if there is none."""
        if name not in self.tasks:
            self.load()
        if name not in self.tasks:
            raise NotRegistered(
                f'no task "{name}".{nearest(name, self.tasks)} There are: {", ".join(self.tasks) or "none"}'
            )
        return self.tasks[name]

    # Periodic tasks

    def add_periodic_task(
        self, schedule: Any, sig: Any, args: Any = (), kwargs: Any = None, name: str | None = None, **options: Any
    ) -> str:
        """Push a signature by the clock."""
        added: str = self.periodic.add(schedule, sig, tuple(args), dict(kwargs or {}), name, options)
        return added

    # Results

    def AsyncResult(self, id: str, **_: Any) -> AsyncResult:  # noqa: N802  Celery's name
        """The result of a task, or of a chain, by its id."""
        return AsyncResult(id, app=self)

    def GroupResult(self, id: str, *_: Any) -> GroupResult:  # noqa: N802  Celery's name
        """The result of a group by its id."""
        return GroupResult(id, app=self)

    # Queues, and what a worker asks

    def queue_names(self) -> list[str]:
        """The queues that its settings and tasks name, the default one first."""
        return list(dict.fromkeys([self.name, *self.routed()]))

    def lane(self, queue: str) -> Queue:
        """What serves and pushes to one of its queues."""
        if queue == self.name:
            return self
        if queue not in self._lanes:
            self._lanes[queue] = Lane(self, queue)
        return self._lanes[queue]

    def others(self) -> dict[str, Queue]:
        """Its further queues by name: `regiment run` serves them as well."""
        return {name: self.lane(name) for name in self.queue_names()[1:]}

    @property
    def handlers(self) -> dict[str, Any]:  # type: ignore[override]
        """What is called of signals, and of bases of tasks."""
        return handlers_of(self)

    def work_of(self, name: str) -> Callable[[Record], Any] | None:
        """What runs tasks of this name, or None."""
        found = self.tasks.get(name)
        return None if found is None else found.work

    def config_of(self, name: str) -> WorkerConfig:
        """The configuration with the settings of the task of this name."""
        task = self.tasks[name]
        soft, hard = (task.how.get(limit) for limit in ("soft_time_limit", "time_limit"))
        config = self.config
        timeouts = (
            config.timeouts
            if soft is hard is None
            else limits(soft or config.timeouts.soft, hard or config.timeouts.hard)
        )
        made: WorkerConfig = config.replace(**task.settings, timeouts=timeouts)
        return made


def _base_class(given: Any) -> type[Task]:
    if given is None:
        return Task
    if isinstance(given, str):
        module, _, name = given.replace(":", ".").rpartition(".")
        given = getattr(import_module(module), name)
    if not isinstance(given, type) or not issubclass(given, Task):
        raise Refused(f"task_cls is {given!r}; expected a class derived from regiment_celery.Task")
    return given


def _django_apps() -> list[str]:
    django = import_module("django")
    apps: Any = import_module("django.apps").apps
    if not apps.ready:
        django.setup()
    return [config.name for config in apps.get_app_configs()]


def _import_related(package: str, related: str | None) -> None:
    name = f"{package}.{related}" if related else package
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
