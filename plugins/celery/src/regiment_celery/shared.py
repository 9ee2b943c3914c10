"""`shared_task` and the current application: tasks of a package that does not know which application runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regiment.context import attempt_now
from regiment_celery.options import TASK, Refused, judge
from regiment_celery.values import name_of

_apps: list[Any] = []
_pending: list[tuple[Callable[..., Any], dict[str, Any]]] = []


def add_app(app: Any, current: bool) -> None:
    """Take up an application: it gets all shared tasks, and is the current one."""
    _apps.append(app)
    if not current and len(_apps) > 1:
        _apps.insert(-1, _apps.pop())
    for function, options in _pending:
        app.task(function, **options)


def make_current(app: Any) -> None:
    """Let this application be the current one."""
    _apps.remove(app)
    _apps.append(app)


def app_now() -> Any:
    """The current application; `Refused` if none was made."""
    if not _apps:
        raise Refused(
            "there is no Celery application in this process; make one before tasks are pushed: app = Celery(…), in a module "
            "that is imported here (of Django: in the __init__.py of the project)"
        )
    return _apps[-1]


class Shared:
    """A task of whichever application is the current one."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.__wrapped__, self.name = function, name
        self.__name__, self.__doc__, self.__module__ = function.__name__, function.__doc__, function.__module__

    def task(self) -> Any:
        """The task."""
        return app_now().tasks[self.name]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.task()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.task(), name)

    def __repr__(self) -> str:
        return f"<shared task {self.name}>"


class Current:
    """What stands for something that is known later."""

    def __init__(self, find: Callable[[], Any], what: str) -> None:
        object.__setattr__(self, "_find", find)
        object.__setattr__(self, "_what", what)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._find(), name, value)

    def __bool__(self) -> bool:
        return self._find() is not None

    def __repr__(self) -> str:
        return f"<the {self._what}: {self._find()!r}>"


def shared_task(*args: Any, **options: Any) -> Any:
    """`@shared_task` and `@shared_task(…)`: a task of every application of this process."""
    judge(TASK, "@shared_task", options)

    def share(function: Callable[..., Any]) -> Shared:
        name = options.get("name") or name_of(function)
        _pending.append((function, {**options, "name": name}))
        for app in _apps:
            app.task(function, **{**options, "name": name})
        return Shared(function, name)

    if len(args) == 1 and callable(args[0]) and not options:
        return share(args[0])
    if args:
        raise Refused(f"@shared_task got {args!r}; expected options by name")
    return share


def task_now() -> Any:
    """The task that runs here, or None."""
    attempt: Any = attempt_now.get(None)
    return None if attempt is None or attempt.task is None else app_now().tasks.get(attempt.task.name)


current_app: Any = Current(app_now, "current application")
current_task: Any = Current(task_now, "running task")
