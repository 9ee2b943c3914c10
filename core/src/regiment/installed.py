"""The entry points of what is installed, as `importlib.metadata` finds them, for a tenth of its time.

That module loads the email package, zipfile and more: a fifth of the time in which a worker starts. Here only the folders of
`sys.path` are read; where something else holds distributions (a zip file, a finder of its own), the library is asked.

The current folder and the application's are no installation, although they are on `sys.path`: a `*.dist-info` that lies
there is somebody's file, and a plugin runs in every command.
"""

from __future__ import annotations

import os
import sys
from collections import namedtuple
from functools import lru_cache
from importlib import import_module
from importlib.machinery import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_applications: set[str] = set()


def leave_out(folder: str) -> None:
    """An application's folder: what lies there is imported, but no plugin because it lies there."""
    _applications.add(os.path.realpath(folder))


def _folders() -> list[str]:
    """The folders of `sys.path` that are the installation."""
    try:
        outside = {os.path.realpath(os.getcwd()), *_applications}
    except OSError:
        outside = set(_applications)
    kept = []
    for folder in sys.path:
        real = os.path.realpath(folder) if folder else ""
        if folder and (real not in outside or real in _certain()):
            kept.append(folder)
    return kept


@lru_cache(maxsize=1)
def _certain() -> frozenset[str]:
    """Folders that are an installation even where somebody stands in them: Python's own, and where regiment lies."""
    import site

    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return frozenset(map(os.path.realpath, [*site.getsitepackages(), site.getusersitepackages(), ours]))


class Point(namedtuple("Point", "name value distribution version")):
    """One entry point: its name, where it points to, and which distribution has it. (`typing` would cost a probe more
    than all the rest.)
    """

    __slots__ = ()

    def load(self) -> Any:
        """Import what it points to."""
        return load(self.value.partition("[")[0])


def load(target: str) -> Any:
    """What "module" or "module:attribute" names, imported."""
    module, _, attributes = target.strip().partition(":")
    found: Any = import_module(module.strip())
    for attribute in filter(None, attributes.strip().split(".")):
        found = getattr(found, attribute)
    return found


def points(group: str) -> list[Point]:
    """All entry points of a group in the installation, of each distribution the one that comes first on `sys.path`."""
    others = any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder)
    return list(_asked(group) if others or any(map(os.path.isfile, sys.path)) else _read(group))


def _asked(group: str) -> Iterator[Point]:
    from importlib.metadata import distributions

    seen: set[str] = set()
    for found in distributions(path=_folders()):
        if (key := _key(found.name or "")) not in seen:
            seen.add(key)
            for one in found.entry_points:
                if one.group == group:
                    yield Point(one.name, one.value, found.name, found.version)


def _key(name: str) -> str:
    return "-".join(filter(None, name.replace("_", "-").replace(".", "-").split("-"))).lower()


def _read(group: str) -> Iterator[Point]:
    seen: set[str] = set()
    for folder in _folders():
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            base, _, kind = name.rpartition(".")
            key = _key(base.partition("-")[0])
            if kind in ("dist-info", "egg-info") and key not in seen:
                seen.add(key)
                yield from _points_of(os.path.join(folder, name), group)


def _points_of(place: str, group: str) -> Iterator[Point]:
    here, known = "", ("", "")
    for line in _text(place, "entry_points.txt").splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            here = line[1:-1]
        elif here == group and "=" in line and not line.startswith(("#", ";")):
            known = known if known[0] else _who(place)
            name, _, value = line.partition("=")
            yield Point(name.strip(), value.strip(), *known)


def _who(place: str) -> tuple[str, str]:
    """Name and version of the distribution that is described there."""
    head = (_text(place, "METADATA") or _text(place, "PKG-INFO")).partition("\n\n")[0]
    fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    return fields.get("Name", "").strip(), fields.get("Version", "").strip()


def _text(place: str, name: str) -> str:
    try:
        with open(os.path.join(place, name), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""
