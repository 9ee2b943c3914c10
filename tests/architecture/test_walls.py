"""The walls of the house: who may import whom, how large a room may be, and what an import costs."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from architecture import house

ROOT = house.ROOT
CORE = {name: path for name, path in house.modules().items() if name.split(".")[0] == "regiment"}
ORDER = {
    name: (place, number)
    for place, names in enumerate(house.CORE_ROOMS.values())
    for number, name in enumerate(names.split())
}
PARTS = ("local", "redis", "mongo", "serializers", "compressors", "executors", "killers")
"""Distributions that offer parts: they know the contracts, and nothing else of the core."""
OPEN_TO_PARTS = {"regiment", "regiment.contracts", "regiment.hooks", "regiment.errors", "regiment.outcome"}
RUNNER = ["shared", "parts", "keeper", "steward", "worker", "supervisor", "verbs"]
"""Inside the runner a folder is a process; each imports from those before it."""
ALSO = {
    "regiment_testing": "regiment_runner",
    "regiment_workflows": "regiment_results",
    "regiment_dashboard": "regiment_console",
    "regiment_limits": "regiment_console",
    "regiment_sentry": "regiment_console",
    "regiment_django": "regiment_results regiment_dashboard regiment_console regiment_outbox",
    "regiment_sqlalchemy": "regiment_outbox",
    "regiment_pytest": "regiment_testing",
    "regiment_sergeant": "regiment_runner",
    "regiment_celery": "regiment_results regiment_schedules regiment_workflows",
}
"""Who builds on further distributions, by declared dependency: flows are made of what results keep, pages show what verbs say, outboxes share their relay,
limits account for acts as verbs do, and reports are grouped and masked as verbs do."""
NEVER_MEET = {
    *(("worker", "keeper"), ("keeper", "worker"), ("keeper", "parts"), ("shared", "parts")),
    *(("steward", "parts"), ("steward", "keeper"), ("worker", "steward")),
}
OPTIONS = (
    # "memory", "process", "thread" and "json" are ordinary words too
    "local redis mongo msgpack pickle zlib gzip bzip2 lzma zstd serial threaded coroutine sqlite mongodb"
).split()
MOST_OF_CORE, MOST_OF_A_FILE, MOST_OF_A_FUNCTION = 2750, 300, 50
EXTRAS = tuple(f"regiment.contracts.{name}" for name in ("effects", "flow", "history", "ledger", "steer"))
"""Optional parts of the contract: declarations that only who builds or uses one reads; counted for themselves."""
MOST_OF_AN_EXTRA = 110


def distribution(module: str) -> str:
    return module.split(".")[0]


def test_no_module_is_part_of_a_circle_of_imports() -> None:
    assert house.circles() == []


def test_every_module_of_the_core_has_a_room() -> None:
    assert {name.split(".")[1] for name in CORE if "." in name} == set(ORDER)


@pytest.mark.parametrize("name", [name for name in CORE if "." in name])
def test_a_module_of_the_core_imports_only_from_rooms_below_its_own(name: str) -> None:
    mine = name.split(".")[1]
    for other, line in house.imports(CORE[name]):
        theirs = other.split(".")[1] if other.startswith("regiment.") else mine
        assert theirs == mine or ORDER[theirs] < ORDER[mine], f"{name} line {line} imports {other}"


def test_the_core_imports_no_other_distribution_and_no_driver() -> None:
    foreign = ("regiment_", "redis", "pymongo", "msgpack", "zstandard", "structlog", "psutil")
    for name, path in CORE.items():
        for other, line in house.imports(path):
            assert not other.startswith(foreign), f"{name} line {line} imports {other}"


def test_pluggy_is_imported_by_hooks_alone_and_click_by_nothing_of_the_core() -> None:
    users = {
        library: {name for name, path in CORE.items() if library in {other for other, _ in house.imports(path)}}
        for library in ("pluggy", "click")
    }
    assert users["pluggy"] == {"regiment.hooks"}
    assert not users["click"]


def test_the_core_names_no_option_but_where_it_says_what_to_install() -> None:
    for name, path in CORE.items():
        if name in ("regiment.known", "regiment.config"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in OPTIONS:
                raise AssertionError(f"{name} line {node.lineno} names the option {node.value!r}")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_only_the_contracts_and_no_other_distribution(part: str) -> None:
    for name, path in house.modules().items():
        if distribution(name) != f"regiment_{part}":
            continue
        for other, line in house.imports(path):
            where = f"{name} line {line} imports {other}"
            if distribution(other) == "regiment":
                assert any(
                    other == door or (other.startswith(f"{door}.") and door != "regiment") for door in OPEN_TO_PARTS
                ), where
            assert not other.startswith("regiment_") or distribution(other) == distribution(name), where


def test_a_program_imports_core_and_command_line_and_no_other_distribution_but_the_testing_kit_the_runner() -> None:
    for name, path in house.modules().items():
        mine = distribution(name)
        if mine == "regiment" or mine.removeprefix("regiment_") in PARTS:
            continue
        allowed = {"regiment", "regiment_cli", mine, *ALSO.get(mine, "").split()}
        for other, line in house.imports(path):
            if other.startswith("regiment"):
                assert distribution(other) in allowed, f"{name} line {line} imports {other}"


def test_inside_the_runner_a_folder_is_a_process_and_imports_what_comes_before_it() -> None:
    for name, path in house.modules().items():
        parts = name.split(".")
        if parts[0] != "regiment_runner" or len(parts) < 2 or parts[1] not in RUNNER:
            continue
        for other, line in house.imports(path):
            theirs = other.split(".")
            if theirs[0] != "regiment_runner" or len(theirs) < 2 or theirs[1] == parts[1]:
                continue
            where = f"{name} line {line} imports {other}"
            assert RUNNER.index(theirs[1]) < RUNNER.index(parts[1]), where
            assert (parts[1], theirs[1]) not in NEVER_MEET, where


MAY_WRITE = {
    "regiment_cli.printing": "it is the one way",
    "regiment.log": "logging itself has failed",
    "regiment.alone": "the command line is not installed",
    "regiment_console.completion": "a script for a shell, made of our own names",
    "regiment_runner.verbs.top": "takes the terminal and gives it back",
    "regiment_runner.verbs.health": "one line of our own words, before anything is loaded",
}


def test_all_that_goes_to_people_passes_through_printing() -> None:
    """Else a task's text could rewrite the terminal of whoever looks at it."""
    writers = ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write")
    for name, path in house.modules().items():
        if name in MAY_WRITE or name.startswith("regiment_testing"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in writers, f"{name} line {node.lineno} calls {called}; use regiment_cli.printing"


# Sizes


@functools.cache
def sizes() -> Counter[str]:
    """Lines of code of each distribution."""
    found: Counter[str] = Counter()
    for name, path in house.modules().items():
        found[name if name in EXTRAS else distribution(name)] += house.code_lines(path.read_text())
    return found


def test_the_core_can_be_read_in_an_evening(record_property: object) -> None:
    for name, lines in sorted(sizes().items()):
        print(f"{lines:>6,} {name}")
    assert sizes()["regiment"] <= MOST_OF_CORE
    assert max(sizes()[name] for name in EXTRAS) <= MOST_OF_AN_EXTRA


def test_a_file_fits_in_the_head() -> None:
    lines = {name: house.code_lines(path.read_text()) for name, path in house.modules().items()}
    assert {name: number for name, number in lines.items() if number > MOST_OF_A_FILE} == {}


def test_a_function_fits_on_a_screen() -> None:
    large = [
        f"{name}.{function} ({lines} lines)"
        for name, path in house.modules().items()
        for function, _, lines in house.functions(path)
        if lines > MOST_OF_A_FUNCTION
    ]
    assert large == []


# The picture and the distributions


def test_the_picture_of_the_house_is_that_of_the_code() -> None:
    page = house.PAGE.read_text()
    assert house.drawn(page) == page, "make picture draws it anew"


@pytest.mark.parametrize("member", [ROOT / "core", *sorted(ROOT.glob("plugins/*"))], ids=lambda path: path.name)
def test_every_distribution_has_the_same_silhouette_and_version(member: Path) -> None:
    project = tomllib.loads((member / "pyproject.toml").read_text())["project"]
    package = next((member / "src").glob("regiment*"))
    assert project["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (member / "README.md").is_file() and (package / "py.typed").is_file()
    assert (package / "hooks.py").is_file()


def test_what_an_error_tells_people_to_install_offers_what_it_says() -> None:
    from regiment.known import COMMANDS, DISTRIBUTIONS
    from regiment.registry import Registry

    offered = {}
    for plugin in Registry().plugins:
        for kind, named in plugin.offers.items():
            for name, offer in named.items():
                offered.update(dict.fromkeys([name, *offer.schemes], (kind == "commands", plugin.distribution)))
    ours = {name: home for name, (_, home) in offered.items() if home.startswith("regiment-")}
    assert {**DISTRIBUTIONS, **COMMANDS} == ours


def test_the_old_name_stands_nowhere_but_in_the_change_log() -> None:
    old = "garri" + "son"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, listed):
        assert old not in name.lower(), name
        path = ROOT / name
        if name == "CHANGELOG.md" or not path.is_file():
            continue
        assert old not in path.read_bytes().decode(errors="replace").lower(), name


# What an import costs


def loaded_by(code: str) -> set[str]:
    """Modules that `code` loads above bare Python."""
    script = f"import sys; before = set(sys.modules)\n{code}\nprint(*(set(sys.modules) - before))"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_importing_regiment_loads_nothing_else() -> None:
    assert {name for name in loaded_by("import regiment") if name != "__future__"} == {"regiment"}


HEAVY = {"typing", "dataclasses", "inspect", "logging", "pluggy", "click", "structlog", "asyncio", "psutil"}
DRIVERS = {"sqlite3", "redis", "pymongo", "msgpack", "importlib.metadata"}


def test_the_names_that_a_pushing_program_imports_load_small_modules_and_no_heavy_one() -> None:
    loaded = loaded_by("from regiment import Queue, Worker, WorkerConfig, Use, Timeouts, Retry, current")
    words = "exits errors bounds masking task context settings config pushing worker queue".split()
    assert {name for name in loaded if name.startswith("regiment")} == {"regiment", *(f"regiment.{w}" for w in words)}
    assert not loaded & (HEAVY | DRIVERS)


def test_a_command_loads_no_package_that_it_has_no_use_for() -> None:
    loaded = loaded_by("from regiment.registry import registry\nregistry()")
    assert not loaded & (DRIVERS - {"importlib.metadata"} | {"asyncio", "click", "structlog", "psutil", "ssl"})


def test_a_push_loads_no_module_of_the_running_side(tmp_path: Path) -> None:
    loaded = loaded_by(
        f"from regiment import Queue\nq = Queue('q', connector='sqlite:///{tmp_path}/q.db')\n"
        "def f(): ...\nf.__qualname__ = 'f'\nq.task(f).push()"
    )
    running = (
        "regiment_runner.worker",
        "regiment_runner.keeper",
        "regiment_runner.supervisor",
        "regiment_runner.shared",
    )
    assert not {name for name in loaded if name.startswith(running)}
    assert not loaded & {"click", "structlog", "psutil"}
