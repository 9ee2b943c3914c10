"""Targets: `module` or `module:Name`, how many workers each has, and finding the workers in a module."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterable
from types import ModuleType
from typing import Any, NamedTuple

from garrison import pushing
from garrison.errors import GarrisonError, TargetError, nearest
from garrison.queue import Queue
from garrison.worker import Running, Worker

FRAMES = 10
"""Calls that the error of a failed start names, the innermost."""

_OURS = os.path.dirname(pushing.__file__) + os.sep


class Target(NamedTuple):
    """A target and the range of its number of workers."""

    text: str
    low: int
    high: int


def parse(text: str, workers: tuple[int, int] = (1, 1)) -> Target:
    """`module:Name`, `module:Name=4`, `module:Name=1..8`; ValueError says what is wrong."""
    target, equals, number = text.partition("=")
    low, high = parse_range(number) if equals else workers
    return Target(target, low, high)


def parse_range(text: str) -> tuple[int, int]:
    """`4` or `1..8`."""
    match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is no number of workers; expected a number such as 4, or a range such as 1..8"
        )
    low = int(match[1])
    high = int(match[2]) if match[2] else low
    if high < low or high < 1:
        raise ValueError(
            f"{text!r} is no number of workers: the first number must not be above the second, nor 0"
        )
    return low, high


def named_twice(targets: Iterable[Target]) -> str | None:
    """What is wrong where a worker is named twice, by itself or also by its module; None if none is."""
    seen: dict[str, str] = {}
    for target in targets:
        module, colon, _ = target.text.partition(":")
        if target.text in seen:
            return f'the target "{target.text}" is named twice; give it a number: {target.text}=2'
        clash = (
            module if colon else next((text for text in seen if text.startswith(f"{module}:")), "")
        )
        if clash in seen:
            alone = target.text if colon else clash
            return (
                f'the target "{alone}" is named twice: "{module}" means all workers of that module'
            )
        seen[target.text] = module
    return None


def load(module: str) -> ModuleType:
    """Import a target's module; a push from within it, or any error, is a `TargetError` that names the line."""
    pushing.importing = module
    try:
        return importlib.import_module(module)
    except GarrisonError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(error.name + ".")):
            raise TargetError(_no_module(module)) from None
        raise TargetError(_broken(module, error)) from error
    except BaseException as error:
        raise TargetError(_broken(module, error)) from error
    finally:
        pushing.importing = None


def _no_module(module: str) -> str:
    text = f'no module named "{module}"'
    if module.endswith(".py"):
        return f'{text}; did you mean "{module[:-3].replace(os.sep, ".")}"?'
    if os.sep in module:
        return f'{text}; did you mean "{module.removesuffix(".py").replace(os.sep, ".")}"?'
    files = (
        [name[:-3] for name in os.listdir(sys.path[0] or ".") if name.endswith(".py")]
        if sys.path
        else []
    )
    hint = nearest(module, files)
    return f"{text} in {os.path.abspath(sys.path[0] or '.')} or among the installed ones.{hint}"


def _broken(module: str, error: BaseException) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and "garrison/supervisor" not in frame.filename
    ]
    lines = [f'cannot load "{module}"']
    if isinstance(error, SyntaxError) and error.filename:
        lines.append(
            f"  {_short(error.filename)} line {error.lineno}: {(error.text or '').strip()}"
        )
    elif frames:
        lines.append(f"  {_short(frames[-1].filename)} line {frames[-1].lineno}: {frames[-1].line}")
    lines.append(f"  {type(error).__name__}: {error}   (your code, not garrison's)")
    return "\n".join(lines)


def not_started(error: Exception) -> str:
    """What `initialize`, or anything else on a worker's way to its first task, has raised, and where in code not ours."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_OURS)] or list(frames)
    where = "".join(
        f"\n  {_short(frame.filename)} line {frame.lineno}, in {frame.name}: {frame.line}"
        for frame in theirs[-FRAMES:]
    )
    return f"the worker cannot start: {type(error).__name__}: {error}{where}"


def _short(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def find(text: str) -> dict[str, Any]:
    """Label -> face (a Worker class or a Queue), for all workers that a target names, in order of definition."""
    module_name, colon, name = text.partition(":")
    if not module_name:
        raise TargetError(f'"{text}" is no target; expected module or module:Name')
    module = load(module_name)
    if colon:
        if not hasattr(module, name):
            names = list(_faces(module))
            raise TargetError(
                f'module "{module_name}" has no "{name}".{nearest(name, names)} Workers there: {", ".join(names) or "none"}'
            )
        face = getattr(module, name)
        if not _is_face(face):
            raise TargetError(
                f'"{text}" is {_what(face)}; expected a subclass of garrison.Worker or a garrison.Queue'
            )
        return {text: _usable(text, face)}
    faces = _faces(module)
    if not faces:
        raise TargetError(
            f'module "{module_name}" has no worker: no subclass of garrison.Worker, no garrison.Queue'
        )
    return {
        f"{module_name}:{name}": _usable(f"{module_name}:{name}", face)
        for name, face in faces.items()
    }


def _faces(module: ModuleType) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in vars(module).items():
        own = isinstance(value, Queue) or getattr(value, "__module__", None) == module.__name__
        if _is_face(value) and own and value not in found.values() and not name.startswith("_"):
            found[name] = value
    return found


def _is_face(value: Any) -> bool:
    return isinstance(value, Queue) or (
        isinstance(value, type) and issubclass(value, Worker) and value is not Worker
    )


def _what(value: Any) -> str:
    from garrison.queue import TaskFunction

    if isinstance(value, TaskFunction):
        return f"the task {value.name!r}; run its queue instead ({value.queue.name!r})"
    return f"a {type(value).__name__}"


def _usable(text: str, face: Any) -> Any:
    if isinstance(face, Queue):
        try:
            face.load()
        except GarrisonError:
            raise
        except BaseException as error:
            raise TargetError(_broken(", ".join(face.include), error)) from error
        if not face.tasks:
            raise TargetError(
                f'"{text}" has no task; decorate a function with @….task, or name its module in include=[…]'
            )
    elif face.work is Worker.work:
        raise TargetError(f'"{text}" defines no work(self, task)')
    return face


def application(face: Any) -> Any:
    """A face as what attempts run: a `Queue` itself, or an instance of a `Worker` class."""
    return face if isinstance(face, Queue) else Running(face())


def find_task(text: str) -> Any:
    """What `garrison push MODULE:NAME` pushes to: a Worker class, a task function, or a task of the module's queues."""
    module_name, _, name = text.partition(":")
    if not name:
        raise TargetError(f'"{text}" names no task; expected module:Name')
    module = load(module_name)
    value = getattr(module, name, None)
    if value is not None and (hasattr(value, "push") or isinstance(value, Queue)):
        if isinstance(value, Queue):
            raise TargetError(
                f'"{text}" is a queue; name one of its tasks: {", ".join(value.tasks) or "it has none"}'
            )
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
