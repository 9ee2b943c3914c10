"""What `from regiment import …` gives: the same to a program and to a type checker."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import regiment
from regiment import errors


def for_type_checkers() -> set[str]:
    tree = ast.parse(Path(regiment.__file__).read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("regiment."):
            found |= {alias.name for alias in node.names} - {"*"}
    return found | {name for name, _ in inspect.getmembers(errors, inspect.isclass)}


def test_a_type_checker_sees_every_public_name_and_no_class_that_is_none() -> None:
    assert for_type_checkers() == set(regiment.__all__) - {"__version__"}


@pytest.mark.parametrize("name", regiment.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert getattr(regiment, name) is not None and name in dir(regiment)


def test_another_name_is_refused_as_any_module_does() -> None:
    with pytest.raises(AttributeError, match="module 'regiment' has no attribute 'queues'"):
        _ = regiment.queues
