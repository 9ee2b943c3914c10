"""The shape of the house: who may import whom, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core/src/regiment"
ROOMS = [
    ["exits", "errors", "bounds", "printing", "masking", "task", "outcome"],
    ["contracts", "config", "hooks"],
    ["log", "installed", "registry", "codec", "policy", "verdict", "descendants"],
    ["broker"],
    ["page", "taking", "runtime", "controls", "ending", "attempt", "holding", "source", "keeper"],
    ["assemble"],
    ["pushing", "worker", "queue"],
    ["supervisor", "commands", "cli", "__main__"],
]
ORDER = {name: (room, place) for room, names in enumerate(ROOMS) for place, name in enumerate(names)}
OPEN_TO_PLUGINS = {
    "regiment",
    "regiment.contracts",
    "regiment.hooks",
    "regiment.errors",
    "regiment.outcome",
}
OPTIONS = (
    # "memory", "process", "thread" and "json" are ordinary words too
    "local redis mongo msgpack pickle zlib gzip bzip2 lzma zstd serial threaded coroutine sqlite mongodb"
).split()


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(module, line) of every import that can happen at run time, wherever in the file it stands."""
    tree = ast.parse(path.read_text())
    for node in _at_run_time(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
            if node.module == "regiment":
                yield from ((f"regiment.{alias.name}", node.lineno) for alias in node.names)


def _at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for other in child.orelse:
                yield other
                yield from _at_run_time(other)
            continue
        yield child
        yield from _at_run_time(child)


def modules(package: Path) -> list[Path]:
    return sorted(path for path in package.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path",
    [path for path in modules(CORE) if room_of(path) in ORDER],
    ids=lambda path: str(path.relative_to(CORE)),
)
def test_a_module_imports_only_from_rooms_below_its_own(path: Path) -> None:
    mine = room_of(path)
    for module, line in imports(path):
        parts = module.split(".")
        if parts[0] != "regiment" or len(parts) < 2 or parts[1] not in ORDER or parts[1] == mine:
            continue
        assert ORDER[parts[1]] < ORDER[mine], f"{path.name} line {line} imports {module}"


def test_every_module_of_the_core_has_a_room() -> None:
    rooms = {room_of(path) for path in modules(CORE)} - {"__init__", "testing"}
    assert rooms == set(ORDER)


def test_only_hooks_imports_pluggy() -> None:
    users = {room_of(path) for path in modules(CORE) if "pluggy" in dict(imports(path))}
    assert users == {"hooks"}


def test_the_core_imports_no_plugin_and_no_driver() -> None:
    foreign = ("regiment_", "redis", "pymongo", "msgpack", "zstandard")
    for path in modules(CORE):
        for module, line in imports(path):
            assert not module.startswith(foreign), f"{path.name} line {line} imports {module}"


def test_the_core_names_no_option_but_in_its_configuration() -> None:
    for path in modules(CORE):
        if path.name == "config.py" and path.parent == CORE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in OPTIONS:
                raise AssertionError(f"{path.name} line {node.lineno} names the option {node.value!r}")


@pytest.mark.parametrize("package", sorted(ROOT.glob("plugins/*/src/*/")), ids=lambda path: path.name)
def test_a_plugin_imports_only_the_contracts_and_no_other_plugin(package: Path) -> None:
    for path in modules(package):
        for module, line in imports(path):
            where = f"{path.name} line {line} imports {module}"
            if module.split(".")[0] == "regiment" and module != "regiment.Use":
                assert module in OPEN_TO_PLUGINS, where
            assert not module.startswith("regiment_") or module.split(".")[0] == package.name, where


@pytest.mark.parametrize("member", [ROOT / "core", *sorted(ROOT.glob("plugins/*"))], ids=lambda path: path.name)
def test_every_member_has_the_same_silhouette_and_version(member: Path) -> None:
    import tomllib

    project = tomllib.loads((member / "pyproject.toml").read_text())["project"]
    package = next((member / "src").glob("regiment*"))
    assert project["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (member / "README.md").is_file() and (package / "py.typed").is_file()
    assert (package / "hooks.py").is_file()


def loaded_by(code: str) -> set[str]:
    """Top-level modules, and those of regiment, that `code` loads above bare Python."""
    script = f"import sys; before = set(sys.modules)\n{code}\nprint(*(set(sys.modules) - before))"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_importing_regiment_loads_nothing_else() -> None:
    assert {name for name in loaded_by("import regiment") if name != "__future__"} == {"regiment"}


def test_the_names_that_a_pushing_program_imports_load_nine_small_modules_and_no_heavy_one() -> None:
    loaded = loaded_by("from regiment import Queue, Worker, WorkerConfig, Use, Timeouts, Retry, current")
    assert {name for name in loaded if name.startswith("regiment")} == {
        "regiment",
        "regiment.exits",
        "regiment.errors",
        "regiment.bounds",
        "regiment.task",
        "regiment.config",
        "regiment.pushing",
        "regiment.worker",
        "regiment.queue",
    }
    heavy = {
        "typing",
        "dataclasses",
        "inspect",
        "logging",
        "pluggy",
        "click",
        "structlog",
        "asyncio",
        "psutil",
    }
    drivers = {"sqlite3", "redis", "pymongo", "msgpack", "importlib.metadata"}
    assert not loaded & (heavy | drivers)


MAY_WRITE = {
    "printing.py": "it is the place",
    "completion.py": "a script for a shell, ours to the last letter",
    "top.py": "takes the terminal and gives it back",
    "health.py": "prints plain ASCII by itself, as no import may cost a probe its time",
    "_demo_app.py": "a worker of the demo",
}
"""Files that write to a terminal by themselves, and why they may."""


def test_all_that_goes_to_people_passes_through_printing() -> None:
    """Else a task's text could rewrite the terminal of whoever looks at it."""
    for path in modules(CORE):
        if path.name in MAY_WRITE or "testing" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in (
                    "print",
                    "click.echo",
                    "click.secho",
                    "sys.stdout.write",
                    "sys.stderr.write",
                ), f"{path.name} line {node.lineno} calls {called}; use regiment.printing"
