"""`regiment` and `python -m regiment`."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; `health` before click is imported, because probes ask it every few seconds."""
    try:
        for number in (0, 1, 2):
            os.fstat(number)
    except OSError:
        from regiment_runner.shared.crossing import open_standard

        open_standard()
    if sys.argv[1:2] == ["health"]:
        from regiment_runner.verbs import health

        code = health.main(sys.argv[2:])
        if code is not None:
            sys.exit(code)
    from regiment.cli.main import main as cli_main

    cli_main()


if __name__ == "__main__":
    main()
