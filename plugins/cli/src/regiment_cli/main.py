"""The command line: global options, verbs that load when they are used, and errors as exit codes.

Only click is imported here; everything a verb needs is imported by its own module, so that no verb pays for another.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from regiment import __version__, exits
from regiment.errors import RegimentError
from regiment_cli.options import global_options, settings
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
    code = exits.BAD
    try:
        answer = cli.main(args=args, prog_name="regiment", standalone_mode=False)
        code = answer if isinstance(answer, int) else exits.OK
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as help_shown:
        say(help_shown.ctx.get_help() if help_shown.ctx else "")
        code = exits.USAGE
    except click.ClickException as error:
        code = _usage(error)
    except click.Abort:
        say("aborted; nothing was changed")
    except RegimentError as error:
        _trace()
        say(f"error: {error}")
        code = error.exit_code
    except BrokenPipeError:  # whoever read our output has gone (`| head`): that is no failure
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        code = exits.OK
    except Exception as error:
        _trace()
        hint = "" if settings().debug else "\n  --debug shows the traceback"
        say(f"error: {type(error).__name__}: {error}{hint}")
    sys.exit(code)


def _trace() -> None:
    if settings().debug:
        import traceback

        traceback.print_exc()


def _usage(error: click.ClickException) -> int:
    """One wrong line, said in one line: what was seen, what was meant perhaps, where the help is."""
    ctx = getattr(error, "ctx", None)
    text = error.format_message()
    text = text[:1].lower() + text[1:] if text.startswith(("No ", "Invalid ", "Missing ")) else text
    say(f"error: {text}")
    if ctx is not None and isinstance(error, click.UsageError):
        say(f"  try: {ctx.command_path} --help")
    return error.exit_code
