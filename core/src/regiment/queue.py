"""The function form: a `Queue` and the functions that are its tasks."""

from __future__ import annotations

from regiment.bounds import TEXT, seen, text
from regiment.config import Timeouts, WorkerConfig
from regiment.errors import ArgumentsError, ConfigError, nearest
from regiment.pushing import Generic, Names, Outlet, P, Pushing, arguments, each
from regiment.task import RULES
from regiment.worker import HOOKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, TypeVar, overload

    from regiment.broker import Broker
    from regiment.lock import Lock
    from regiment.task import Task

    R = TypeVar("R")
    F = TypeVar("F", bound=Callable[..., Any])
else:
    R = None

    def overload(function: Any) -> Any:
        return function


_VAR_POSITIONAL, _VAR_KEYWORD, _YIELDS = 0x04, 0x08, 0x20 | 0x200  # of a code object's co_flags


def _home(function: Any) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def _must_return(function: Any, what: str) -> None:
    """A call of a generator function runs nothing of it, so it is neither task nor hook."""
    code = getattr(function, "__code__", None)
    if code is not None and code.co_flags & _YIELDS:
        why = "it is a generator (it has a yield), and a call would run nothing of it"
        raise ConfigError(f"{what}: {why}; do the work and return")


class Parameters(Names):
    """The parameters of a task function, read from its code object (`inspect` costs more than a push)."""

    def __init__(self, function: Any, what: str) -> None:
        code = function.__code__
        count = code.co_argcount
        if code.co_flags & _VAR_POSITIONAL or code.co_posonlyargcount:
            raise ConfigError(f"{what} takes arguments by position only; tasks are called with names")
        self.what = what
        self.positional: tuple[str, ...] = code.co_varnames[:count]
        self.names = frozenset(code.co_varnames[: count + code.co_kwonlyargcount])
        optional = {*self.positional[count - len(function.__defaults__ or ()) :], *(function.__kwdefaults__ or {})}
        self.required = self.names - optional
        self.open = bool(code.co_flags & _VAR_KEYWORD)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name; `ArgumentsError` for what does not fit."""
        if args:
            if len(args) > len(self.positional):
                raise ArgumentsError(f"{self.what} takes {len(self.positional)} arguments by position, got {len(args)}")
            for name, value in zip(self.positional, args, strict=False):
                if name in kwargs:
                    raise ArgumentsError(f"{self.what} got two values for {name!r}")
                kwargs[name] = value
        given = kwargs.keys()
        if not given >= self.required:
            missing = ", ".join(sorted(self.required - given))
            raise ArgumentsError(f"{self.what} needs {missing}; got {', '.join(kwargs) or 'nothing'}")
        if not self.open and not given <= self.names:
            unknown = sorted(given - self.names)[0]
            raise ArgumentsError(
                f'{self.what} has no argument "{unknown}".{nearest(unknown, self.names)} '
                f"It takes: {', '.join(sorted(self.names)) or 'none'}"
            )
        return kwargs

    def bind_each(self, many: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The arguments of a bulk push, each mapping by itself."""
        bind, known = self.bind, not self.open  # a name that is no string is none that we know
        return (bind((), kwargs if known and type(kwargs) is dict else arguments(kwargs)) for kwargs in each(many))


class TaskFunction(Pushing[P], Generic[P, R]):
    """A function that is a task of a queue, made by `@queue.task`: call it to run it here, `push` it to run it in a worker."""

    def __init__(self, queue: Queue, function: Callable[P, R], name: str, settings: dict[str, Any]) -> None:
        own = () if settings.keys() <= {*RULES} else queue.outlet.understood()
        self.always = {option: value for option, value in settings.items() if option not in (*RULES, *own)}
        """Its options of all its pushes, which plugins offer."""
        self.offered = {name: value for name, value in settings.items() if name in own}
        """Its settings that plugins understand."""
        parameters = Parameters(function, f"task {name!r} of queue {queue.name!r}")
        super().__init__(queue.outlet, {"name": name, **self.always}, parameters)
        self.queue, self.function, self.name = queue, function, name
        self.settings = {rule: value for rule, value in settings.items() if rule in RULES}
        self.__name__, self.__doc__, self.__wrapped__ = name, function.__doc__, function

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<task {self.name} of queue {self.queue.name}>"

    def options(self, **options: Any) -> Pushing[P]:
        """How to push: `delay` and `expires` (seconds or a timedelta), `at` (an aware datetime or seconds since 1970), `priority`
        ("HIGH", "NORMAL", "LOW"), `id`, `trace_id`, `headers` (strings), `queue`, and what plugins offer.

        `ArgumentsError` for an option that does not exist or a value that it does not take.
        """
        if "name" in options:
            raise ArgumentsError(
                f"name is {seen(options['name'])}, of the task {self.name!r}, which has its own; "
                "queue.options(name=…) pushes by name"
            )
        return Pushing(self.queue.outlet, {"name": self.name, **self.always, **options}, self.parameters)

    def run(self, task: Task) -> R:
        """Run a delivered task."""
        return self.function(**task.kwargs)  # type: ignore[call-arg]


class Queue:
    """A queue and its tasks. Settings are those of `WorkerConfig`; `include` names modules that define more tasks.

    `ConfigError` if there is no such setting; what is wrong with a value is said at the first push, and by `regiment check`
    and `regiment run`.
    """

    face: Callable[..., TaskFunction[..., Any]] = TaskFunction
    """What `task` makes of a function; a plugin's queue may have more to offer."""

    def __init__(self, name: str, *, include: Sequence[str] = (), **settings: Any) -> None:
        self.config = WorkerConfig(name=name, **settings)
        self.name, self.include = name, tuple([include] if isinstance(include, str) else include)
        self.tasks: dict[str, TaskFunction[..., Any]] = {}
        self.handlers: dict[str, Callable[..., Any]] = {}
        self.outlet = Outlet(lambda: self.config, f"Queue({name!r})")

    def __repr__(self) -> str:
        return f"<Queue {self.name}: {', '.join(self.tasks) or 'no tasks'}>"

    @overload
    def task(self, function: Callable[P, R], /) -> TaskFunction[P, R]: ...
    @overload
    def task(  # noqa: F811
        self, function: None = None, /, *, name: str | None = None, timeout: float | None = None, **settings: Any
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...
    def task(  # noqa: F811  the overloads above are for type checkers
        self, function: Any = None, /, *, name: str | None = None, timeout: float | None = None, **settings: Any
    ) -> Any:
        """Make a function a task of this queue; `timeouts`, `max_retries`, `retry_on`, `dead_on` and `backoff`
        override the queue's, `timeout=30` is short for `timeouts=Timeouts(30)`; and what plugins offer: options of its
        pushes, settings of theirs.
        """
        if function is None:
            return lambda function: self._add(function, name, timeout, settings)
        return self._add(function, name, timeout, settings)

    def _add(self, function: Any, name: str | None, timeout: float | None, settings: dict[str, Any]) -> Any:
        what = getattr(function, "__qualname__", repr(function))
        if not hasattr(function, "__code__"):
            raise ConfigError(f"@task on {what}; expected a function (def or async def)")
        if "<" in what:
            why = "a lambda or nested function cannot be found again by its name"
            raise ConfigError(f"@task on {what}: {why}; define it in a module")
        _must_return(function, f"@task on {what}")
        wire = function.__name__ if name is None else name
        if not text(wire):
            raise ConfigError(f"@task on {what}: its name is {seen(wire)}; expected {TEXT}")
        known = self.tasks.get(wire)
        if known is not None and _home(known.function) != _home(function):
            raise ConfigError(f'queue {self.name!r} has two tasks named "{wire}"; give one a name: @task(name="…")')
        for setting in settings:
            if setting not in RULES and setting not in (offered := [*self.outlet.offered(), *self.outlet.understood()]):
                there = (*RULES, *offered)
                near = nearest(setting, there)
                raise ConfigError(f'@task has no setting "{setting}".{near} It has: {", ".join(there)}')
        if timeout is not None:
            settings = {**settings, "timeouts": Timeouts(timeout)}
        made = self.face(self, function, wire, settings)
        if made.offered or made.always:
            self.outlet.declared(made)
        self.tasks[wire] = made
        return made

    def on(self, event: str) -> Callable[[F], F]:
        """Make a function a hook: initialize, finalize, pre_work, post_work, success, failure, timeout, retry, requeue,
        max_retries, starvation, stop, cancel, dead. It is called as the method of `Worker` with that name, without `self`.

        `ConfigError` for another name, and for a second hook of one name.
        """
        name = event if event in HOOKS else f"on_{event}"
        if name not in HOOKS:
            short = [hook.removeprefix("on_") for hook in HOOKS]
            raise ConfigError(f'no hook "{event}".{nearest(event, short)} There are: {", ".join(short)}')

        def decorate(function: F) -> F:
            if name in self.handlers:
                raise ConfigError(f'queue {self.name!r} has two hooks for "{event}"')
            _must_return(function, f'@on("{event}")')
            self.handlers[name] = function
            return function

        return decorate

    def options(self, **options: Any) -> Pushing[...]:
        """Push by name, without the function: `queue.options(name="send").push(to=…)`. The options are those of
        `TaskFunction.options`; whether the arguments fit is found out in the worker.
        """
        return self.outlet.pushing(**options)

    def lock(self, name: str) -> Lock:
        """A lock that all users of this store share, whatever their queue; nothing is taken before `acquire` or `with`."""
        return self.broker.lock(name)

    def kept(self, key: str) -> Any:
        """What a task of this queue has kept by `current().commit.keep(key, value, ttl)`; None if it is not there (any more)."""
        return self.broker.kept(self.name, key)

    @property
    def broker(self) -> Broker:
        """The broker through which this queue pushes."""
        return self.outlet.broker()

    def load(self) -> None:
        """Import what `include` names."""
        from importlib import import_module

        for module in self.include:
            import_module(module)

    # What a worker asks (`regiment.contracts.Application`)

    @property
    def works(self) -> dict[str, Callable[..., Any]]:
        """What runs tasks, by name, for checks."""
        return {name: task.function for name, task in self.tasks.items()}

    def work_of(self, name: str) -> Callable[[Task], Any] | None:
        """The function of that name, or None."""
        found = self.tasks.get(name)
        return None if found is None else found.run

    def config_of(self, name: str) -> WorkerConfig:
        """The queue's configuration, with the settings of the task of this name."""
        config: WorkerConfig = self.config.replace(**self.tasks[name].settings)
        return config
