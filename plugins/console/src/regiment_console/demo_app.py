"""The application of `regiment demo`: a queue whose tasks count what Python source files define.

Run as a module, it supervises the workers of the demo, as `regiment run --burst` would.
"""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator

from regiment.queue import Queue

QUEUE = "demo"
TARGET = "regiment_console.demo_app:demo"
RESULTS = "REGIMENT_DEMO_RESULTS"
"""The environment variable that names the file of results, in the workers."""
COLUMNS = ("file", "lines", "classes", "functions", "imports")
LIMIT = 1.0
"""Seconds that the endless task may run."""

demo = Queue(QUEUE, tasks_per_transaction=10)
_results = -1


@demo.on("initialize")
def open_results() -> None:
    """Once in each worker: the file of results, to which every write appends."""
    global _results
    warnings.simplefilter("ignore")  # the standard library's tests are full of code that compilers warn about
    _results = os.open(os.environ[RESULTS], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


@demo.task
def count(path: str) -> None:
    """Parse one file and append what it defines; a file that is not valid Python fails with its syntax error."""
    with open(path, "rb") as file:
        source = file.read()
    kinds = Counter(type(statement) for statement in statements(ast.parse(source, path)))
    found = (
        source.count(b"\n"),
        kinds[ast.ClassDef],
        kinds[ast.FunctionDef] + kinds[ast.AsyncFunctionDef],
        kinds[ast.Import] + kinds[ast.ImportFrom],
    )
    name = path.replace('"', '""')
    # One write is one line, whatever other processes write and whenever this process dies.
    os.write(_results, f'"{name}",{",".join(map(str, found))}\n'.encode(errors="replace"))


@demo.task(timeout=LIMIT)
def match_forever() -> None:
    """A regular expression that would take longer than the age of the universe."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement of a module, at any depth; expressions contain none and are skipped."""
    stack = [tree]
    while stack:
        node = stack.pop()
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, block, None)
            if isinstance(inner, list):
                stack += inner
        yield node
