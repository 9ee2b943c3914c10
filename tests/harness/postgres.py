"""A real PostgreSQL for tests: the server of the example connector. Not installed: the test is skipped, and fails under CI=true."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SERVER = Path(__file__).parents[2] / "examples/plugins/postgres_connector/tests/postgres_server.py"


@contextmanager
def postgres() -> Iterator[Any]:
    """A server of one's own; `folder` has its socket, `kill` and `start` are what they say."""
    spec = importlib.util.spec_from_file_location("postgres_server", SERVER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        server = module.Server()
    except RuntimeError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(f"SKIPPED WITHOUT PROOF: {error}")
    try:
        yield server.start()
    finally:
        server.close()
