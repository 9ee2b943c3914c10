"""TODO"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterable
from types import ModuleType
from typing import Any, NamedTuple

from regiment import pushing
from regiment.errors import RegimentError, TargetError, nearest
from regiment.queue import Queue
from regiment.worker import Running, Worker


def find_task(text: str) -> Any:
    """What `regiment push MODULE:NAME` pushes to: a Worker class, a task function, or a task of the module's queues."""
    module_name, _, name = text.partition(":")
    if not name:
        raise TargetError(f'"{text}" names no task; expected module:Name')
    module = load(module_name)
    value = getattr(module, name, None)
    if value is not None and (hasattr(value, "push") or isinstance(value, Queue)):
        if isinstance(value, Queue):
            raise TargetError(f'"{text}" is a queue; name one of its tasks: {", ".join(value.tasks) or "it has none"}')
        return value
    known: dict[str, Any] = {}
    for face in _faces(module).values():
        if isinstance(face, Queue):
            face.load()
            known.update(face.tasks)
    if name in known:
        return known[name]
    names = [*_faces(module), *known]
    raise TargetError(
        f'module "{module_name}" has no task "{name}".{nearest(name, names)} There are: {", ".join(names) or "none"}'
    )
