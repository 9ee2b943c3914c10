"""Finding the task that `regiment push MODULE:NAME` names."""

from __future__ import annotations

from typing import Any

from regiment.errors import TargetError, nearest
from regiment.queue import Queue
from regiment_cli import targets


def find_task(text: str) -> Any:
    """The target of `regiment push MODULE:NAME`: a Worker class, a task function, or a task of the module's queues."""
    module_name, _, name = text.partition(":")
    module = targets.load(module_name)
    if not name:
        return _only_one(text, module_name, module)
    value = getattr(module, name, None)
    if value is not None and (hasattr(value, "push") or isinstance(value, Queue)):
        if isinstance(value, Queue):
            raise TargetError(f'"{text}" is a queue; name one of its tasks: {", ".join(value.tasks) or "it has none"}')
        return value
    known = _tasks(module)
    if name in known:
        return known[name]
    names = [*targets.faces_of(module), *known]
    raise TargetError(
        f'module "{module_name}" has no task "{name}".{nearest(name, names)} There are: {", ".join(names) or "none"}'
    )


def _tasks(module: Any) -> dict[str, Any]:
    """The tasks of all queues of a module, by name."""
    known: dict[str, Any] = {}
    for face in targets.faces_of(module).values():
        if isinstance(face, Queue):
            face.load()
            known.update(face.tasks)
    return known


def _only_one(text: str, module_name: str, module: Any) -> Any:
    """What a module without a name means: its only task, or its only Worker class."""
    workers = {name: face for name, face in targets.faces_of(module).items() if not isinstance(face, Queue)}
    known = {**workers, **_tasks(module)}
    if len(known) == 1:
        return next(iter(known.values()))
    names = ", ".join(f"{module_name.rstrip(':')}:{name}" for name in known)
    raise TargetError(f'"{text}" names no task; expected module:Name. Tasks there: {names or "none"}')
