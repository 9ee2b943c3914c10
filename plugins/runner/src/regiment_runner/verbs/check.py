"""`regiment check`: all problems of targets in one report; nothing is run, and nothing is changed."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from regiment import bounds, exits
from regiment.build import make_connector
from regiment.errors import ConfigError, PluginError, RegimentError, StoreError, nearest
from regiment.masking import masked
from regiment.queue import Queue
from regiment.registry import registry
from regiment.worker import HOOKS
from regiment_cli import targets
from regiment_cli.options import json_option, settings
from regiment_cli.printing import put, say
from regiment_cli.terminal import show_json
from regiment_cli.text import many
from regiment_runner import parts
from regiment_runner.shared.silence import LEAST_LEASE
from regiment_runner.worker.main import notes_of

SHORT_LEASE = 10.0
"""Seconds below which `check` warns."""

UNSIGNED = "what it pushes is signed, and unsigned messages run too; say accept=… with the signed serializer alone"

WORST_FIRST = (exits.TARGET, exits.PLUGIN, exits.CONFIG, exits.STORE, exits.BAD)


class Finding(NamedTuple):
    """One problem (with the exit code it asks for) or, with code 0, a warning."""

    target: str
    text: str
    code: int


@click.command("check")
@click.argument("names", nargs=-1, required=True, metavar="TARGET...")
@click.option("--connect", is_flag=True, help="Also ask the store.")
@json_option
def command(names: tuple[str, ...], connect: bool, as_json: bool) -> int:
    """Say everything that is wrong with each TARGET, at once."""
    settings().reach_application()
    findings: list[Finding] = []
    good: list[str] = []
    for name in names:
        try:
            faces = targets.find(name)
        except RegimentError as error:
            findings.append(Finding(name, str(error), error.exit_code))
            continue
        for label, face in faces.items():
            found = list(examine(label, face, connect))
            findings += found
            if not any(one.code for one in found):
                good.append(label)
    code = next((c for c in WORST_FIRST if any(one.code == c for one in findings)), exits.OK)
    if as_json:
        show_json(
            {
                "exit_code": code,
                "ok": good,
                "problems": [_record(one) for one in findings if one.code],
                "warnings": [_record(one) for one in findings if not one.code],
            }
        )
        return code
    for label in good:
        put(f"ok: {label}")
    for one in findings:
        text = one.text if one.target in one.text else f"{one.target}: {one.text}"
        say(f"{'error' if one.code else 'warning'}: {text}")
    if code:
        say(many(sum(1 for one in findings if one.code), "problem"))
    return code


def _record(one: Finding) -> dict[str, str]:
    return {"target": one.target, "text": one.text}


def examine(label: str, face: Any, connect: bool) -> Iterator[Finding]:
    """All findings of one worker."""
    try:
        app = targets.application(face)
    except RegimentError as error:
        texts = error.problems if isinstance(error, ConfigError) else [str(error)]
        yield from (Finding(label, text, error.exit_code) for text in texts)
        return
    except Exception as error:
        yield Finding(label, f"{type(error).__name__} in its configuration: {error}", exits.CONFIG)
        return
    problems = parts.check(app, label)
    yield from (Finding(label, masked(problem.text), problem.code) for problem in problems)
    if not problems:
        yield from noted(app, label)
    yield from (Finding(label, warning, 0) for warning in retries_that_cannot_be(app, face))
    yield from short_lease(app, label)
    if not problems and parts.signs_and_reads_unsigned(app.config):
        yield Finding(label, UNSIGNED, 0)
    yield from (Finding(label, warning, 0) for warning in hooks_that_nobody_calls(face))
    if connect and not problems:
        yield from _connected(app, label)


def noted(app: Any, label: str) -> Iterator[Finding]:
    """What plugins cannot note of the application: a worker would not start."""
    try:
        notes_of(app, registry().scope(app.config.plugins))
    except ConfigError as error:
        yield from (Finding(label, text, error.exit_code) for text in error.problems)
    except PluginError as error:
        yield Finding(label, str(error), error.exit_code)


def _connected(app: Any, label: str) -> Iterator[Finding]:
    connector = make_connector(app.config, label)()
    try:
        connector.open("look")
        connector.counts(app.config.name)
        warnings: list[str] = getattr(connector, "warnings", list)()
        say(f"{label}: {connector.describe()} answers")
        yield from (Finding(label, text, 0) for text in warnings)
    except StoreError as error:
        yield Finding(label, str(error), exits.STORE)
    finally:
        connector.close()


def short_lease(app: Any, label: str) -> Iterator[Finding]:
    """A warning of a lease with which a worker starts, but which small troubles cost; a shorter one is a problem (`parts.check`)."""
    lease = app.config.lease
    if bounds.limit(lease) and LEAST_LEASE <= lease < SHORT_LEASE:
        yield Finding(
            label,
            f"lease is {lease:g} s, and below {SHORT_LEASE:g} a store or a host that is held up for some seconds costs it: "
            f"what runs then runs a second time elsewhere",
            0,
        )


def retries_that_cannot_be(app: Any, face: Any) -> Iterator[str]:
    """Where `self.retry` (or `raise Retry`) stands and `max_retries` is 0: such a task dies at its first retry."""
    if isinstance(face, Queue):
        for task in face.tasks.values():
            if task.settings.get("max_retries", app.config.max_retries) == 0:
                for line in _lines(task.function, _raises_retry):
                    yield (
                        f"task {task.name!r} raises Retry in line {line} and max_retries is 0, so that it ends as a dead "
                        f"letter; set max_retries, or None for no end"
                    )
    elif app.config.max_retries == 0:
        for line in _lines(face, _calls_retry):
            yield (
                f"self.retry is called in line {line} and max_retries is 0, so that the task ends as a dead letter; "
                f"set max_retries, or None for no end"
            )


def _lines(thing: Any, wanted: Any) -> list[int]:
    try:
        source, first = inspect.getsourcelines(thing)
        tree = ast.parse(textwrap.dedent("".join(source)))
    except (OSError, TypeError, SyntaxError):
        return []  # made without a source file: nothing can be said
    return [first + node.lineno - 1 for node in ast.walk(tree) if wanted(node)]  # type: ignore[attr-defined]


def _calls_retry(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr="retry")):
            return True
    return _raises_retry(node)


def _raises_retry(node: ast.AST) -> bool:
    match node:
        case ast.Raise(exc=ast.Call(func=ast.Name(id="Retry"))) | ast.Raise(exc=ast.Name(id="Retry")):
            return True
        case ast.Raise(exc=ast.Call(func=ast.Attribute(attr="Retry"))):
            return True
    return False


def hooks_that_nobody_calls(face: Any) -> Iterator[str]:
    """Methods of a worker class that are called like hooks, `on_…`, and are none."""
    if isinstance(face, type):
        for name in (one for cls in face.__mro__ for one in vars(cls)):
            if name.startswith("on_") and name not in HOOKS:
                yield f"the method {name} is no hook, and nothing calls it.{nearest(name, HOOKS)}"
