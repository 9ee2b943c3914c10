"""Finding the task that `regiment push MODULE:NAME` names."""

from __future__ import annotations

from typing import Any

from regiment.errors import TargetError, nearest
from regiment.queue import Queue
from regiment_cli import targets


def find_task(text: str) -> Any:
    """The target of `regiment push MODULE:NAME`: a Worker class, a task function, or a task of the module's queues."""
    module_name, _, name = text.partition(":")
    if not name:
        raise TargetError(f'"{text}" names no task; expected module:Name')
    module = targets.load(module_name)
    value = getattr(module, name, None)
    if value is not None and (hasattr(value, "push") or isinstance(value, Queue)):
        if isinstance(value, Queue):
            raise TargetError(f'"{text}" is a queue; name one of its tasks: {", ".join(value.tasks) or "it has none"}')
        return value
    known: dict[str, Any] = {}
    for face in targets.faces_of(module).values():
        if isinstance(face, Queue):
            face.load()
            known.update(face.tasks)
    if name in known:
        return known[name]
    names = [*targets.faces_of(module), *known]
    raise TargetError(
        f'module "{module_name}" has no task "{name}".{nearest(name, names)} There are: {", ".join(names) or "none"}'
    )
