"""What every test may use: the folder of the tests on `sys.path` (for `harness`), and a site for trees of workers."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import clock, servers, stalls
from harness.each_store import Stores
from harness.lanes import lane
from harness.scale import FULL
from harness.site import Site
from regiment.context import attempt_now

PYTHONS_OWN = {signal.SIGPIPE, signal.SIGXFSZ}
"""Python ignores these itself, and its children do not."""

OF_ONE_RELEASE = {"test_redis_clocks.py"}
"""Tests of Redis that say themselves which release they need."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """The run's first lines say which servers it runs on, also under `-q`."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not hasattr(session.config, "workerinput"):
        for line in equipment():
            reporter.write_line(line)


def equipment() -> list[str]:
    """What the machine has for the tests, one line each."""
    found = servers.releases()
    default = next(iter(found), None)
    lines = [
        f"redis-server {release}: {path}{', the default' if release == default else ''}"
        for release, path in found.items()
    ] or ["redis-server: none"]
    lines.append(f"mongod: {mongod_release()}")
    lines.append(f"libfaketime: {clock.found() or 'none'}")
    return [*lines, f"systemd-analyze: {shutil.which('systemd-analyze') or 'none'}"]


def mongod_release() -> str:
    """The release of mongod and where it is, or "none"."""
    from harness import mongod

    try:
        path = mongod.binary()
    except (pytest.skip.Exception, pytest.fail.Exception):
        return "none"
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return f"{told.stdout.partition(chr(10))[0].removeprefix('db version v')}: {path}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Redis' own tests (`test_redis_*.py`), the connector examination among them, run on each release that is here; what a
    class says to be of the `newest_release` runs on the others with the full counts only.
    """
    path = metafunc.definition.path
    if path.name.startswith("test_redis_") and path.name not in OF_ONE_RELEASE:
        found = list(servers.releases())
        if getattr(metafunc.cls, "newest_release", False) and not FULL:
            found = found[:1]
        metafunc.parametrize(
            "redis_release",
            found or [None],
            indirect=True,
            scope="module",
            ids=[f"redis-{release}" for release in found] or ["no-redis"],
        )


LONGEST = (
    "tests/parts/test_mongo_contract.py",
    "tests/parts/test_mongo",
    "tests/limits/test_trees.py",
    "tests/results",
    "tests/dashboard",
    "tests/parts",
    "tests/journeys",
    "tests/testing_kit",
    "tests/workflows",
    "tests/schedules",
    "tests/runner/steward",
)
"""What takes longest comes first: with several lanes, none is left with it alone at the end. Nothing else depends on it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest."""

    def rank(item: pytest.Item) -> int:
        return next((place for place, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))

    items.sort(key=rank)


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    """The servers that tests of one module share."""
    made = Stores()
    yield made
    made.close()


@pytest.fixture(autouse=True, scope="module")
def redis_release(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The release of Redis that this test runs on, where there is one for each; None: on the default.

    A fixture that keeps a server for a module asks for this one, so that the server ends with its release.
    """
    release = getattr(request, "param", None)
    if release is None:
        yield None
        return
    with servers.using(release):
        yield release


@pytest.fixture(autouse=True)
def outside() -> None:
    """No test begins inside of a task that another one ran in this process: a worker leaves its last attempt where it was."""
    attempt_now.set(None)  # type: ignore[arg-type]


@pytest.fixture(scope="session", autouse=True)
def machine() -> None:
    """Bounds in seconds are bounds in seconds in which the machine ran."""
    stalls.watch()


@pytest.fixture(scope="session", autouse=True)
def usual_signals() -> None:
    """What tests start has the usual signals, also in a run that was started with some of them ignored (`nohup`, `&` in a
    script). An ignored signal stays ignored in all children; one with a handler does not, and this handler does nothing.
    """
    for number in signal.valid_signals() - PYTHONS_OWN:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)


@pytest.fixture(autouse=True)
def neighbours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A test that is marked `alone` has no other test of the run beside it."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if hasattr(request.config, "workerinput") else folder
    with lane(shared, request.node.get_closest_marker("alone") is not None):
        yield


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A store, an application's folder and a ledger; at the end no process of it may be left (P)."""
    with Site(tmp_path, f"sqlite:///{tmp_path}/queue.db") as made:
        yield made
