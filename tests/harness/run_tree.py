"""Runs a supervisor as a process of its own: `python run_tree.py '{"targets": […], "level": …, "supervisor": {…}}'`."""

from __future__ import annotations

import json
import sys

from regiment.errors import RegimentError
from regiment_runner import Supervisor
from regiment_runner.shared.logs import configure


def main(order: str) -> int:
    """The exit code of the supervisor."""
    wanted = json.loads(order)
    configure("json", wanted["level"])
    try:
        return Supervisor(wanted["targets"], **wanted["supervisor"]).run()
    except RegimentError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
