"""`--reload`: a child that watches the application's files and tells the supervisor of a change."""

from __future__ import annotations

import os
import signal
from importlib.util import find_spec

from garrison import exits
from garrison.errors import PluginError


def check() -> None:
    """`PluginError` where the library that watches files is not installed."""
    if find_spec("watchfiles") is None:
        raise PluginError(
            "--reload needs the package watchfiles: pip install garrison-core[reload]"
        )


def watch(folder: str, tell: int) -> int:
    """The body of the watching child: one byte to `tell` for every set of changed Python files."""
    from watchfiles import PythonFilter, watch

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for _ in watch(folder, watch_filter=PythonFilter(), raise_interrupt=False):
        os.write(tell, b"x")
    return exits.OK
