"""Targets, `module` or `module:Name`: importing a module and finding its workers and queues."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from regiment import pushing
from regiment.build import connector_use
from regiment.config import WorkerConfig
from regiment.errors import PluginError, RegimentError, TargetError, nearest
from regiment.queue import Queue, TaskFunction
from regiment.registry import registry
from regiment.task import Task
from regiment.worker import HOOKS, Worker


def load(module: str) -> ModuleType:
    """Import a target's module; an error in it, or a push during the import, is a `TargetError` that names the line."""
    if not all(part.isidentifier() for part in module.split(".")):
        raise TargetError(_no_module(module))
    if module not in sys.modules:
        _announce(module)
    pushing.importing = module
    try:
        return importlib.import_module(module)
    except RegimentError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(error.name + ".")):
            raise TargetError(_no_module(module)) from None
        raise TargetError(_broken(module, error)) from error
    except BaseException as error:
        raise TargetError(_broken(module, error)) from error
    finally:
        pushing.importing = None


def _announce(module: str) -> None:
    """Tell plugins that an application is about to be imported: what it needs is set up then."""
    for plugin, call in registry().hooks("regiment_loading"):
        try:
            call(module)
        except Exception as error:
            raise PluginError(
                f'the plugin {plugin} could not get ready for "{module}": {type(error).__name__}: {error}'
            ) from error


def _no_module(module: str) -> str:
    text = f'no module named "{module}"'
    if module.endswith(".py") or os.sep in module:
        return f"{text}; {_meant(module)}"
    files = [name[:-3] for name in os.listdir(sys.path[0] or ".") if name.endswith(".py")] if sys.path else []
    hint = nearest(module, files)
    return f"{text} in {os.path.abspath(sys.path[0] or '.')} or among the installed ones.{hint}"


def _meant(path: str) -> str:
    """A hint for a user who wrote the path of a file: the target to write instead."""
    path = os.path.normpath(path).removesuffix(".py")
    folder, name = os.path.split(path)
    if not os.path.isabs(path) and not path.startswith(os.pardir):
        return f'did you mean "{path.replace(os.sep, ".")}"?'
    return f'did you mean "{name}", with --app-dir {folder}?'


def _broken(module: str, error: BaseException) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    lines = [f'cannot load "{module}"']
    if isinstance(error, SyntaxError) and error.filename:
        lines.append(f"  {short_path(error.filename)} line {error.lineno}: {(error.text or '').strip()}")
    elif frames:
        lines.append(f"  {short_path(frames[-1].filename)} line {frames[-1].lineno}: {frames[-1].line}")
    lines.append(f"  {type(error).__name__}: {error}   (your code, not regiment's)")
    return "\n".join(lines)


def short_path(path: str) -> str:
    """A path as seen from the current folder, if it lies in it."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def find(text: str) -> dict[str, Any]:
    """Label -> face (a Worker class or a Queue) of all workers of a target, in order of definition."""
    module_name, colon, name = text.partition(":")
    if not module_name:
        raise TargetError(f'"{text}" is no target; expected module or module:Name')
    module = load(module_name)
    if colon:
        name, _, other = name.partition(".")
        if not hasattr(module, name):
            names = list(faces_of(module))
            raise TargetError(
                f'module "{module_name}" has no "{name}".{nearest(name, names)} Workers there: {", ".join(names) or "none"}'
            )
        face = getattr(module, name)
        if isinstance(face, TaskFunction):  # whoever runs a task runs its queue
            homes = [(label, one) for label, one in faces_of(module).items() if one is face.queue]
            name, face = homes[0] if homes else (name, face)
        if not _is_face(face):
            raise TargetError(f'"{text}" is {_what(face)}; expected a subclass of regiment.Worker or a regiment.Queue')
        return _one_of(text, f"{module_name}:{name}", face, other) if other else _all_of(text, face)
    faces = faces_of(module)
    if not faces:
        raise TargetError(f'module "{module_name}" has no worker: no subclass of regiment.Worker, no regiment.Queue')
    return {
        label: each for name, face in faces.items() for label, each in _all_of(f"{module_name}:{name}", face).items()
    }


def _all_of(label: str, face: Any) -> dict[str, Any]:
    """A face; of one that has further queues (`others`), each of them under its own name."""
    usable = _usable(label, face)
    further: dict[str, Any] = getattr(face, "others", dict)()
    if not further:
        return {label: usable}
    return {f"{label}.{name}": one for name, one in {face.name: usable, **further}.items()}


def _one_of(text: str, label: str, face: Any, queue: str) -> dict[str, Any]:
    """One queue of a face that has several."""
    found = _all_of(label, face)
    if text not in found:
        raise TargetError(f'"{label}" has no queue "{queue}".{nearest(text, found)} There are: {", ".join(found)}')
    return {text: found[text]}


def shared_config(text: str) -> WorkerConfig:
    """The configuration of the worker that a target names; of a module the first, if all in it share one store."""
    return shared_configs(text)[0]


def shared_configs(text: str) -> list[WorkerConfig]:
    """The configurations of all workers that a target names, in order of definition, if they share one store."""
    found: dict[str, WorkerConfig] = {label: face.outlet.config() for label, face in find(text).items()}
    stores: list[tuple[str, dict[str, Any]]] = []
    for use, _ in map(connector_use, found.values()):
        if (use.name, use.options) not in stores:  # compared, as what they show hides what tells them apart
            stores.append((use.name, use.options))
    if len(stores) > 1:
        raise TargetError(f'the workers of "{text}" use {len(stores)} stores; name one of them: {", ".join(found)}')
    return list(found.values())


def faces_of(module: ModuleType) -> dict[str, Any]:
    """Name -> face of the workers and queues that a module holds, in order of definition."""
    found: dict[str, Any] = {}
    for name, value in vars(module).items():
        own = _is_face(value) and (isinstance(value, Queue) or value.__module__ == module.__name__)
        if own and value not in found.values() and not name.startswith("_"):
            found[name] = value
    return found


def _is_face(value: Any) -> bool:
    # Not `isinstance`: it asks the object for its class, and a lazy object may have no answer.
    return issubclass(type(value), Queue) or (issubclass(type(value), type) and Worker in type.mro(value)[1:])


def _what(value: Any) -> str:
    if isinstance(value, TaskFunction):
        return f"the task {value.name!r}; run its queue instead ({value.queue.name!r})"
    return f"a {type(value).__name__}"


def _usable(text: str, face: Any) -> Any:
    if isinstance(face, Queue):
        try:
            face.load()
        except RegimentError:
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
    """The application of a face: a `Queue` itself, or an instance of a `Worker` class."""
    return face if isinstance(face, Queue) else Running(face())


class Running:
    """A worker class as an application (`regiment.contracts.Application`): the instance, with its configuration as `config`."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.config: WorkerConfig = type(worker).configuration()
        own = [name for name in HOOKS if getattr(type(worker), name) is not getattr(Worker, name)]
        self.handlers: Mapping[str, Callable[..., Any]] = {name: getattr(worker, name) for name in own}
        self.works: Mapping[str, Callable[..., Any]] = {"work": worker.work}

    def work_of(self, name: str) -> Callable[[Task], Any] | None:
        """`work`, whatever the task's name."""
        return self.worker.work

    def config_of(self, name: str) -> WorkerConfig:
        """The configuration, whatever the task's name."""
        return self.config
