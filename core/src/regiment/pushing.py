"""Pushing, as both faces offer it: with options, one or many, from threads, coroutines and tasks."""

from __future__ import annotations

import time
from itertools import islice

from regiment import bounds
from regiment.context import attempt_now
from regiment.errors import ArgumentsError, ConfigError, TargetError, nearest
from regiment.task import OPTIONS, PRIORITIES, Task, new_id, new_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import ExitStack
    from datetime import datetime, timedelta
    from typing import Any, ParamSpec
    from typing import Generic as Generic

    from regiment.broker import Broker, Pushed
    from regiment.config import WorkerConfig
    from regiment.contracts import Effect, Push
    from regiment.registry import Registry

    P = ParamSpec("P")

    Inherited = tuple[str | None, dict[str, str] | None, float | None]
    """Trace id, headers, expiry."""
else:
    # `typing` costs more to import than a push; at run time these need only exist.
    P = None

    class Generic:
        def __class_getitem__(cls, _: Any) -> type:
            return cls


importing: str | None = None
"""The module that `regiment run` is importing now: a push from within it is a mistake, and raises."""

override: Callable[[WorkerConfig], Broker] | None = None
"""What `regiment_testing.capture` puts in the place of every broker."""

BULK = 1000
"""Tasks of one round trip of a bulk push."""


class Outlet:
    """The way from a face to its store: the broker is built at the first push, and kept."""

    def __init__(self, config: Callable[[], WorkerConfig], where: str) -> None:
        self.config, self.where = config, where
        self._broker: Broker | None = None

    def broker(self) -> Broker:
        """The broker of this face; `ConfigError` or `PluginError` if it cannot be built."""
        if override is not None:
            return override(self.config())
        if self._broker is None:
            from regiment.build import make_broker

            self._broker = make_broker(self.config(), self.where)
        return self._broker

    def offered(self) -> list[str]:
        """The options of a push that the plugins of this face's queue offer."""
        scope = self._scope()
        scope.refuse()
        return list(scope.push_options)

    def understood(self) -> list[str]:
        """The settings of `@task` that the plugins of this face's queue understand."""
        return list(self._scope().task_settings)

    def declared(self, task: Any) -> None:
        """Show the plugins of this face's queue a task that has settings of theirs."""
        for _, call in self._scope().hooks("regiment_task_declared"):
            call(task)

    def _scope(self) -> Registry:
        from regiment.registry import registry

        return registry().scope(self.config().plugins)

    def pushing(self, **options: Any) -> Pushing[...]:
        """A push with these options, yet to be given its arguments."""
        return Pushing(self, options, Names())


class Names:
    """The arguments of a push by name: whatever has a name."""

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of one task."""
        if args:
            raise ArgumentsError(f"a push by name got {len(args)} arguments without a name; expected name=value")
        return kwargs

    def bind_each(self, many: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The arguments of a bulk push, each mapping by itself."""
        return map(arguments, each(many))


class Pushing(Generic[P]):
    """Options of a push; `push`, `push_many` and their async twins send with them."""

    def __init__(self, outlet: Outlet, options: dict[str, Any], parameters: Names) -> None:
        self._outlet, self._options, self.parameters = outlet, options, parameters
        self._how = _checked(options, outlet) if options else _PLAIN

    def push(self, /, *args: P.args, **kwargs: P.kwargs) -> Pushed:
        """Push one task: when this returns, the store has it, and it will run at least once or become a dead letter.

        Raises `ArgumentsError` (the task takes no such arguments), `EncodeError` (the serializer cannot write one),
        `PayloadTooLarge` (above `payload_limit` bytes), `QueueFull` (the store has no room), `StoreUnavailable` (no answer
        within `push_timeout` seconds; `maybe_pushed` is True if it may be there all the same) and `StoreError`.
        """
        return self.send(self.parameters.bind(args, kwargs))

    def push_many(self, many: Iterable[dict[str, Any]]) -> int:
        """Push one task for each mapping of arguments (name -> value), 1,000 a round trip, as the iterable gives them;
        returns how many were queued. Raises as `push`; what was sent in earlier round trips stays in the queue.
        """
        return self.send_each(self.parameters.bind_each(many))

    async def apush(self, /, *args: P.args, **kwargs: P.kwargs) -> Pushed:
        """`push` without blocking the event loop: it runs in a thread of the loop's executor."""
        import asyncio

        return await asyncio.to_thread(self.send, self.parameters.bind(args, kwargs))

    async def apush_many(self, many: Iterable[dict[str, Any]]) -> int:
        """`push_many` without blocking the event loop: it runs in a thread of the loop's executor."""
        import asyncio

        return await asyncio.to_thread(self.push_many, many)

    def unsent(self, kwargs: dict[str, Any]) -> tuple[Pushed, Broker, list[Effect]]:
        """A push of one task that is not sent: what `push` would answer, its broker, and the effects that make it."""
        broker, tasks, push, way = self.made([kwargs], [self._options.get("id") or new_id()])
        send = broker.sending(tasks[0].queue, tasks, **way)
        return broker.pushed(tasks[0], (), push.answer), broker, [send, *push.effects]

    def made(
        self, many: Sequence[dict[str, Any]], ids: Sequence[str]
    ) -> tuple[Broker, list[Task], Push, dict[str, Any]]:
        """Tasks with these arguments and ids that are not sent: their broker, the tasks and their push as plugins have changed
        them, and how they go.
        """
        broker, queue, name, now, inherited = self._prepare()
        tasks = _tasks(many, ids, queue, name, now, inherited)
        way: dict[str, Any] = {}

        def instead(queue: str, tasks: list[Task], effects: Sequence[Effect], **how: Any) -> Sequence[int]:
            way.update(how)
            return ()

        return broker, tasks, self._ask(broker, tasks, instead)[0], way

    def send(self, kwargs: dict[str, Any]) -> Pushed:
        """Push one task; the arguments as one mapping, whose keys are strings (`arguments`)."""
        broker, queue, name, now, inherited = self._prepare()
        task = Task(self._options.get("id") or new_id(), queue, name, kwargs, now)
        if inherited is not None:
            task.trace_id, task.headers, task.expires = inherited
        if broker.asked:
            push, existed = self._ask(broker, [task], broker.push)
            return broker.pushed(task, existed, push.answer)
        return broker.pushed(task, broker.push(queue, (task,), **self._how))

    def _ask(self, broker: Broker, tasks: list[Task], put: Callable[..., Any]) -> tuple[Push, Sequence[int]]:
        """Let plugins change a push, then send it inside of their contexts; the push as it went, and what existed."""
        from contextlib import ExitStack, nullcontext

        from regiment import log
        from regiment.contracts import Push

        push, how, stack = Push(broker, tasks[0].queue, tasks, self._options), self._how, ExitStack()
        asked, around = broker.asked or ((), ())
        given = dict(push.headers), {}, *_way(push)[2:]  # copies of what a plugin may change in its place
        with stack if around else nullcontext():
            for plugin, call in asked:
                call(push)
                how = self._how if _way(push) == given else _changed(push, plugin)
            for plugin, call in around:
                log.tell(_enter, log.tell, stack, call, push)
                how = self._how if _way(push) == given else _changed(push, plugin)
            for task in tasks:
                task.headers, task.trace_id, task.expires = push.headers or None, push.trace_id, push.expires
                task.id, task.tags = push.id or task.id, push.tags or None
            put = push.put or put if put == broker.push else put  # what is not sent is put by nobody
            how = how if push.tickets is None else {**how, "tickets": push.tickets}
            return push, put(push.queue, tasks, effects=push.effects, **how)

    def send_each(self, stream: Iterator[dict[str, Any]]) -> int:
        """Push many, as they come; their arguments were looked at."""
        if self._options.get("id") is not None:
            raise ArgumentsError("id names one task; push_many makes many")
        broker, queue, name, now, inherited = self._prepare()
        total, put = 0, broker.push
        while chunk := _tasks(islice(stream, BULK), new_ids(BULK), queue, name, now, inherited):
            known = self._ask(broker, chunk, put)[1] if broker.asked else put(queue, chunk, **self._how)
            total += len(chunk) - len(known)
        return total

    def _prepare(self) -> tuple[Broker, str, str, float, Inherited | None]:
        """Where a push goes (broker, queue), its task's name, the time, and what tasks have beside their arguments."""
        if importing is not None:
            raise _pushed_at_import()
        options, now = self._options, time.time()
        broker = self._outlet.broker()
        attempt = attempt_now.get(None)
        if not options and attempt is None:
            return broker, broker.config.name, "", now, None
        queue, name = options.get("queue") or self._outlet.config().name, options.get("name") or ""
        trace_id, headers = options.get("trace_id"), options.get("headers")
        if attempt is not None and attempt.task is not None:
            trace_id = trace_id or attempt.task.trace_id or attempt.task.id
            if attempt.task.headers:
                headers = {**attempt.task.headers, **(headers or {})}
        if headers and headers is not options.get("headers"):
            _refuse("headers", headers)  # with those of the running task
        expires = options.get("expires")
        if expires is not None:
            expires = _expiry(expires, now)
        if trace_id is None and not headers and expires is None:
            return broker, queue, name, now, None
        return broker, queue, name, now, (trace_id, headers, expires)


_PLAIN: dict[str, Any] = {"priority": PRIORITIES["NORMAL"], "ids": False}
"""What a push without options says of its way."""


def _tasks(
    many: Iterable[dict[str, Any]], ids: Iterable[str], queue: str, name: str, now: float, inherited: Inherited | None
) -> list[Task]:
    tasks = [Task(id, queue, name, kwargs, now) for kwargs, id in zip(many, ids)]  # noqa: B905
    if inherited is not None:
        for task in tasks:
            task.trace_id, task.headers, task.expires = inherited
    return tasks


def _checked(options: dict[str, Any], outlet: Outlet | None = None) -> dict[str, Any]:
    """What the options say of the way, not of the task; `ArgumentsError` for one that no store could take."""
    for option, value in options.items():
        if option not in OPTIONS and outlet and option not in (offered := outlet.offered()):
            known = (*OPTIONS, *offered)
            raise ArgumentsError(f'no push option "{option}".{nearest(option, known)} There are: {", ".join(known)}')
        if value is not None and option in bounds.TABLE:
            _refuse(option, value)
    if options.get("headers") is not None:
        options["headers"] = dict(options["headers"])
    delay, at, expires = options.get("delay"), options.get("at"), options.get("expires")
    if delay is not None and at is not None:
        raise ArgumentsError("delay and at were both given; a push has one due time")
    priority = PRIORITIES[options.get("priority") or "NORMAL"]
    how: dict[str, Any] = {"priority": priority, "ids": options.get("id") is not None}
    if expires is not None:
        _expiry(expires, time.time())
    if delay is not None or at is not None:
        try:
            how["delay"] = max(0.0, bounds.seconds(delay)) if delay is not None else 0.0
            how["at"] = bounds.timestamp(at) if at is not None else None
        except (TypeError, ValueError) as error:
            raise ArgumentsError(str(error)) from None
    return how


def _way(push: Push) -> tuple[Any, ...]:
    """All that plugins may change and that is then looked at: what stays as it was given was looked at before."""
    return push.headers, push.tags, push.trace_id, push.expires, push.id, push.priority, push.delay, push.at


def _changed(push: Push, plugin: str) -> dict[str, Any]:
    """What a push says of its way after a plugin; `ArgumentsError` with its name for what no store could take."""
    try:
        if push.id is not None and len(push.tasks) > 1:
            raise ArgumentsError(f"id is {bounds.seen(push.id)}; expected None, for it has {len(push.tasks)} tasks")
        if push.expires is not None:
            bounds.timestamp(push.expires, "expires")
        return _checked({option: getattr(push, option) for option in push.CHANGED})
    except (TypeError, ValueError) as error:
        raise ArgumentsError(f"the plugin {plugin} has changed a push: {error}") from None


def _enter(tell: Callable[..., Any], stack: ExitStack, around: Callable[[Push], Any], push: Push) -> None:
    """Put a plugin's context around a push: it sees how that ends, and changes nothing of it."""
    manager = around(push)
    manager.__enter__()
    stack.push(lambda *error: tell(manager.__exit__, *error))


def _refuse(option: str, value: Any) -> None:
    problem = bounds.refusal(option, value)
    if problem:
        raise ArgumentsError(problem)


def _expiry(value: float | timedelta | datetime, now: float) -> float:
    from datetime import datetime

    try:
        if isinstance(value, datetime):
            return bounds.timestamp(value, "expires")
        return now + bounds.seconds(value, "expires")
    except (TypeError, ValueError) as error:
        raise ArgumentsError(str(error)) from None


def arguments(kwargs: Any) -> dict[str, Any]:
    """A task's arguments as a dict with strings as keys; `ArgumentsError` for what is no such mapping."""
    try:
        if type(kwargs) is not dict:
            from collections.abc import Mapping

            kwargs = dict(kwargs) if isinstance(kwargs, Mapping) else {None: None}  # whose key is refused
        "".join(kwargs)  # the cheapest question for whether all keys are strings
    except TypeError:
        raise ArgumentsError(
            f"a task's arguments are {bounds.seen(kwargs)}; expected a mapping of names to values"
        ) from None
    return kwargs  # type: ignore[no-any-return]


def each(many: Any) -> Iterator[Any]:
    """The mappings of a bulk push; `ArgumentsError` for one mapping, or what cannot be gone through."""
    from collections.abc import Mapping

    if not isinstance(many, (Mapping, str, bytes)):
        try:
            return iter(many)
        except TypeError:
            pass
    raise ArgumentsError(f"push_many got {bounds.seen(many)}; expected a list of mappings, one for each task")


def _pushed_at_import() -> TargetError:
    import traceback

    lines = [frame for frame in traceback.extract_stack() if frame.name == "<module>"]
    where = f"{lines[-1].filename} line {lines[-1].lineno}: {lines[-1].line}" if lines else str(importing)
    return TargetError(
        f'"{importing}" pushes a task while it is imported\n  {where}\n'
        '  every worker would push it again; put it under: if __name__ == "__main__":'
    )


def checked(config: Any, where: str) -> WorkerConfig:
    """A face's configuration; `ConfigError` if it is none."""
    from regiment.config import WorkerConfig

    if isinstance(config, WorkerConfig):
        return config
    raise ConfigError(f"{where}.config is {config!r}; expected a WorkerConfig, or override generate_config()")
