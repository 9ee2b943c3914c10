"""`regiment migrate celery` reads a project as text and says, by file and line, what becomes of each use of Celery."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from regiment_cli.main import cli

TASKS = """\
import os
from celery import Celery, shared_task
from celery.schedules import crontab
from celery.utils.log import get_task_logger  # a comment stays

raise SystemExit("nobody imports this")
app = Celery("proj", broker=os.environ["BROKER"], backend="rpc://", loader="x")
app.conf.task_time_limit = 30
app.conf.update(worker_concurrency=4, task_annotations={"*": {}})
app.conf.beat_schedule = {"a": {"schedule": crontab(day_of_month=1, day_of_week=1)}}


@app.task(bind=True, rate_limit="10/m", acks_late=True, time_limit=5, track_started=True)
def first(self):
    raise self.retry(countdown=3)


@shared_task(acks_late=False)
async def second():
    first.apply_async(countdown=3, routing_key="x", retry=False)
    app.control.revoke("x")
"""


def migrate(*words: str) -> Result:
    return CliRunner().invoke(cli, ["migrate", "celery", *words])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "other.py").write_text("from celery import Celery\n")
    return tmp_path


def test_each_use_is_judged_with_its_line_and_what_to_do(project: Path) -> None:
    told = migrate(str(project), "--json")
    assert told.exit_code == 1
    data = json.loads(told.stdout)
    found = {(one["line"], one["what"]): (one["verdict"], one["says"]) for one in data["findings"]}
    assert {one["path"] for one in data["findings"]} == {"tasks.py"}
    verdicts = {what: verdict for (_, what), (verdict, _) in found.items()}
    assert verdicts == {
        "from celery import Celery": "supported",
        "from celery import shared_task": "supported",
        "from celery.schedules import crontab": "supported",
        "from celery.utils.log import get_task_logger": "supported",
        "Celery(…)": "supported",
        "setting broker_url": "mapped",
        "setting result_backend": "supported",
        "setting loader": "refused",
        "setting task_time_limit": "supported",
        "setting worker_concurrency": "ignored",
        "setting task_annotations": "refused",
        "setting beat_schedule": "supported",
        "crontab(day_of_month=, day_of_week=)": "refused",
        "task first": "supported",
        "task first: bind": "supported",
        "task first: rate_limit": "mapped",
        "task first: acks_late": "supported",
        "task first: time_limit": "mapped",
        "task first: track_started": "ignored",
        "self.retry": "supported",
        "task second": "supported",
        "async def second": "refused",
        "task second: acks_late": "refused",
        "apply_async(countdown=)": "supported",
        "apply_async(routing_key=)": "refused",
        "apply_async(retry=)": "ignored",
        "app.control": "refused",
    }
    assert "regiment-limits" in found[13, "task first: rate_limit"][1]
    assert "name a queue: queue=" in found[20, "apply_async(routing_key=)"][1]


def test_without_write_a_diff_is_shown_and_nothing_changes(project: Path) -> None:
    told = migrate(str(project))
    assert told.exit_code == 1 and (project / "tasks.py").read_text() == TASKS
    assert "-from celery import Celery, shared_task\n" in told.stdout
    assert "+from regiment_celery import Celery, shared_task\n" in told.stdout
    assert (
        "\ntasks.py\n" in told.stdout
        and "    13  mapped     task first: rate_limit: over all workers together, not each: a pool" in told.stdout
    )
    assert (
        "7 refused, 3 mapped, 3 ignored" in told.stderr
        and "imports of 1 file would change; --write does it" in told.stderr
    )


def test_write_changes_imports_and_nothing_else(project: Path) -> None:
    told = migrate(str(project), "--write")
    wanted = TASKS.replace("from celery", "from regiment_celery")
    assert (project / "tasks.py").read_text() == wanted and "imports of 1 file changed" in told.stderr
    assert (project / ".venv" / "other.py").read_text() == "from celery import Celery\n"
    assert "imports of 0 files" in migrate(str(project)).stderr


def test_a_project_without_a_refused_use_ends_with_0(tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text("import celery\n\napp = celery.Celery('x', broker='redis://h')\n")
    told = migrate(str(file), "--write")
    assert told.exit_code == 0 and file.read_text().startswith("import regiment_celery as celery\n")


def test_settings_of_django_and_of_celeryconfig_are_judged(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text(
        "CELERY_BROKER_URL = 'amqp://h'\nCELERY_TASK_ACKS_LATE = True\nDEBUG = True\n"
    )
    (tmp_path / "celeryconfig.py").write_text("timezone = 'UTC'\ntask_reject_on_worker_lost = False\n")
    told = migrate(str(tmp_path), "--json")
    found = [(one["path"], one["line"], one["verdict"], one["what"]) for one in json.loads(told.stdout)["findings"]]
    assert found == [
        ("celeryconfig.py", 1, "supported", "setting timezone"),
        ("celeryconfig.py", 2, "refused", "setting task_reject_on_worker_lost"),
        ("settings.py", 1, "refused", "setting CELERY_BROKER_URL"),
        ("settings.py", 2, "mapped", "setting CELERY_TASK_ACKS_LATE"),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("from kombu import Queue, Exchange", "name queues by strings"),
        ("from celery.bin import worker", "commands are plugins"),
        ("from celery.signals import before_task_publish", "this signal cannot be had"),
        ("from django_celery_beat.models import PeriodicTask", "regiment schedules add"),
        ("from celery import *", "nothing here has this name"),
        ("import celery.result", "write from regiment_celery.result import"),
        ("from celery.app.trace import build_tracer", "docs/from-celery.md has what takes its place"),
    ],
)
def test_an_import_without_a_counterpart_stays_and_is_refused_with_what_to_do(
    line: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "x.py").write_text(f"{line}\n")
    told = migrate(str(tmp_path), "--write")
    assert told.exit_code == 1 and words in told.stdout and (tmp_path / "x.py").read_text() == f"{line}\n"


def test_a_class_with_run_is_refused_and_its_options_are_judged(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(
        "from celery import Task\n\n\nclass Base(Task):\n    autoretry_for = (OSError,)\n    rate_limit = '1/s'\n\n    def run(self): ...\n"
    )
    told = migrate(str(tmp_path), "--json")
    found = [(one["line"], one["verdict"], one["what"]) for one in json.loads(told.stdout)["findings"]]
    assert found[1:] == [
        (5, "supported", "Base: autoretry_for"),
        (6, "mapped", "Base: rate_limit"),
        (8, "refused", "Base.run"),
    ]


def test_a_file_that_cannot_be_read_is_said_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def broken(:\n")
    (tmp_path / "b.py").write_bytes(b"x = '\xff'\n")
    (tmp_path / "c.py").write_text("from celery import chain\n")
    told = migrate(str(tmp_path))
    assert (
        told.exit_code == 1 and "it is no Python that can be read" in told.stdout and "it is not UTF-8" in told.stdout
    )
    assert "from regiment_celery import chain" in told.stdout


def test_a_project_without_celery_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("app.task(1)\nx.update(a=1)\n")
    told = migrate(str(tmp_path))
    assert told.exit_code == 0 and told.stderr == "nothing of Celery was found\n"
