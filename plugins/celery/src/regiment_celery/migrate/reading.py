"""Reads one file: each use of Celery with its line, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from regiment_celery.conf import check
from regiment_celery.migrate.names import ATTRIBUTES, HOMES, INSTEAD, METHODS
from regiment_celery.options import CALL, IGNORED, MAPPED, REFUSED, SUPPORTED, TASK, Option, Refused
from regiment_celery.settings import modern, verdict_of

_UNKNOWN = object()
"""A value that only the running program knows."""
_CALLS = ("apply_async", "send_task", "signature", "subtask", "set")
_APP = frozenset({"broker_url", "result_backend"})
_CONSTRUCTOR = {"broker": "broker_url", "backend": "result_backend"}
_CONSTRUCTED = ("main", "include", "namespace", "set_as_current", "task_cls", "config_source", "changes", "regiment")


class Finding(NamedTuple):
    """One use of Celery: where, and what becomes of it."""

    path: str
    line: int
    verdict: str
    """supported, mapped, ignored or refused"""
    what: str
    says: str


class Reader(cst.CSTVisitor):
    """Collects the findings of a file."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, path: str, settings: bool) -> None:
        super().__init__()
        self.path, self._settings = path, settings
        self.found: list[Finding] = []
        self.uses = False
        """True if the file imports Celery, or uses what did."""
        self._apps = {"app", "celery", "celery_app", "current_app"}
        self._depth = 0

    def _say(self, node: cst.CSTNode, option: Option, what: str, value: Any = _UNKNOWN) -> None:
        verdict = option.verdict
        if verdict == REFUSED and any(value is one for one in option.fine):
            verdict = SUPPORTED
        position: Any = self.get_metadata(PositionProvider, node)
        self.found.append(Finding(self.path, position.start.line, verdict, what, option.says))

    # Imports

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:  # noqa: N802
        """`from celery… import …`"""
        module = dotted(node.module) if node.module is not None and not node.relative else ""
        if not _celerys(module):
            return
        self.uses = self.uses or module.split(".")[0] == "celery"
        names = [] if isinstance(node.names, cst.ImportStar) else [dotted(one.name) for one in node.names]
        home, known = HOMES.get(module, ("", frozenset[str]()))
        if home and not isinstance(node.names, cst.ImportStar):
            for name in names:
                what = f"from {module} import {name}"
                if name in known:
                    self._say(node, Option(SUPPORTED, f"from {home} import {name}"), what)
                else:
                    self._say(node, Option(REFUSED, _instead(f"{module}.{name}", module)), what)
            return
        self._say(node, Option(REFUSED, _instead(module, module)), f"from {module} import {', '.join(names) or '*'}")

    def visit_Import(self, node: cst.Import) -> None:  # noqa: N802
        """`import celery`"""
        for one in node.names:
            module = dotted(one.name)
            if not _celerys(module):
                continue
            self.uses = self.uses or module.split(".")[0] == "celery"
            if module == "celery":
                self._say(node, Option(SUPPORTED, "import regiment_celery as celery"), "import celery")
            elif module in HOMES:
                home = HOMES[module][0]
                self._say(
                    node, Option(REFUSED, f"write from {home} import …, by the names that are used"), f"import {module}"
                )
            else:
                self._say(node, Option(REFUSED, _instead(module, module)), f"import {module}")

    # Tasks

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:  # noqa: N802
        """`@app.task(…)`"""
        self._depth += 1
        for one in node.decorators:
            call = one.decorator
            function = call.func if isinstance(call, cst.Call) else call
            if not self._makes_tasks(dotted(function)):
                continue
            self._say(one, Option(SUPPORTED, "a task"), f"task {node.name.value}")
            if node.asynchronous is not None:
                self._say(
                    one,
                    Option(REFUSED, 'async def runs in a Queue(executor="asyncio")'),
                    f"async def {node.name.value}",
                )
            for name, value, at in keywords(call) if isinstance(call, cst.Call) else []:
                self._option(TASK, at, f"task {node.name.value}: {name}", name, value)

    def leave_FunctionDef(self, original_node: cst.FunctionDef) -> None:  # noqa: N802
        """Out of it again."""
        self._depth -= 1

    def visit_ClassDef(self, node: cst.ClassDef) -> None:  # noqa: N802
        """A class of tasks."""
        bases = [dotted(one.value) for one in node.bases]
        if not any(base in ("Task", "celery.Task") or base.endswith(".Task") for base in bases) or not self.uses:
            return
        for statement in node.body.body:
            if isinstance(statement, cst.FunctionDef) and statement.name.value in ("run", "__call__"):
                says = (
                    "write a function with bind=True; of __call__ a plugin with regiment_around_attempt (docs/hooks.md)"
                )
                self._say(statement, Option(REFUSED, says), f"{node.name.value}.{statement.name.value}")
            if isinstance(statement, cst.SimpleStatementLine):
                for name, value, at in assigned(statement):
                    if name in TASK:
                        self._option(TASK, at, f"{node.name.value}: {name}", name, value)

    def _makes_tasks(self, name: str) -> bool:
        head, _, last = name.rpartition(".")
        return last == "shared_task" or (
            last == "task" and (head in self._apps or head.endswith((".app", "celery", "celery_app")))
        )

    def _option(self, table: Mapping[str, Option], node: cst.CSTNode, what: str, name: str, value: Any) -> None:
        option = table.get(name)
        self._say(node, option or Option(REFUSED, "nothing here has this name"), what, value)

    # Calls and settings

    def visit_Call(self, node: cst.Call) -> None:  # noqa: N802
        """Calls of tasks, of `Celery`, of `app.conf.update` and of `crontab`."""
        name = dotted(node.func)
        head, _, last = name.rpartition(".")
        if last == "Celery" and (self.uses or not head):
            self._application(node)
        elif head.endswith(".conf") and last == "update":
            for key, value, at in [*keywords(node), *dictionary(node)]:
                self._setting(at, key, value)
        elif last in _CALLS and self._called(last, node):
            for key, value, at in keywords(node):
                if key in CALL and key not in ("args", "kwargs"):
                    self._say(at, CALL[key], f"{last}({key}=)", value)
        elif last == "crontab" and self.uses:
            given = {key: value for key, value, _ in keywords(node)}
            if all(given.get(day, "*") != "*" for day in ("day_of_month", "day_of_week")):
                says = "Celery means days on which both hold, cron those on which one does; leave one out, and look in the task"
                self._say(node, Option(REFUSED, says), "crontab(day_of_month=, day_of_week=)")
        elif last == "retry" and head == "self":
            if any(key == "throw" and value is not True for key, value, _ in keywords(node)):
                self._say(node, Option(REFUSED, "a retry ends the run"), "self.retry(throw=False)")
            else:
                self._say(node, Option(SUPPORTED, "the run ends, and another one follows"), "self.retry")
        elif (
            last == "get"
            and self.uses
            and any(key in ("callback", "on_message", "on_interval") for key, _, _ in keywords(node))
        ):
            self._say(node, Option(REFUSED, METHODS["on_message"]), "get(callback=, on_message=)")
        elif last in METHODS and self.uses and last != "on_message":
            self._say(node, Option(REFUSED, METHODS[last]), f".{last}(…)")

    def _called(self, last: str, node: cst.Call) -> bool:
        names = {key for key, _, _ in keywords(node)}
        return last in ("apply_async", "send_task") or (self.uses and bool(names & CALL.keys()))

    def _application(self, node: cst.Call) -> None:
        self._say(node, Option(SUPPORTED, "regiment run MODULE:APP serves it"), "Celery(…)")
        for key, value, at in keywords(node):
            name = _CONSTRUCTOR.get(key, key)
            if key not in _CONSTRUCTED:
                self._setting(at, name, value)

    def visit_Attribute(self, node: cst.Attribute) -> None:  # noqa: N802
        """`app.control`"""
        if (
            node.attr.value in ATTRIBUTES
            and dotted(node.value) in self._apps
            and (self.uses or dotted(node.value) != "app")
        ):
            self._say(node, Option(REFUSED, ATTRIBUTES[node.attr.value]), f"{dotted(node)}")

    def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> None:  # noqa: N802
        """`app = Celery(…)`, `app.conf.x = …`, and settings of a module."""
        for name, value, at in assigned(node):
            head, _, last = name.rpartition(".")
            if isinstance(value, cst.Call) and dotted(value.func).rpartition(".")[2] == "Celery":
                self._apps.add(name)
            elif head.endswith(".conf"):
                self._setting(at, last, value)
            elif (
                self._depth == 0 and not head and (name.startswith("CELERY_") or (self._settings and verdict_of(name)))
            ):
                self._setting(at, name, value)

    def _setting(self, node: cst.CSTNode, name: str, value: Any) -> None:
        option = verdict_of(name)
        if option is None:
            self._say(node, Option(REFUSED, "no setting of Celery that is known here"), f"setting {name}")
            return
        plain = literal(value)
        if plain is not _UNKNOWN and option.verdict != IGNORED:
            try:
                check(modern(name), plain)
                option = option._replace(verdict=SUPPORTED if option.verdict == REFUSED else option.verdict)
            except Refused as error:
                option = Option(REFUSED, str(error))
        elif option.verdict == REFUSED or modern(name) == "broker_url":
            says = option.says or "redis://…, mongodb://… or sqlite:///…; amqp:// and others have no store here"
            option = Option(REFUSED if option.verdict == REFUSED else MAPPED, says)
        self._say(node, option, f"setting {name}")


def read(path: PurePath | str, text: str) -> tuple[cst.Module, list[Finding], bool]:
    """The module of a file, its findings, and whether it uses Celery; `cst.ParserSyntaxError` for what is no Python."""
    module = cst.parse_module(text)
    reader = Reader(str(path), PurePath(path).name == "celeryconfig.py")
    MetadataWrapper(module, unsafe_skip_copy=True).visit(reader)
    return module, sorted(reader.found, key=lambda one: one.line), reader.uses


def _celerys(module: str) -> bool:
    top = module.split(".")[0]
    return top == "celery" or top in INSTEAD


def _instead(name: str, module: str) -> str:
    for one in (name, module):
        while one:
            if one in INSTEAD:
                return INSTEAD[one]
            one = one.rpartition(".")[0]
    if module == "celery.signals":
        return "this signal cannot be had; regiment_celery.signals says what to use"
    return "nothing here has this name; docs/from-celery.md has what takes its place"


def dotted(node: Any) -> str:
    """`a.b.c` for names and attributes; empty for anything else."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr.value}" if head else node.attr.value
    return ""


def literal(node: Any) -> Any:
    """The value of a constant; `_UNKNOWN` for what only the program knows."""
    if isinstance(node, cst.Name) and node.value in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[node.value]
    if isinstance(node, (cst.SimpleString, cst.Integer, cst.Float)):
        return node.evaluated_value
    return _UNKNOWN if isinstance(node, cst.CSTNode) else node


def keywords(call: cst.Call) -> list[tuple[str, Any, cst.CSTNode]]:
    """(name, literal value, node) of the arguments by name."""
    return [(one.keyword.value, literal(one.value), one) for one in call.args if one.keyword is not None]


def dictionary(call: cst.Call) -> list[tuple[str, Any, cst.CSTNode]]:
    """The same of the entries of dictionaries among the arguments by position."""
    found: list[tuple[str, Any, cst.CSTNode]] = []
    for one in call.args:
        if one.keyword is None and isinstance(one.value, cst.Dict):
            for entry in one.value.elements:
                key = literal(entry.key) if isinstance(entry, cst.DictElement) else None
                if isinstance(key, str):
                    found.append((key, literal(entry.value), entry))
    return found


def assigned(node: cst.SimpleStatementLine) -> list[tuple[str, Any, cst.CSTNode]]:
    """(dotted name, value, node) of the assignments of a line."""
    return [
        (
            dotted(target.target),
            statement.value if literal(statement.value) is _UNKNOWN else literal(statement.value),
            statement,
        )
        for statement in node.body
        if isinstance(statement, cst.Assign)
        for target in statement.targets
    ]
