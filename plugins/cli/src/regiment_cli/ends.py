"""How a command ends: what it raised in one message, and its exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from regiment import exits
from regiment.errors import RegimentError
from regiment_cli.printing import say
from regiment_cli.said import settings


def ended(run: Callable[[], object]) -> int:
    """Run a command; its exit code: what it returns if that is a number, 0, or that of what it raises, which is said."""
    try:
        answer = run()
        sys.stdout.flush()
        return answer if isinstance(answer, int) else exits.OK
    except RegimentError as error:
        _trace()
        say(f"error: {error}")
        return error.exit_code
    except BrokenPipeError:  # whoever read our output has gone (`| head`): that is no failure
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return exits.OK
    except Exception as error:
        _trace()
        hint = "" if settings().debug else "\n  --debug shows the traceback"
        say(f"error: {type(error).__name__}: {error}{hint}")
        return exits.BAD


def aborted() -> int:
    """Ctrl-C, or the end of what was to be read."""
    say("aborted; nothing was changed")
    return exits.BAD


def _trace() -> None:
    if settings().debug:
        import traceback

        traceback.print_exc()
