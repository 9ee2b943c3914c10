"""The typed way to choose this extension, and a queue whose pushes are typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from regiment.config import Use
from regiment.errors import ConfigError
from regiment.queue import Queue
from regiment_results.settings import problems_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Generic, Literal, ParamSpec, TypeVar, overload

    from regiment.pushing import Pushing
    from regiment.queue import TaskFunction
    from regiment_results.handles import Handle

    P = ParamSpec("P")
    R = TypeVar("R")

    class ResultPushing(Pushing[P], Generic[P, R]):
        """A push with options, whose answer is a handle."""

        def push(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]: ...
        async def apush(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]: ...

    class ResultTask(TaskFunction[P, R]):
        """A task whose pushes answer with handles."""

        def push(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]: ...
        async def apush(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]: ...
        def options(self, **options: Any) -> ResultPushing[P, R]: ...

    By = Literal["queue", "push"]


class Results(Use):
    """Keep what the tasks of a queue return, or how they failed: `Queue("math", plugins=[Results(ttl=3600)])`.

    `ttl`: seconds for which the outcome of a success is kept; `failure_ttl`: of any other end; `wait_ttl`: for which a push is
    known that has not ended. `limit`: bytes of the largest outcome. `track`: False if pushes are not noted, so an id that never
    was cannot be told from one that waits. `history`: how many failed tries of a task are kept. `by`: "queue" keeps the results
    of all pushes, "push" of those with `options(result=True)`, or `options(result=seconds)`. `listed`: True if
    `regiment results list` names them, which costs the store an entry in a list for each.
    """

    __slots__ = ()

    def __init__(
        self,
        *,
        ttl: float = 3600.0,
        failure_ttl: float = 86_400.0,
        wait_ttl: float = 604_800.0,
        limit: int = 1_048_576,
        track: bool = True,
        history: int = 0,
        by: By = "queue",
        listed: bool = False,
    ) -> None:
        options: dict[str, Any] = {
            "ttl": ttl,
            "failure_ttl": failure_ttl,
            "wait_ttl": wait_ttl,
            "limit": limit,
            "track": track,
            "history": history,
            "by": by,
            "listed": listed,
        }
        problems = problems_of(options)
        if problems:
            raise ConfigError(problems)
        super().__init__("results", **options)


class ResultQueue(Queue):
    """A `Queue` that keeps results, and whose pushes type checkers know as `Handle[…]`; at run time it is like any queue
    with `Results(…)` in its plugins. Without one it gets `Results()`.
    """

    def __init__(self, name: str, *, include: Sequence[str] = (), plugins: Sequence[Any] = (), **settings: Any) -> None:
        if not any(isinstance(one, Use) and one.name == "results" for one in plugins):
            plugins = [*plugins, Results()]
        super().__init__(name, include=include, plugins=plugins, **settings)

    def handle(self, id: str) -> Handle[Any]:
        """The handle of a task that was pushed to this queue, by whomever."""
        from regiment_results.handles import handle

        return handle(self, id)

    if TYPE_CHECKING:

        @overload
        def task(self, function: Callable[P, R], /) -> ResultTask[P, R]: ...
        @overload
        def task(
            self, function: None = None, /, *, name: str | None = None, timeout: float | None = None, **settings: Any
        ) -> Callable[[Callable[P, R]], ResultTask[P, R]]: ...
        def task(self, function: Any = None, /, **settings: Any) -> Any: ...
