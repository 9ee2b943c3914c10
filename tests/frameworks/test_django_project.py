"""A project of Django from outside: its commands, its checks, its workers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent / "project"


class Project:
    """The project in a folder of its own, by its command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGIMENT", "DJANGO"))}
        self.environment = {**kept, "DEPOT_FOLDER": str(folder), "XDG_RUNTIME_DIR": str(folder)}
        self.at = PROJECT

    def python(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.at,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def manage(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.python("manage.py", *words, **environment)

    def shell(self, code: str) -> str:
        """What a program of the project prints."""
        told = self.python("-c", f"import django; django.setup()\n{code}", DJANGO_SETTINGS_MODULE="depot_settings")
        assert told.returncode == 0, told.stderr
        return told.stdout.strip()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database that `manage.py migrate` has made."""
    made = Project(tmp_path_factory.mktemp("migrated"))
    told = made.manage("migrate", "--run-syncdb", "-v", "0")
    assert told.returncode == 0, told.stderr
    return made.folder


@pytest.fixture
def project(migrated: Path, tmp_path: Path) -> Project:
    shutil.copy(migrated / "default.db", tmp_path)
    return Project(tmp_path)


def test_tasks_of_a_project_run_by_its_own_command_line_with_no_target_named(project: Project, tmp_path: Path) -> None:
    project.shell(
        "from depot.models import Parcel; from depot.tasks import send, look\n"
        "Parcel.objects.create(name='book'); send.push(name='book')\n"
        f"[look.push(path={str(tmp_path / 'seen')!r}, fail=fail) for fail in (False, True, False)]"
    )
    listed = project.manage("regiment", "queues")
    assert listed.returncode == 0 and "parcels" in listed.stdout, listed.stderr
    ran = project.manage("regiment", "run", "--burst")
    assert ran.returncode == 1, ran.stderr  # there is a dead letter
    assert project.shell("from depot.models import Parcel; print(Parcel.objects.get().sent)") == "1"
    # Connections live no longer than a task, as no longer than a request; and a success stays on the short way.
    assert (tmp_path / "seen").read_text().splitlines() == ["[] True"] * 5
    dead = project.manage("regiment", "dead", "list", "parcels")
    assert "LookupError" in dead.stdout


def test_a_plain_regiment_sets_the_project_up_for_itself_and_a_fork_opens_connections_of_its_own(
    project: Project, tmp_path: Path
) -> None:
    project.shell(f"from depot.tasks import forks; forks.push(path={str(tmp_path / 'seen')!r})")
    words = ("-m", "regiment", "--app-dir", str(PROJECT), "run", "depot.tasks:parcels", "--burst")
    ran = project.python(*words, DJANGO_SETTINGS_MODULE="depot_settings")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "seen").read_text() == "child: shared False, 0 parcels\nparent: the same True, 0 parcels\n"
