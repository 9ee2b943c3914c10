"""`regiment` and `python -m regiment`."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; `health` before click is imported, because probes ask it every few seconds."""
    _leave_current_folder()
    if sys.argv[1:2] == ["health"]:
        from regiment_runner.verbs import health

        code = health.main(sys.argv[2:])
        if code is not None:
            sys.exit(code)
    from regiment.cli.main import main as cli_main

    cli_main()


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
