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
    id = project.shell(
        "from depot.models import Parcel; from depot.tasks import send, look\n"
        "from depot.tasks import weigh; Parcel.objects.create(name='book'); send.push(name='book')\n"
        "print(weigh.enqueue('book', grams=200).id)\n"
        f"[look.push(path={str(tmp_path / 'seen')!r}, fail=fail) for fail in (False, True, False)]"
    )
    listed = project.manage("regiment", "queues")
    assert listed.returncode == 0 and "parcels" in listed.stdout, listed.stderr
    ran = project.manage("regiment", "run", "--burst")
    assert ran.returncode == 1, ran.stderr  # there is a dead letter
    told = project.shell(
        "from depot.models import Parcel; from depot.tasks import weigh\n"
        f"print(Parcel.objects.get().sent, weigh.get_result({id!r}).return_value)"
    )
    assert told == "1 book: 200 g"
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


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"conector": "memory"}, 'REGIMENT has no key "conector". Did you mean "connector"?'),
        (
            {"defaults": {"leese": 3}},
            'REGIMENT["defaults"] has "leese", which is no setting of a queue. Did you mean "lease"?',
        ),
        ({"queues": {"parcels": []}}, 'REGIMENT["queues"]["parcels"] is []; expected a dict of settings of a queue'),
        ({"outbox": "defalt"}, 'outbox is "defalt", and DATABASES has no such alias. Did you mean "default"?'),
        ({"on_commit": "yes"}, "on_commit is 'yes'; expected True or False"),
        ({"modules": ["my tasks"]}, "REGIMENT[\"modules\"] is ['my tasks']; expected a list of names of modules"),
        (["connector"], "REGIMENT is ['connector']; expected a dict with keys among connector, defaults"),
    ],
)
def test_a_setting_that_means_nothing_is_an_error_of_the_system_check(setting: object, said: str, depot: Path) -> None:
    from django.core.checks import run_checks
    from django.test import override_settings

    with override_settings(REGIMENT=setting):
        found = [one for one in run_checks(tags=["regiment"]) if one.id == "regiment.E001"]
    assert len(found) == 1 and found[0].msg.startswith(said)


def test_the_system_check_says_what_regiment_check_says_and_which_queues_are_not_djangos(depot: Path) -> None:
    from depot import tasks
    from django.core.checks import run_checks
    from django.test import override_settings

    from regiment import Queue

    assert run_checks(tags=["regiment"]) == []
    tasks.plain_one = Queue("plain-one", lease=1.0, connector="sqlite:////nowhere/queue.db")
    try:
        tasks.plain_one.task(tasks.forks.function)
        with override_settings(REGIMENT={"queues": {"parcles": {}}}):
            found = {one.id: one for one in run_checks(tags=["regiment"])}
    finally:
        del tasks.plain_one
    assert "depot.tasks:plain_one is a plain queue of regiment" in found["regiment.W001"].msg
    assert 'REGIMENT["queues"] has "parcles", and no application defines that queue' in found["regiment.W002"].msg
    assert "lease" in found["regiment.E002"].msg


BROKEN = {
    "import nothing_like_it\n": "No module named 'nothing_like_it'",
    "from depot.tasks import parcels\nparcels.options(name='send').push(name='book')\n": (
        '"letters.tasks" pushes a task while it is imported'
    ),
}


@pytest.mark.parametrize("source", BROKEN)
def test_an_error_in_a_module_of_tasks_ends_the_program_and_is_shown(source: str, project: Project) -> None:
    letters = project.folder / "letters"
    letters.mkdir()
    (letters / "__init__.py").touch()
    (letters / "tasks.py").write_text(source)
    (project.folder / "settings_with_letters.py").write_text(
        "from depot_settings import *\nINSTALLED_APPS = [*INSTALLED_APPS, 'letters']\n"
    )
    places = f"{project.folder}{os.pathsep}{PROJECT}"
    environment = {"DJANGO_SETTINGS_MODULE": "settings_with_letters", "PYTHONPATH": places}
    said = BROKEN[source]
    checked = project.manage("check", **environment)
    assert checked.returncode == 1 and said in checked.stderr and "letters/tasks.py" in checked.stderr
    ran = project.python("-m", "regiment", "run", "depot.tasks:parcels", "--burst", **environment)
    assert ran.returncode == 6 and said in ran.stderr and "letters/tasks.py line" in ran.stderr
