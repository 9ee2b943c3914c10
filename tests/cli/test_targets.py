"""Targets: how they are written, and what is found in a module."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from regiment import Worker, WorkerConfig, pushing
from regiment.errors import TargetError
from regiment_cli import targets


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a module and returns its name; it is forgotten with the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def write(text: str) -> str:
        name = f"target_{tmp_path.name.replace('-', '_')}_{len(made)}"
        (tmp_path / f"{name}.py").write_text(text)
        made.append(name)
        return name

    yield write
    for name in made:
        sys.modules.pop(name, None)


def test_a_module_gives_its_own_workers_in_order_of_definition_once_each(module):
    base = module(
        "from regiment import Worker, WorkerConfig\nclass Base(Worker):\n"
        "    config = WorkerConfig(name='base')\n    def work(self, task): ...\n"
    )
    name = module(
        f"from {base} import Base\nfrom regiment import Queue, Worker, WorkerConfig\n"
        "class Zulu(Base):\n    config = WorkerConfig(name='z')\n"
        "alpha = Queue('a')\nagain = alpha\n_hidden = Queue('h')\n@alpha.task\ndef f(): ...\n"
    )
    assert list(targets.find(name)) == [f"{name}:Zulu", f"{name}:alpha"]


def test_tasks_of_included_modules_make_a_queue_usable(module):
    name = module("from regiment import Queue\nq = Queue('q', include=['{}_x'])\n")
    folder = Path(sys.path[0])
    (folder / f"{name}.py").write_text(f"from regiment import Queue\nq = Queue('q', include=['{name}_x'])\n")
    (folder / f"{name}_x.py").write_text(f"from {name} import q\n@q.task\ndef f(): ...\n")
    [queue] = targets.find(f"{name}:q").values()
    assert list(queue.tasks) == ["f"]


def test_an_error_inside_an_imported_library_names_the_users_line(module):
    name = module("import json\njson.loads('{')\n")
    with pytest.raises(TargetError, match=f'cannot load "{name}"') as caught:
        targets.find(name)
    assert "JSONDecodeError" in str(caught.value)


def test_a_push_while_the_module_is_imported_is_refused_and_later_pushes_are_not(module):
    name = module("from regiment import Queue\nq = Queue('q')\n@q.task\ndef f(): ...\nf.push()\n")
    with pytest.raises(TargetError, match="pushes a task while it is imported"):
        targets.find(name)
    assert pushing.importing is None


def test_sys_exit_at_import_is_an_error_and_does_not_end_us(module):
    name = module("import sys\nsys.exit(3)\n")
    with pytest.raises(TargetError, match="SystemExit: 3"):
        targets.find(name)


def test_objects_that_refuse_to_be_asked_stand_in_the_way_of_nobody(module):
    name = module(
        "from regiment import Queue\n"
        "class Lazy:\n    @property\n    def __class__(self): raise RuntimeError('not configured')\n"
        "class Meta(type):\n    def __getattribute__(cls, name): raise RuntimeError('not now')\n"
        "settings = Lazy()\nclass Odd(metaclass=Meta): ...\nq = Queue('q')\n@q.task\ndef f(): ...\n"
    )
    assert list(targets.find(name)) == [f"{name}:q"]


def test_of_a_class_only_the_hooks_that_it_defines_are_called() -> None:
    class Hooked(Worker):
        config = WorkerConfig(name="mail")

        def on_dead(self, task: Any, reason: dict[str, Any]) -> None: ...

    assert list(targets.Running(Hooked()).handlers) == ["on_dead"]


def test_an_application_with_further_queues_is_a_target_for_all_of_them_and_each_is_one(module: Any) -> None:
    name = module(
        "from regiment import Queue\n"
        "class App(Queue):\n"
        "    def others(self):\n"
        "        return {'reports': _reports}\n"
        "def work(): ...\n"
        "app, _reports, plain = App('mail'), Queue('reports'), Queue('plain')\n"
        "for _one in (app, _reports, plain): _one.task(work)\n"
    )
    queues = {f"{name}:app.mail": "mail", f"{name}:app.reports": "reports"}
    assert {label: one.name for label, one in targets.find(f"{name}:app").items()} == queues
    assert {label: one.name for label, one in targets.find(name).items()} == {**queues, f"{name}:plain": "plain"}
    for label, queue in queues.items():
        assert [one.name for one in targets.find(label).values()] == [queue]
    with pytest.raises(TargetError, match=rf'"{name}:app" has no queue "report". Did you mean "{name}:app.reports"\?'):
        targets.find(f"{name}:app.report")
    with pytest.raises(TargetError, match=rf'"{name}:plain" has no queue "x".*There are: {name}:plain$'):
        targets.find(f"{name}:plain.x")
