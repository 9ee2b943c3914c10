"""`regiment` and `python -m regiment`."""

from __future__ import annotations

import os
import sys

from regiment import installed
from regiment.standard import open_standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line.

    The command line is a distribution of its own, found by its entry point (`regiment.shell`); without it, `alone` answers.
    An entry point of the group `regiment.quick` answers its verb before plugins and click are loaded: probes ask `health`
    every few seconds, and no process of a tree needs click. It takes the arguments and returns the exit code, or None for what it leaves to the verb itself.
    """
    open_standard()
    _leave_current_folder()
    if sys.argv[1:2] in (["health"], ["run"]):
        for point in installed.points("regiment.quick"):
            if point.name == sys.argv[1]:
                code = point.load()(sys.argv[2:])
                if code is not None:
                    sys.exit(code)
    from regiment import alone
    from regiment.known import OURS

    for point in installed.points("regiment.shell"):
        if point.distribution in OURS:
            point.load()()
    sys.exit(alone.main(sys.argv[1:]))


def _leave_current_folder() -> None:
    """Take the current folder off `sys.path`, where `python -m` has put it: what lies there is imported before what is
    installed. The verbs that import an application put its folder there.
    """
    try:
        here = os.getcwd()
    except OSError:
        here = ""
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", here):
        del sys.path[0]


if __name__ == "__main__":
    main()
