"""The plugin of pytest: fixtures, a marker, `--regiment-twice`. It imports nothing of regiment until a test asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from regiment_pytest.tree import Tree
    from regiment_testing import Capture

MARKER = (
    "regiment(*faces): the fixture `regiment` runs tasks with these Worker classes and Queues, where several have one queue; "
    "twice=False: not a second time under --regiment-twice"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--regiment-twice`."""
    group = parser.getgroup("regiment")
    group.addoption(
        "--regiment-twice",
        action="store_true",
        help="Run each captured task that succeeds a second time, as after a crash between its end and its settlement; "
        "a test fails if the second run fails.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def regiment(request: pytest.FixtureRequest) -> Iterator[Capture]:
    """Every push of the test, held: `assert_pushed`, `drain()`, `advance(seconds)`, `run(task)` (`regiment_testing.capture`).

    With `--regiment-twice` each task that succeeds runs a second time at once, and the test fails if that run does not succeed.
    """
    from regiment_testing import capture

    marker = request.node.get_closest_marker("regiment")
    faces, named = (marker.args, marker.kwargs) if marker is not None else ((), {})
    if unknown := named.keys() - {"twice"}:
        raise pytest.UsageError(f'the marker regiment has no "{min(unknown)}"; it has: twice')
    twice = request.config.getoption("--regiment-twice") and named.get("twice", True)
    with capture(*faces, twice=twice) as made:
        request.node.stash[_CAPTURES] = made
        yield made


@pytest.fixture
def regiment_tree(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Tree]]:
    """Starts real workers: `tree = regiment_tree("shop.tasks")`. Queues of these targets that name no connector have their tasks
    in a file of the test's temporary folder, in this process and in the workers.

    `within`: seconds that the start and `tree.drain(queue)` may take. Other keywords are options of `regiment run`
    (`workers=2`). All trees are stopped at the end of the test.
    """
    from regiment_pytest.tree import Tree, faces

    folder, trees = tmp_path_factory.mktemp("regiment"), list[Tree]()
    store, outlets = f"sqlite:///{folder}/queue.db", list[Any]()
    monkeypatch.setenv("REGIMENT_CONNECTOR", store)

    def start(*targets: str, within: float = 30.0, **options: Any) -> Tree:
        for face in faces(targets, options.get("app_dir")):
            config = face.outlet.config()
            if config.connector is None:  # it may have been imported, and have pushed, long before
                monkeypatch.setattr(config.surroundings, "connector", store)
                monkeypatch.setattr(face.outlet, "_broker", None)
                outlets.append(face.outlet)
        trees.append(Tree(folder, len(trees), targets, str(request.config.rootpath), within, options))
        return trees[-1].ready()

    request.node.stash[_TREES] = trees
    yield start
    try:
        for tree in trees:
            tree.stop()
    finally:
        for outlet in outlets:
            outlet.broker().close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """With a failure: what was pushed, which tasks are dead, what the workers have logged."""
    report = yield
    if report.when == "call" and report.failed:
        made = item.stash.get(_CAPTURES, None)
        if made is not None:
            lines = [
                *(f"{number}. {one!r}" for number, one in enumerate(made.pushed[:50], 1)),
                *map(repr, made.dead[:50]),
            ]
            report.sections.append(("regiment: pushed", "\n".join(lines) or "nothing"))
        for tree in item.stash.get(_TREES, ()):
            report.sections.append((f"regiment: log of {' '.join(tree.targets)}", tree.log()[-4000:]))
    return report


_CAPTURES: pytest.StashKey[Any] = pytest.StashKey()
_TREES: pytest.StashKey[list[Any]] = pytest.StashKey()
