"""The standard descriptors: stdin, stdout and stderr may be closed."""

from __future__ import annotations

import os
import sys


def open_standard() -> None:
    """Descriptors 0 to 2 may be closed: then they lead nowhere, or what is opened first would take their place."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            os.set_inheritable(number, True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
