"""The typed way to choose this extension, and a queue whose tasks can be made into steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from regiment.config import Use
from regiment.errors import ConfigError
from regiment.queue import Queue, TaskFunction
from regiment_workflows.pieces import Piece, Policy, Step, over, s
from regiment_workflows.runs import Run, run_of
from regiment_workflows.settings import problems_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import overload

P = ParamSpec("P")
R = TypeVar("R")


class Workflows(Use):
    """Let the tasks of a queue take part in flows: `Queue("shop", plugins=[Workflows()])`.

    `ttl`: seconds for which what steps leave to later ones is kept, from the last end; `keep`: for which a flow is known that
    has ended. `limit`: bytes of the largest value. `tend`: seconds after which a flow that stands still is looked after.
    """

    __slots__ = ()

    def __init__(
        self, *, ttl: float = 604_800.0, keep: float = 86_400.0, limit: int = 1_048_576, tend: float = 600.0
    ) -> None:
        options: dict[str, Any] = {"ttl": ttl, "keep": keep, "limit": limit, "tend": tend}
        problems = problems_of(options)
        if problems:
            raise ConfigError(problems)
        super().__init__("workflows", **options)


class FlowTask(TaskFunction[P, R]):
    """A task function that can be made into pieces of a flow."""

    def s(self, /, *args: Any, **kwargs: Any) -> Step[R]:
        """A step: this task with these arguments, but for the one that comes from what is before it."""
        return s(self, *args, **kwargs)

    def map(
        self, items: Iterable[Any], *, chunk: int = 100, on_error: Policy | None = None, **fixed: Any
    ) -> Piece[Sequence[R]]:
        """This task for each item, `chunk` of them in one message; its value are the results in order. An exception for one
        item fails its chunk, which is then tried again whole.
        """
        return over(self, items, chunk=chunk, on_error=on_error, **fixed)

    def starmap(
        self, items: Iterable[Any], *, chunk: int = 100, on_error: Policy | None = None, **fixed: Any
    ) -> Piece[Sequence[R]]:
        """`map` for items that are each the arguments of a call: a sequence, or a mapping of names to values."""
        return over(self, items, chunk=chunk, star=True, on_error=on_error, **fixed)


class FlowQueue(Queue):
    """A `Queue` whose tasks have `.s`, `.map` and `.starmap`. Without `Workflows(…)` in its plugins it gets `Workflows()`."""

    face = FlowTask

    def __init__(self, name: str, *, include: Sequence[str] = (), plugins: Sequence[Any] = (), **settings: Any) -> None:
        if not any(isinstance(one, Use) and one.name == "workflows" for one in plugins):
            plugins = [*plugins, Workflows()]
        super().__init__(name, include=include, plugins=plugins, **settings)

    def flow(self, id: str) -> Run[Any]:
        """The run of a flow that has its home at this queue, started by whomever."""
        return run_of(self, id)

    if TYPE_CHECKING:

        @overload
        def task(self, function: Callable[P, R], /) -> FlowTask[P, R]: ...
        @overload
        def task(
            self, function: None = None, /, *, name: str | None = None, timeout: float | None = None, **settings: Any
        ) -> Callable[[Callable[P, R]], FlowTask[P, R]]: ...
        def task(self, function: Any = None, /, **settings: Any) -> Any: ...
