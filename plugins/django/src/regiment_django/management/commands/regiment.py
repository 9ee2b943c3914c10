"""`manage.py regiment …`: the command line of regiment, with the project set up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from regiment.config import CONNECTOR_VARIABLE
from regiment.errors import ConfigError
from regiment_django import conf, discovery

DJANGOS = ("--settings", "--pythonpath")
"""Options of `manage.py` that were obeyed before, and are not regiment's."""


class Command(BaseCommand):  # type: ignore[misc]
    """Forwards to the command line of regiment."""

    help = "The command line of regiment: run, check, queues, dead, … `run` without a target runs all queues."
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """From the command line: all words are regiment's."""
        words = own(argv[2:])
        if (verb := verb_of(words)) == "run":
            program = command(words)
            os.execve(program[0], program, environment())  # noqa: S606  the same program, without the application in it
        if verb == "check":
            words = with_targets(words)
        if isinstance(url := conf.said().get("connector"), str):  # the store that queues, dead, … look at
            os.environ.setdefault(CONNECTOR_VARIABLE, url)
        from regiment_cli.main import main

        sys.argv[0] = "regiment"
        main(words)

    def add_arguments(self, parser: CommandParser) -> None:
        """All words, for `call_command`."""
        parser.add_argument("words", nargs="*")

    def handle(self, *args: Any, **options: Any) -> None:
        """From a program: in a process of its own; `CommandError` with its exit code if that is not 0."""
        code = subprocess.call(command([*args, *options["words"]]), env=environment())
        if code:
            raise CommandError(f"regiment ended with exit code {code}", returncode=code)


def own(words: Sequence[str]) -> list[str]:
    """The words without the options of `manage.py`."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip or word.partition("=")[0] in DJANGOS:
            skip = not skip and word in DJANGOS
        else:
            kept.append(word)
    return kept


def verb_of(words: Sequence[str]) -> str:
    """The verb among the words."""
    return next((word for word in words if not word.startswith("-")), "")


def with_targets(words: list[str]) -> list[str]:
    """The words of `run` or `check`, with all queues of the project where they name no target."""
    if "--help" in words or "-h" in words or _name_targets(words):
        return words
    labels = [label for label, queue in discovery.targets().items() if queue.tasks]
    if not labels:
        raise CommandError("no application defines a queue with a task in its modules of tasks; name a TARGET")
    return [*words, *labels]


def _name_targets(words: list[str]) -> bool:
    """True if the words of a verb name a target, or cannot be read: that is for regiment to say."""
    import click

    from regiment_cli.verbs import load

    verb = verb_of(words)
    found = load(verb)
    context = click.Context(found)
    try:
        read, _, _ = found.make_parser(context).parse_args(words[words.index(verb) + 1 :])
    except click.UsageError:
        return True
    named = [read.get(str(one.name)) for one in found.params if isinstance(one, click.Argument)]
    return any(
        isinstance(one, (str, tuple, list)) and one for one in named
    )  # click marks what was not given in its own way


def command(words: list[str]) -> list[str]:
    """What runs regiment with these words in a process of its own: a supervisor that has not imported the application."""
    verb = verb_of(words)
    return [sys.executable, "-m", "regiment", *(with_targets(words) if verb in ("run", "check") else words)]


def environment() -> dict[str, str]:
    """The environment of that process: the settings of this one, and whatever is on its path."""
    try:
        found = discovery.settings_module()
    except ConfigError as error:
        raise CommandError(str(error)) from error
    path = os.pathsep.join(found["path"])
    return {**os.environ, "DJANGO_SETTINGS_MODULE": found["settings"], "PYTHONPATH": path}
