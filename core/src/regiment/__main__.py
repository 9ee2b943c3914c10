"""`regiment` and `python -m regiment`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line.

    An entry point of the group `regiment.quick` answers its verb before plugins and click are loaded: probes ask `health`
    every few seconds. It takes the arguments and returns the exit code, or None for what it leaves to the verb itself.
    """
    if sys.argv[1:2] == ["health"]:
        from regiment import installed

        for point in installed.points("regiment.quick"):
            if point.name == sys.argv[1]:
                code = point.load()(sys.argv[2:])
                if code is not None:
                    sys.exit(code)
    from regiment.cli.main import main as cli_main

    cli_main()


if __name__ == "__main__":
    main()
