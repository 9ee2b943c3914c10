"""Each member as people install it: a wheel of its own, outside of the repository, without the others."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEMBERS = ["./core", *sorted(f"./{path.relative_to(ROOT)}" for path in ROOT.glob("plugins/*"))]


def test_wheels_are_built_from_folders_and_never_from_a_name_on_an_index() -> None:
    """`pip wheel core` asks the index for a stranger's `core`; `pip wheel ./core` cannot."""
    lines = [line for line in (ROOT / "Makefile").read_text().splitlines() if "pip wheel" in line]
    assert lines and all("./$$member" in line for line in lines)


def closure(*names: str) -> set[str]:
    """Distributions that these need, themselves included; regiment's own left out."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower()
        if name in found or name.startswith("regiment"):
            continue
        found.add(name)
        for requirement in metadata.requires(name) or ():
            if "extra ==" not in requirement:
                try:
                    metadata.version(needed := re.match(r"[\w.-]+", requirement)[0])  # type: ignore[index]
                    waiting.append(needed)
                except metadata.PackageNotFoundError:
                    pass  # a requirement for another platform or an older Python
    return found


def link(names: set[str], into: Path) -> None:
    """Make the installed third-party distributions importable from `into`, and nothing else."""
    for name in names:
        for file in metadata.files(name) or ():
            top = Path(str(file)).parts[0]
            source = Path(str(metadata.distribution(name).locate_file(top)))
            if top not in ("..", "__pycache__") and not (into / top).exists():
                (into / top).symlink_to(source)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One wheel of each member, and of the root distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*command, "-w", str(folder), *MEMBERS, "."], cwd=ROOT, check=True)
    return folder


class Place:
    """A place with some of regiment's wheels and their requirements, and no other package."""

    def __init__(self, path: Path, wheels: Path, *distributions: str) -> None:
        self.path = path
        for name in distributions:
            wheel = next(wheels.glob(f"{name.replace('-', '_')}-*.whl"))
            zipfile.ZipFile(wheel).extractall(path)
            text = next(path.glob(f"{name.replace('-', '_')}-*.dist-info/METADATA")).read_text()
            needs = re.findall(r"^Requires-Dist: ([\w.-]+)(?!.*extra ==)", text, re.MULTILINE)
            link(closure(*needs), path)

    def python(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run Python there."""
        return subprocess.run(
            [sys.executable, "-S", *args],
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=60,
            env={"PYTHONPATH": str(self.path), "PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(self.path)},
        )

    def runtime(self) -> Path:
        """Where pages lie: not beside the package, whose folder has the same name."""
        made = self.path / "run"
        made.mkdir(mode=0o700, exist_ok=True)
        return made

    def regiment(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run the command line there."""
        code = "from regiment.__main__ import main; main()"
        return subprocess.run(
            [sys.executable, "-S", "-c", code, *args],
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=60,
            env={"PYTHONPATH": str(self.path), "PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(self.runtime())},
        )


APP = "from regiment import Queue\nq = Queue('hello')\n@q.task\ndef greet(name): print('hello', name, flush=True)\n"


def test_the_core_alone_says_that_nothing_is_installed_and_what_to_install(wheels: Path, tmp_path: Path) -> None:
    place = Place(tmp_path, wheels, "regiment-core")
    (tmp_path / "hello.py").write_text(APP)
    plugins = place.regiment("plugins")
    assert plugins.returncode == 0
    assert "pip install regiment" in plugins.stdout + plugins.stderr
    run = place.regiment("run", "hello")
    assert run.returncode == 6
    assert "pip install regiment-runner" in run.stderr
    new = place.regiment("plugins", "new", "killer", "mine")
    assert new.returncode == 6
    assert "pip install regiment-testing" in new.stderr


PROGRAMS = ("regiment-cli", "regiment-runner", "regiment-console")
EVERYDAY = {
    "regiment-local": ("connectors", {"local", "memory"}),
    "regiment-serializers": ("serializers", {"json", "msgpack", "pickle", "signed"}),
    "regiment-compressors": ("compressors", {"bzip2", "gzip", "lzma", "zlib", "zstd"}),
    "regiment-executors": ("executors", {"asyncio", "serial", "threaded"}),
    "regiment-killers": ("killers", {"coroutine", "process", "thread"}),
}


@pytest.mark.parametrize("missing", [None, *EVERYDAY])
def test_a_plugin_that_is_not_installed_takes_exactly_its_options_with_it(
    missing: str | None, wheels: Path, tmp_path: Path
) -> None:
    import json

    place = Place(tmp_path, wheels, "regiment-core", "regiment-cli", *(name for name in EVERYDAY if name != missing))
    listed = json.loads(place.regiment("plugins", "list", "--json").stdout)["plugins"]
    offered = {
        (kind, name)
        for plugin in listed
        for kind, names in plugin["offers"].items()
        for name in names
        if plugin["state"] == "ok" and kind != "commands"
    }
    assert offered == {
        (kind, name) for member, (kind, names) in EVERYDAY.items() if member != missing for name in names
    }


def test_wheels_installed_elsewhere_run_a_task(wheels: Path, tmp_path: Path) -> None:
    place = Place(tmp_path, wheels, "regiment-core", *PROGRAMS, *EVERYDAY)
    (tmp_path / "hello.py").write_text(APP)
    assert place.regiment("push", "hello:greet", "name=Ada").returncode == 0
    run = place.regiment("run", "hello", "--burst")
    assert run.returncode == 0, run.stderr
    assert "hello Ada" in run.stdout


def test_the_core_with_two_parts_pushes_and_lists_without_a_runner(wheels: Path, tmp_path: Path) -> None:
    place = Place(tmp_path, wheels, "regiment-core", "regiment-local", "regiment-serializers")
    (tmp_path / "hello.py").write_text(APP + "if __name__ == '__main__': print(greet.push(name='Ada').queue)\n")
    pushed = place.python("hello.py")
    assert (pushed.returncode, pushed.stdout) == (0, "hello\n"), pushed.stderr
    listed = place.regiment("plugins")
    assert listed.returncode == 0 and "regiment-local" in listed.stdout
    asked = place.regiment("queues")
    assert asked.returncode == 6 and "pip install regiment-console" in asked.stderr


def test_the_core_with_a_runner_and_two_parts_says_which_part_is_missing(wheels: Path, tmp_path: Path) -> None:
    place = Place(
        tmp_path, wheels, "regiment-core", "regiment-cli", "regiment-runner", "regiment-local", "regiment-serializers"
    )
    (tmp_path / "hello.py").write_text(APP)
    run = place.regiment("run", "hello", "--burst")
    assert run.returncode == 6
    assert "pip install regiment-executors" in run.stderr


@pytest.mark.parametrize("name", ["regiment-sergeant", "regiment-testing", "regiment-django", "regiment-sqlalchemy"])
def test_what_is_not_everyday_works_beside_the_core(name: str, wheels: Path, tmp_path: Path) -> None:
    needs = {"regiment-django": ["regiment-outbox"], "regiment-sqlalchemy": ["regiment-outbox"]}.get(name, [])
    place = Place(tmp_path, wheels, "regiment-core", *PROGRAMS, *EVERYDAY, *needs, name)
    (tmp_path / "used.py").write_text(
        "from regiment_sergeant import Worker\nprint(Worker.push_task.__name__)\n"
        if name == "regiment-sergeant"
        else "import regiment_django.choice, regiment_django.relay as r\nprint(r.Relay().look(0.0))\n"
        if name == "regiment-django"
        else "import regiment_sqlalchemy.enqueueing, regiment_sqlalchemy.relay as r\nprint(r.Relay().look(0.0))\n"
        if name == "regiment-sqlalchemy"
        else "from regiment_testing import capture\nwith capture() as q: print(len(q.pushed))\n"
    )
    used = place.python("used.py")
    assert used.returncode == 0, used.stderr


def test_the_root_distribution_holds_no_code(wheels: Path) -> None:
    names = zipfile.ZipFile(next(wheels.glob("regiment-0*.whl"))).namelist()
    assert all(".dist-info/" in name for name in names)


def test_who_blocks_an_extension_by_its_name_blocks_all_of_its_distribution() -> None:
    found = {point.name for point in metadata.entry_points(group="regiment")}
    ours = {"results", "schedules", "workflows", "limits", "claims"}
    assert ours <= found
    for name in ours:
        (point,) = [one for one in metadata.entry_points(group="regiment") if one.name == name]
        assert name in point.load().regiment_extensions()
