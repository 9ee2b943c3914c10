"""TODO"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from regiment import exits, log, targets
from regiment.config import Logging
from regiment.contracts import Connector
from regiment.errors import ConfigError, RegimentError, Respawn, Stop, StoreUnavailable, TaskTimeout
from regiment.registry import Registry
from regiment_runner.parts import Parts, assemble, keeper_spec, terms_of
from regiment_runner.shared import crossing, page, process
from regiment_runner.shared.page import Page
from regiment_runner.supervisor import memory
from regiment_runner.worker.lease import Lease
from regiment_runner.worker.runtime import Runtime
from regiment_runner.worker.source import Source
from regiment_runner.worker.taking import Desk


def blackbox_lines(path: Path) -> Iterator[str]:
    """What faulthandler wrote of a worker's stacks."""
    with contextlib.suppress(OSError):
        yield from path.with_suffix(".stacks").read_text(errors="replace").splitlines()
