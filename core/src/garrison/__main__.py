"""`garrison` and `python -m garrison`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; `health` before click is imported, because probes ask it every few seconds."""
    if sys.argv[1:2] == ["health"]:
        from garrison.commands import health

        code = health.main(sys.argv[2:])
        if code is not None:
            sys.exit(code)
    from garrison.cli import main as cli_main

    cli_main()


if __name__ == "__main__":
    main()
