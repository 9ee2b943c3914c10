"""What `regiment run` does, and a way to it without click, which costs a start 25 ms and each process of a tree some memory.

`regiment.__main__` calls `main` before click is imported; a line that is not plain, or not right, is click's.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from regiment import log
from regiment_cli.ends import aborted, ended
from regiment_cli.printing import say
from regiment_cli.said import LEVELS, STYLES, settings
from regiment_cli.text import duration, many
from regiment_runner.shared import logs
from regiment_runner.supervisor.memory import parse_size
from regiment_runner.supervisor.numbers import named_twice, parse, parse_range
from regiment_runner.verbs.beside import SERVERS, TOKENS, Asked, as_data, with_addresses

STOP_TIMEOUT = 25.0
"""Seconds that running tasks may go on after a stop signal, if nobody says otherwise."""
_FLAGS = ("burst", "preload", "reload")
_VALUES = ("workers", "stop-timeout", "max-memory", "heartbeat", *SERVERS, *TOKENS)
_GLOBAL = ("app-dir", "log-format", "log-level")


class Given(NamedTuple):
    """What the verb is given; as `regiment_runner.Supervisor` has it, but for `workers`, which is a number or a range as text."""

    targets: tuple[str, ...]
    workers: str | None = None
    burst: bool = False
    stop_timeout: float = STOP_TIMEOUT
    max_memory: int | None = None
    preload: bool = False
    reload: bool = False
    heartbeat: str | None = None
    solo: bool = False
    metrics: str | None = None
    metrics_token: str | None = None
    dashboard: str | None = None
    dashboard_token: str | None = None


class Misused(ValueError):
    """A line that cannot be meant; `help`: whether the verb's help says more."""

    def __init__(self, text: str, *, help: bool = False) -> None:
        super().__init__(text)
        self.help = help


def main(args: list[str]) -> int | None:
    """Run, and return the exit code; None if the line is not plain."""
    said = _read(args)
    if said is None:
        return None
    given, options = said
    told = settings()
    for name, value in options.items():
        setattr(told, name.replace("-", "_"), value)
    told.know_plugins()
    try:
        return ended(lambda: run(given))
    except (KeyboardInterrupt, EOFError):
        return aborted()


def _read(args: list[str]) -> tuple[Given, dict[str, str]] | None:
    """What the line says, and its global options; None if it has other options than plain ones, or is wrong somewhere."""
    targets, found, rest = list[str](), dict[str, Any](), with_addresses(args)
    while rest:
        word, equals, value = rest.pop(0).partition("=")
        name = word.removeprefix("--")
        if not word.startswith("-"):
            targets.append(f"{word}{equals}{value}")
        elif name in _FLAGS and not equals and word.startswith("--"):
            found[name] = True
        elif name in (*_VALUES, *_GLOBAL) and word.startswith("--") and (equals or rest):
            found[name] = value if equals else rest.pop(0)
            if found[name].startswith("-"):
                return None
        else:
            return None
    options = {name: found.pop(name) for name in _GLOBAL if name in found}
    options["log-level"] = options.get("log-level", settings().log_level).upper()
    right = (
        options["log-level"] in LEVELS
        and options.get("log-format", STYLES[0]) in STYLES
        and os.path.isdir(options.get("app-dir", "."))
    )
    try:
        if "stop-timeout" in found:
            found["stop-timeout"] = duration(found["stop-timeout"])
        if "max-memory" in found:
            found["max-memory"] = parse_size(found["max-memory"])
        given = Given(tuple(targets), **{name.replace("-", "_"): value for name, value in found.items()})
        _wanted(given)
        asked(given)
    except ValueError:
        return None
    return (given, options) if right and targets else None


def _wanted(given: Given) -> tuple[int, int]:
    """How many workers each target has that has no number of its own; `Misused` if the targets cannot be meant."""
    number = (1, 1)
    try:
        if given.workers is not None:
            number = parse_range(given.workers)
        wanted = [parse(target, number) for target in given.targets]
    except ValueError as error:
        raise Misused(str(error), help=True) from None
    twice = named_twice(wanted)
    if twice:
        raise Misused(twice)
    return number


def run(given: Given) -> int:
    """Supervise workers of each target until told to stop; the exit code."""
    said = settings()
    said.reach_application()
    number = _wanted(given)
    style = said.log_format
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "json"
    logs.configure(style, said.log_level.upper())
    if style == "console":
        log.logger.addFilter(_announce)
    _look_at_plugins()  # before the fork: supervisor, keeper and workers all need it, and none has to look again
    if given.solo:
        return _solo(given, said.app_dir)
    servers = as_data(asked(given))
    from regiment_runner.supervisor import Supervisor

    supervisor = Supervisor(
        given.targets,
        workers=number,
        burst=given.burst,
        stop_timeout=given.stop_timeout,
        app_dir=said.app_dir,
        max_memory=given.max_memory,
        preload=given.preload,
        reload=given.reload,
        heartbeat=given.heartbeat,
        beside=servers,
    )
    code = supervisor.run()
    if style == "console" and any(group.proven for group in supervisor.tree.groups):
        say(summary(supervisor.tree.ended))
    return code


def summary(counted: dict[str, list[int]]) -> str:
    """How the tasks of a tree ended, in words. A run that failed counts, whether or not its task runs again."""
    from regiment.contracts import OUTCOMES
    from regiment_cli.failing import FAILED

    counts = dict(
        zip(OUTCOMES, map(sum, zip(*(row[: len(OUTCOMES)] for row in counted.values()), strict=True)), strict=False)
    )
    failed, dead = sum(counts.get(name, 0) for name in FAILED), counts.get("dead", 0)
    words = [f"{counts.get('success', 0):,} done", f"{failed:,} failed" + (f" ({dead:,} for good)" if dead else "")]
    words += [f"{counts[name]:,} {name}" for name in ("cancelled", "expired") if counts.get(name)]
    asked = counts.get("retry", 0) + counts.get("requeue", 0)
    words += [f"{asked:,} asked to run again"] if asked else []
    return ", ".join(words) + ("; regiment dead list says why" if dead else "")


def asked(given: Given) -> list[Asked]:
    """The servers that a tree is to have beside it; `Misused` for the token of one that it has not."""
    found = []
    for name in SERVERS:
        where, token = getattr(given, name), getattr(given, f"{name}_token")
        if where is not None:
            found.append(Asked(name, where, token))
        elif token is not None:
            raise Misused(
                f"--{name}-token is the token of --{name}, which is not there: add it, or leave the token out"
            )
    return found


def _look_at_plugins() -> None:
    """Load the plugins; `PluginError` for one that was named and cannot be used, a warning for all that were merely found."""
    from regiment.registry import registry

    registry().refuse()
    unused = [plugin for plugin in registry().plugins if plugin.state not in ("ok", "blocked")]
    if unused:
        lines = "; ".join(f"{plugin.name} of {plugin.source} is {plugin.state}: {plugin.reason}" for plugin in unused)
        log.event(logging.WARNING, "plugin.unusable", reason=lines, next="see regiment plugins")


def _solo(given: Given, app_dir: str) -> int:
    others = {
        "--max-memory": given.max_memory,
        "--preload": given.preload,
        "--reload": given.reload,
        "--heartbeat": given.heartbeat,
        "--metrics": given.metrics,
        "--dashboard": given.dashboard,
    }
    for option, value in others.items():
        if value:
            raise Misused(f"{option} is a supervisor's, and --solo has none: leave one of them out")
    if len(given.targets) > 1 or "=" in given.targets[0] or given.workers is not None:
        raise Misused("--solo runs one worker of one target; expected TARGET without a number")
    from regiment_runner.supervisor.solo import Solo

    return Solo(given.targets[0], burst=given.burst, app_dir=app_dir).run()


def _announce(record: logging.LogRecord) -> bool:
    """Show `supervisor.started` to people as lines, without the log's formatter, which would cost a start its time."""
    fields: dict[str, Any] = getattr(record, "regiment", {})
    if record.msg != "supervisor.started" or "target" not in fields:
        return True
    say(announcement(fields))
    return False


def _counted(plugins: Sequence[str]) -> str:
    """How many plugins are loaded, and by name those that are none of regiment's own."""
    foreign = [name for name in plugins if "(regiment-" not in name and "(pytest-regiment" not in name]
    more = f", among them {', '.join(foreign)}" if foreign else ""
    return f"{len(plugins)} loaded{more}; regiment plugins lists them" if plugins else "none"


def announcement(fields: dict[str, Any]) -> str:
    """What is started, what it uses, which plugins are loaded."""
    kinds = ("connector", "serializer", "compressor", "executor", "killer")
    uses = [f"{kind} {fields[kind]}" for kind in kinds if kind != "connector" and kind in fields]
    return "\n".join(
        [
            f"regiment {fields['regiment']}: {many(fields['workers'], 'worker')} of {fields['target']}, "
            f'queue "{fields["queue"]}" (pid {fields["pid"]}; Ctrl-C ends it)',
            f"  store    {fields['connector']}",
            f"  uses     {', '.join(uses)}",
            *([f"  plugins  {_counted(fields['plugins'])}"] if "plugins" in fields else []),
        ]
    )
