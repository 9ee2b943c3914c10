"""What flows are written with: steps, and what is made of them. Pieces are plain values: nothing is pushed before `start`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import islice
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from regiment.bounds import seen
from regiment.errors import nearest
from regiment.pushing import Names, Outlet, Pushing
from regiment.queue import Parameters, TaskFunction
from regiment.worker import Worker
from regiment_workflows.errors import GraphError
from regiment_workflows.runs import Run

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

Policy = Literal["fail", "continue", "skip"]
POLICIES = ("fail", "continue", "skip")
HOW = ("on_error", "deadline", "tell")
"""What `start` passes on to the flow."""


class Prev:
    """The value of what comes before, where it is named: `store.s(row=prev["id"])`."""

    def __init__(self, path: tuple[Any, ...] = ()) -> None:
        self.path = path

    def __getitem__(self, part: str | int) -> Prev:
        return Prev((*self.path, _part(part)))

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("prev stands for a value that is not there yet; it cannot be gone through")

    def __repr__(self) -> str:
        return "prev" + "".join(f"[{part!r}]" for part in self.path)


prev = Prev()


def _part(part: Any) -> str | int:
    if isinstance(part, bool) or not isinstance(part, (str, int)):
        raise GraphError(f"a part of a value is named by {seen(part)}; expected a key (a string) or an index")
    return part


class Piece(Generic[R]):
    """A part of a flow, or all of one. `a | b` and `a.then(b)` make a chain of two."""

    policy: Policy | None = None

    def __or__(self, after: Piece[S]) -> Piece[S]:
        return self.then(after)

    def then(self, after: Piece[S]) -> Piece[S]:
        """First this, then that, which gets the value of this."""
        if not isinstance(after, Piece):
            raise GraphError(f"what comes after {self!r} is {seen(after)}; expected a step, as fetch.s() or s(fetch)")
        return Chain([*_parts(self), *_parts(after)])

    def start(self, *, id: str | None = None, name: str = "", **how: Any) -> Run[R]:
        """Start it as a flow, in one step: all of it, or nothing. With the `id` of a flow that is there already, nothing is
        started, and the answer is the run of that (`existed`). `how`: `on_error` ("fail", "continue", "skip"), `deadline` in
        seconds, `tell` (a step that is pushed once if the flow fails).
        """
        for word in how:
            if word not in HOW:
                raise GraphError(f"start has no {word!r}.{nearest(word, HOW)} It takes: id, name, {', '.join(HOW)}")
        whole = import_module("regiment_workflows.graph").flow(name, **how)  # which is made of pieces
        whole.take(self)
        run: Run[R] = whole.start(id=id)
        return run


class Step(Piece[R]):
    """One task of a flow: what runs, and with which arguments as far as they are known."""

    def __init__(self, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        outlet = getattr(task, "outlet", None) or getattr(task, "_outlet", None)
        known = isinstance(task, Pushing) or (isinstance(task, type) and issubclass(task, Worker))
        if not known or not isinstance(outlet, Outlet):
            raise GraphError(
                f"a step was made of {seen(task)}; expected a task function, a Worker class, or one with .options(…)"
            )
        self.task, self.outlet = task, outlet
        self.parameters: Names = task.parameters if isinstance(task, Pushing) else Names()
        self.label = str(getattr(task, "name", "") or getattr(task, "__name__", "") or outlet.config().name)
        self.given, self.asked = self._bound(args, kwargs), dict[str, Any]()
        self.mapped = ""

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name; those that are missing may come from an earlier step."""
        known = self.parameters
        if not isinstance(known, Parameters):
            return dict(known.bind(args, dict(kwargs)))
        missing = known.required - kwargs.keys() - set(known.positional[: len(args)])
        bound = known.bind(args, {**dict.fromkeys(missing), **kwargs})
        return {name: value for name, value in bound.items() if name not in missing}

    @property
    def missing(self) -> list[str]:
        """The required parameters that nothing was given for."""
        known = self.parameters
        return sorted(known.required - self.given.keys()) if isinstance(known, Parameters) and not self.mapped else []

    def options(self, **options: Any) -> Step[R]:
        """How its task is pushed: `priority`, `delay`, `headers`, …, as for any push; and `on_error`, its policy."""
        if "id" in options:
            raise GraphError("the id of a step's task is made of those of its flow and its step; leave it out")
        made: Step[R] = Step.__new__(Step)
        made.__dict__.update(self.__dict__)
        if "on_error" in options:
            made.policy = checked_policy(options.pop("on_error"))
        made.asked = {**self.asked, **options}
        return made

    def pushing(self) -> Pushing[...]:
        """What makes its message."""
        options = dict(self.asked)
        if isinstance(self.task, TaskFunction):
            always = {**self.task.always, **options}
            if self.mapped:
                return Pushing(self.outlet, {**always, "name": f"{self.mapped}:{self.task.name}"}, Names())
            return Pushing(self.outlet, {**always, "name": self.task.name}, self.parameters)
        if isinstance(self.task, Pushing):
            return Pushing(self.outlet, {**self.task._options, **options}, self.parameters)
        return self.outlet.pushing(**options)

    def __repr__(self) -> str:
        return f"{self.label}.s({', '.join(f'{name}=…' for name in self.given)})"


class Chain(Piece[R]):
    """Pieces one after the other."""

    def __init__(self, parts: Sequence[Piece[Any]]) -> None:
        self.parts = list(parts)

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.parts))


class Group(Piece[Sequence[R]]):
    """Pieces side by side; its value are theirs, in order. Members may come from an iterable, one at a time."""

    def __init__(self, members: Iterable[Piece[R]], policy: Policy | None, flat: bool = False, label: str = "") -> None:
        if isinstance(members, (Piece, str, bytes, Mapping)):
            raise GraphError(f"group got {seen(members)}; expected pieces, as in group(f.s(n=n) for n in numbers)")
        self._members, self.policy, self.flat, self.label = iter(members), policy, flat, label
        self._known: list[Piece[R]] = []
        self.model: Step[Any] | None = None
        """A step like its members, where they may be none."""

    def first(self, number: int) -> list[Piece[R]]:
        """The first members, at most so many; they come again when it is gone through."""
        self._known += islice(self._members, max(0, number - len(self._known)))
        return self._known[:number]

    def __iter__(self) -> Iterator[Piece[R]]:
        yield from self._known
        yield from self._members

    def __repr__(self) -> str:
        return f"group({', '.join(map(repr, self.first(3)))}{', …' if len(self.first(4)) > 3 else ''})"


def _parts(piece: Piece[Any]) -> list[Piece[Any]]:
    return piece.parts if isinstance(piece, Chain) else [piece]


def checked_policy(policy: Any) -> Any:
    """A policy; `GraphError` for what is none."""
    if policy is not None and policy not in POLICIES:
        raise GraphError(f'on_error is {seen(policy)}; expected "fail", "continue" or "skip"')
    return policy


@overload
def s(task: TaskFunction[P, R], /, *args: Any, **kwargs: Any) -> Step[R]: ...
@overload
def s(task: type[Worker] | Pushing[...], /, *args: Any, **kwargs: Any) -> Step[Any]: ...
def s(task: Any, /, *args: Any, **kwargs: Any) -> Step[Any]:
    """A step: this task with these arguments. Arguments that are wrong fail here; the one that is missing gets the value of
    what comes before.
    """
    return Step(task, args, kwargs)


@overload
def chain(only: Piece[S], /) -> Piece[S]: ...
@overload
def chain(first: Piece[Any], /, *others: Piece[Any]) -> Piece[Any]: ...
def chain(*parts: Piece[Any]) -> Piece[Any]:
    """Pieces one after the other; the same as `first | second | third`."""
    if not parts:
        raise GraphError("chain got nothing; expected pieces")
    made = parts[0]
    if not isinstance(made, Piece):
        raise GraphError(f"chain got {seen(made)}; expected pieces, as fetch.s() or s(fetch)")
    for one in parts[1:]:
        made = made.then(one)
    return made


def group(*members: Any, on_error: Policy | None = None) -> Piece[Sequence[Any]]:
    """Pieces side by side: `group(a.s(), b.s())`, or of an iterable, which is gone through only when it is started."""
    if len(members) == 1 and not isinstance(members[0], Piece):
        try:
            members = iter(members[0])
        except TypeError:
            raise GraphError(f"group got {seen(members[0])}; expected pieces, or what gives them") from None
    return Group(members, checked_policy(on_error))


def over(
    task: TaskFunction[P, R],
    items: Iterable[Any],
    *,
    chunk: int = 100,
    star: bool = False,
    on_error: Policy | None = None,
    **fixed: Any,
) -> Piece[Sequence[R]]:
    """The task for each item, one message for `chunk` of them; its value are the results, one for each item, in order.

    The item goes to the one parameter that `fixed` leaves; with `star` an item is a mapping or a sequence of arguments.
    """
    if isinstance(chunk, bool) or not isinstance(chunk, int) or not 1 <= chunk <= 1_000_000:
        raise GraphError(f"chunk is {seen(chunk)}; expected how many items go into one task, at least 1")
    if not isinstance(task, TaskFunction):
        raise GraphError(f"a map was made of {seen(task)}; expected a task function")
    one = Step[Any](task, (), fixed)
    into = "" if star else _left(one)
    try:
        every = iter(items)
    except TypeError:
        raise GraphError(f"{task.name}.map got {seen(items)}; expected items to go through") from None

    def members() -> Iterator[Step[Any]]:
        while part := list(islice(every, chunk)):
            made = Step[Any](task, (), fixed)
            if star:
                for item in part:
                    _bind(task, item, fixed)
            made.mapped, made.given = "map", {"items": part, "into": into, "fixed": fixed}
            yield made

    made = Group[Any](members(), checked_policy(on_error), flat=True, label=task.name)
    made.model = one
    return made


def _bind(task: TaskFunction[..., Any], item: object, fixed: Mapping[str, Any]) -> None:
    """`ArgumentsError` for an item of a starmap that is no call of this task."""
    if not isinstance(item, (dict, list, tuple)):
        raise GraphError(
            f"{task.name}.starmap got the item {seen(item)}; expected a sequence of arguments, or a mapping"
        )
    args, kwargs = ((), item) if isinstance(item, dict) else (tuple(item), {})
    task.parameters.bind(args, {**fixed, **kwargs})


def _left(step: Step[Any]) -> str:
    known: Any = step.parameters
    left = step.missing or [name for name in known.positional if name not in step.given][:1]
    if len(left) != 1:
        raise GraphError(
            f"{step.label}.map: the items go to one parameter, and {', '.join(left) or 'none'} is left of "
            f"{', '.join(known.positional) or 'none'}; give the others by name, or use starmap"
        )
    return left[0]


def call_over(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The work of one chunk of a map."""
    into, fixed = kwargs["into"], kwargs["fixed"]
    if into:
        return [function(**{**fixed, into: item}) for item in kwargs["items"]]
    return [
        function(**{**fixed, **item}) if isinstance(item, dict) else function(*item, **fixed)
        for item in kwargs["items"]
    ]
