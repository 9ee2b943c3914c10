"""What a worker's code is and knows, as its tree tells other hosts: the print of its sources, its tasks, what it reads, its plugins."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from regiment.build import also_accepted
from regiment.config import as_use
from regiment.contracts import Application
from regiment_runner.parts import Parts

MOST_NAMES = 100
"""Names of tasks, plugins or serializers that are told; of more, none is."""
INSTALLED = frozenset({"site-packages", "dist-packages"})


def known(app: Application, parts: Parts, label: str, folder: str) -> dict[str, Any]:
    """Of a target: its label, the print of its code, and what it knows. A list that is None is not told: everything may be known."""
    accept, own = parts.config.accept, as_use(parts.config.serializer).name
    accepted = [as_use(one).name for one in also_accepted(parts.config)]
    return {
        "label": label,
        "code": fingerprint(label.partition(":")[0], folder),
        "tasks": _few(getattr(app, "tasks", None)),
        "reads": _few({own, *(parts.registry.names("serializers") if accept is None else accepted)}),
        "plugins": _few({plugin.name for plugin in parts.registry.plugins if plugin.state == "ok"}) or [],
    }


def _few(names: Any) -> list[str] | None:
    return None if names is None or len(names) > MOST_NAMES else sorted(names)


def fingerprint(module: str, folder: str) -> str:
    """Eight hexadecimal digits that differ if the sources do: those of the target's package, and of all that was imported from its folder.

    What is installed there (a virtual environment in the folder) is not the application's.
    """
    found = hashlib.sha256()
    for name, path in sorted(_sources(module.partition(".")[0], os.path.join(os.path.abspath(folder), ""))):
        try:
            with open(path, "rb") as file:
                text = file.read()
        except OSError:
            continue  # in an archive, or gone since
        found.update(b"%s\0%d\0" % (name.encode(), len(text)))
        found.update(text)
    return found.hexdigest()[:8]


def _sources(package: str, folder: str) -> Iterator[tuple[str, str]]:
    for name, module in list(sys.modules.items()):
        path, top = getattr(module, "__file__", None), name.partition(".")[0]
        if not isinstance(path, str) or top == "__main__":
            continue
        ours = path.startswith(folder) and INSTALLED.isdisjoint(path[len(folder) :].split(os.sep))
        if top == package or (ours and not top.startswith("regiment")):
            yield name, path
