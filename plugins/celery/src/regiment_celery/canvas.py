"""Signatures, chains, groups and chords: Celery's words for pieces of a flow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from regiment.bounds import seen
from regiment.pushing import Pushing
from regiment_celery.options import CALL, Refused, judge
from regiment_celery.result import FlowResult, GroupResult
from regiment_celery.shared import Shared, app_now
from regiment_celery.values import ARGS, BEFORE, ERRORS, LINKS
from regiment_workflows.pieces import Chain, Piece, Step, prev
from regiment_workflows.pieces import Group as Members

_FLOW = (
    "link_error",
    "task_id",
    "countdown",
    "eta",
    "expires",
    "queue",
    "priority",
    "headers",
    "ignore_result",
    "add_to_parent",
    "retry",
)
"""What may be said where a chain, group or chord is started."""


class Canvas:
    """A signature, or what is made of some."""

    def piece(self, after: bool) -> Piece[Any]:
        """It as a piece of a flow; `after`: something comes before it."""
        raise NotImplementedError

    def __or__(self, other: Any) -> Chained:
        if not isinstance(other, Canvas):
            return NotImplemented
        mine = self.parts if isinstance(self, Chained) else [self]
        return Chained([*mine, *(other.parts if isinstance(other, Chained) else [other])])

    def errors(self, sig: Any) -> None:
        """Push a signature where a task of it fails for good."""
        raise NotImplementedError

    def on_error(self, sig: Any) -> Any:
        """The same; it itself, so that one can go on."""
        self.errors(sig)
        return self

    def link_error(self, sig: Any) -> Any:
        """The same; the errback."""
        self.errors(sig)
        return sig

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Start it; arguments are put before those of what comes first."""
        return self.apply_async(args, kwargs)

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Start it as a flow."""
        return self._start(tuple(args or ()), dict(kwargs or {}), options)

    __call__ = delay

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> FlowResult:
        options = {name: value for name, value in options.items() if value is not None}
        for name in options:
            if name not in _FLOW:
                raise Refused(f"{self!r} was started with {name}=; expected {', '.join(_FLOW)}")
        judge(CALL, repr(self), {name: value for name, value in options.items() if name != "task_id"})
        if errback := options.pop("link_error", None):
            for one in errback if isinstance(errback, list) else [errback]:
                self.errors(one)
        id = options.pop("task_id", None)
        with_args = self.begun(args, kwargs, options)
        self.app_of().want_canvas(repr(self))
        run = with_args.piece(False).start(id=id)
        kind = GroupResult if isinstance(self, Group) else FlowResult
        return kind(run.id, app=self.app_of(), run=run)

    def begun(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> Canvas:
        """It with these arguments and options at its first tasks."""
        raise NotImplementedError

    def app_of(self) -> Any:
        """The application of its first task."""
        raise NotImplementedError

    @property
    def app(self) -> Any:
        """The same."""
        return self.app_of()

    def apply(self, *_: Any, **__: Any) -> Any:
        """Refused but for signatures."""
        raise Refused(f"{self!r}.apply() cannot be had here; in tests use regiment_testing.capture() and drain()")


class Signature(Canvas):
    """A task, or the name of one, with arguments and options of its push."""

    def __init__(
        self,
        task: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        immutable: bool = False,
        app: Any = None,
    ) -> None:
        known = task.task() if isinstance(task, Shared) else task
        self.task: str = known if isinstance(known, str) else str(known.name)
        self.args, self.kwargs, self.options = tuple(args), dict(kwargs or {}), dict(options or {})
        self.immutable, self._app = immutable, app
        judge(
            CALL, f"a signature of {self.task}", {key: value for key, value in self.options.items() if key != "task_id"}
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], app: Any = None) -> Signature:
        """A signature from plain data."""
        if data.get("chord_size") or data.get("subtask_type"):
            raise Refused(
                "a chain, group or chord as plain data cannot be had here; pass the ids, and build it in the task"
            )
        return cls(
            data["task"],
            tuple(data.get("args", ())),
            data.get("kwargs"),
            data.get("options"),
            bool(data.get("immutable")),
            app,
        )

    def to_dict(self) -> dict[str, Any]:
        """It as plain data."""
        options = {key: linked(value) if key.startswith("link") else value for key, value in self.options.items()}
        made: dict[str, Any] = {"task": self.task, "args": list(self.args), "kwargs": self.kwargs, "options": options}
        return {**made, "immutable": self.immutable}

    def app_of(self) -> Any:
        return self._app or app_now()

    @property
    def type(self) -> Any:
        """The task."""
        return self.app_of().task_named(self.task)

    name = property(lambda self: self.task)

    def clone(self, args: Any = (), kwargs: Any = None, **options: Any) -> Signature:
        """A copy with more arguments before its own, and with more options."""
        given = () if self.immutable else tuple(args or ())
        named = {} if self.immutable else dict(kwargs or {})
        return Signature(
            self.task,
            (*given, *self.args),
            {**self.kwargs, **named},
            {**self.options, **options},
            self.immutable,
            self._app,
        )

    partial = clone

    def set(self, immutable: bool | None = None, **options: Any) -> Signature:
        """Set options of its push."""
        self.immutable = self.immutable if immutable is None else immutable
        judge(CALL, f"a signature of {self.task}", options)
        self.options.update(options)
        return self

    def link(self, sig: Any) -> Any:
        """Push a signature with its value when it succeeds."""
        self.options["link"] = [*_listed(self.options.get("link")), sig]
        return sig

    def errors(self, sig: Any) -> None:
        self.options["link_error"] = [*_listed(self.options.get("link_error")), sig]

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Push it."""
        made = self.clone(args, kwargs, **options)
        return made.app_of().send_task(made.task, made.args, made.kwargs, **made.options)

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Push it, with these arguments before its own."""
        return self.apply_async(args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task here and now."""
        made = self.clone(args, kwargs)
        return made.type(*made.args, **made.kwargs)

    def apply(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Run the task here, and answer with its result."""
        made = self.clone(args, kwargs)
        return made.type.apply(made.args, made.kwargs, **options)

    def begun(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> Canvas:
        return self.clone(args, kwargs, **options)

    def pushing(self, more: Mapping[str, Any]) -> tuple[Pushing[...], dict[str, Any]]:
        """What pushes it, and its message, with `more` in it."""
        app, options = self.app_of(), {key: value for key, value in self.options.items() if value is not None}
        linked_to, errbacks = linked(options.pop("link", None)), linked(options.pop("link_error", None))
        if errbacks:
            app.want_canvas(f"link_error of {self.task}")
        task_id = options.pop("task_id", None)
        way = app.way(self.task, options)
        if task_id is not None:
            way["id"] = str(task_id)
        task = app.tasks.get(self.task)
        if task is not None and not any(key.startswith("*error") for key in more):
            task.parameters.check(int(BEFORE in more), self.args, self.kwargs)
        message = {**self.kwargs, **({ARGS: list(self.args)} if self.args else {}), **more}
        message |= {key: found for key, found in ((LINKS, linked_to), (ERRORS, errbacks)) if found}
        return app.pushing(self.task, way), message

    def piece(self, after: bool) -> Piece[Any]:
        if "task_id" in self.options:
            raise Refused(
                f"{self!r} has a task_id, and is a part of a flow, whose tasks have ids made of its own; leave it out"
            )
        pushing, message = self.pushing({BEFORE: prev} if after and not self.immutable else {})
        way = {key: value for key, value in pushing._options.items() if key not in ("name", "result")}
        step = _step(pushing, message, self.task)
        return step.options(**way) if way else step

    def __repr__(self) -> str:
        given = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.task}({', '.join(given)})"


def _step(pushing: Pushing[...], message: dict[str, Any], label: str) -> Step[Any]:
    bare = pushing._outlet.pushing(name=pushing._options["name"])
    step = Step[Any](bare, (), message)
    step.label = label
    return step


class Chained(Canvas):
    """Signatures one after the other."""

    def __init__(self, parts: list[Any]) -> None:
        self.parts, self.tasks = parts, parts

    def piece(self, after: bool) -> Piece[Any]:
        made: list[Piece[Any]] = []
        for one in self.parts:
            part = one.piece(after)
            made += part.parts if isinstance(part, Chain) else [part]
            after = True
        return Chain(made) if len(made) > 1 else made[0]

    def begun(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> Canvas:
        first, *others = self.parts
        return Chained([first.begun(args, kwargs, options), *others])

    def errors(self, sig: Any) -> None:
        for one in self.parts:
            one.errors(sig)

    def app_of(self) -> Any:
        found: Any = self.parts[0].app_of()
        return found

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.parts))


class Group(Canvas):
    """Signatures side by side; the value is the list of theirs."""

    def __init__(self, tasks: list[Any]) -> None:
        self.tasks = tasks

    def piece(self, after: bool) -> Piece[Any]:
        return Members([one.piece(after) for one in self.tasks], None)

    def begun(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> Canvas:
        return Group([one.begun(args, kwargs, options) for one in self.tasks])

    def errors(self, sig: Any) -> None:
        for one in self.tasks:
            one.errors(sig)

    def app_of(self) -> Any:
        if not self.tasks:
            raise Refused("an empty group has no task, and no queue; see first whether there is something to do")
        found: Any = self.tasks[0].app_of()
        return found

    def __len__(self) -> int:
        return len(self.tasks)

    def __repr__(self) -> str:
        return f"group({', '.join(map(repr, self.tasks))})"


class Chord(Chained):
    """A group, and a body that gets the list of its values."""

    def __init__(self, header: Any, body: Any) -> None:
        super().__init__([header if isinstance(header, Canvas) else group(header), body])

    @property
    def body(self) -> Any:
        """What comes after all."""
        return self.parts[1]


class _Header:
    """`chord(header)`, which is called with its body."""

    def __init__(self, header: Any) -> None:
        self.header = header

    def __call__(self, body: Any, **options: Any) -> FlowResult:
        found: FlowResult = Chord(self.header, body).apply_async(**options)
        return found


def chain(*tasks: Any) -> Any:
    """Signatures one after the other, each with the value of the one before in front of its arguments."""
    found = [*tasks[0]] if len(tasks) == 1 and not isinstance(tasks[0], Canvas) else list(tasks)
    if not found:
        raise Refused("chain() got nothing; expected signatures")
    made: Any = _canvas(found[0], "chain")
    for one in found[1:]:
        made = made | _canvas(one, "chain")
    return made if isinstance(made, Chained) else Chained([made])


def group(*tasks: Any) -> Group:
    """Signatures side by side."""
    found: Iterable[Any] = tasks[0] if len(tasks) == 1 and not isinstance(tasks[0], Canvas) else tasks
    return Group([_canvas(one, "group") for one in found])


def chord(header: Any, body: Any = None) -> Any:
    """A group whose values, as a list, go to a body: `chord(header)(body)`, or `chord(header, body).delay()`."""
    made = header if isinstance(header, Canvas) else group(header)
    return _Header(made) if body is None else Chord(made, _canvas(body, "chord"))


def signature(task: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Signature:
    """A signature of a task, or of the name of one."""
    if isinstance(task, Mapping):
        return Signature.from_dict(task)
    if isinstance(task, Signature):
        return task
    app = options.pop("app", None)
    made: Signature = (app or app_now()).signature(task, args, kwargs, **options)
    return made


subtask = signature


def linked(given: Any) -> list[dict[str, Any]]:
    """Signatures as messages carry them."""
    made = []
    for one in _listed(given):
        if isinstance(one, Mapping):
            one = Signature.from_dict(one)
        if not isinstance(one, Signature):
            raise Refused(
                f"link got {seen(one)}; expected a signature of a task; what is more than one is written as a chain"
            )
        made.append(one.to_dict())
    return made


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]


def _canvas(one: Any, where: str) -> Canvas:
    if isinstance(one, Canvas):
        return one
    if isinstance(one, Mapping):
        return Signature.from_dict(one)
    raise Refused(f"{where} got {seen(one)}; expected signatures, as in add.s(2, 2)")
