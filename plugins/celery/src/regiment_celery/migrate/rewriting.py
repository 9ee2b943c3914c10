"""Changes the imports of a file."""

from __future__ import annotations

from typing import Any

import libcst as cst

from regiment_celery.migrate.names import HOMES
from regiment_celery.migrate.reading import dotted


class Rewriter(cst.CSTTransformer):
    """Imports that have a counterpart become that; all others stay, and are refused in the report."""

    def leave_ImportFrom(  # noqa: N802
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom:
        """`from celery import Celery` -> `from regiment_celery import Celery`"""
        module = dotted(updated_node.module) if updated_node.module is not None and not updated_node.relative else ""
        if module not in HOMES or isinstance(updated_node.names, cst.ImportStar):
            return updated_node
        home, known = HOMES[module]
        if any(dotted(one.name) not in known for one in updated_node.names):
            return updated_node
        return updated_node.with_changes(module=_name(home))

    def leave_Import(self, original_node: cst.Import, updated_node: cst.Import) -> cst.Import:  # noqa: N802
        """`import celery` -> `import regiment_celery as celery`"""
        changed: list[cst.ImportAlias] = []
        for one in updated_node.names:
            if dotted(one.name) == "celery":
                alias = one.asname or cst.AsName(cst.Name("celery"))
                one = one.with_changes(name=_name("regiment_celery"), asname=alias)
            changed.append(one)
        return updated_node.with_changes(names=changed)


def rewritten(module: cst.Module) -> str:
    """The text of a file with its imports changed."""
    return module.visit(Rewriter()).code


def _name(path: str) -> Any:
    first, *others = path.split(".")
    made: cst.Name | cst.Attribute = cst.Name(first)
    for one in others:
        made = cst.Attribute(made, cst.Name(one))
    return made
