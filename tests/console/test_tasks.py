"""What `regiment push MODULE:NAME` finds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from regiment.errors import TargetError
from regiment_console.tasks import find_task

APP = """
from regiment import Queue, Worker, WorkerConfig
shop = Queue("shop")
@shop.task(name="wire")
def send(): ...
class Crawl(Worker):
    config = WorkerConfig(name="crawl")
    def work(self, task): ...
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The name of a module with a queue and a worker class."""
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"tasks_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(APP)
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("named", ["send", "wire", "Crawl"])
def test_a_task_is_found_by_its_function_its_name_on_the_wire_or_its_class(app, named):
    found = find_task(f"{app}:{named}")
    module = sys.modules[app]
    assert found is (module.Crawl if named == "Crawl" else module.send)


def test_a_queue_is_no_task_and_its_tasks_are_named(app):
    with pytest.raises(TargetError, match="is a queue; name one of its tasks: wire"):
        find_task(f"{app}:shop")


def test_a_misspelled_task_is_refused_with_the_nearest_name(app):
    with pytest.raises(TargetError, match=r'has no task "wires". Did you mean "wire"'):
        find_task(f"{app}:wires")


def test_a_target_without_a_name_is_refused(app):
    with pytest.raises(TargetError, match="names no task; expected module:Name"):
        find_task(app)
