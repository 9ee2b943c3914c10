"""The command line: global options, verbs that load when they are used, and errors as exit codes.

Only click is imported here; everything a verb needs is imported by its own module, so that no verb pays for another.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from regiment import __version__, exits
from regiment_cli.ends import aborted, ended
from regiment_cli.options import global_options
from regiment_cli.printing import say
from regiment_cli.verbs import Verbs

cli = Verbs(
    "regiment",
    help="Distributed workers: tasks that are never lost, workers that never hang, every part a plugin.",
    params=[*global_options(hidden=False)],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    no_args_is_help=True,
)
click.version_option(__version__, message=f"regiment %(version)s (Python {sys.version.split()[0]})")(cli)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code; see `regiment.exits`."""
    sys.exit(ended(lambda: _run(args)))


def _run(args: Sequence[str] | None) -> object:
    try:
        return cli.main(args=args, prog_name="regiment", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_shown:
        say(help_shown.ctx.get_help() if help_shown.ctx else "")
        return exits.USAGE
    except click.ClickException as error:
        return _usage(error)
    except click.Abort:
        return aborted()


def _usage(error: click.ClickException) -> int:
    """One wrong line, said in one line: what was seen, what was meant perhaps, where the help is."""
    ctx = getattr(error, "ctx", None)
    text = error.format_message()
    text = text[:1].lower() + text[1:] if text.startswith(("No ", "Invalid ", "Missing ")) else text
    say(f"error: {text}")
    if ctx is not None and isinstance(error, click.UsageError):
        say(f"  try: {ctx.command_path} --help")
    return error.exit_code
