"""The documents say what the code does: settings, hooks, commands and links agree, and the examples run."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

import regiment
from regiment import Backoff, Logging, Starvation, Timeouts, WorkerConfig
from regiment.hooks import Specs
from regiment.known import COMMANDS
from regiment.pushing import OPTIONS
from regiment_cli.main import cli
from regiment_console import asked
from regiment_dashboard import panels
from regiment_runner import Supervisor

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
    *sorted(ROOT.glob("plugins/*/README.md")),
    ROOT / "core/README.md",
]
LINKING = [*PAGES, *sorted(ROOT.glob("examples/**/README.md"))]
RECORDS = [Timeouts, Backoff, Starvation, Logging, WorkerConfig]


class Block(NamedTuple):
    """A fenced block of a page: its language, the words after it, its text and the line where it starts."""

    page: Path
    line: int
    language: str
    words: list[str]
    text: str

    @property
    def file(self) -> str | None:
        """The file that it is to be written to: `file=hello.py`; a plus at the end appends."""
        return next((word[5:] for word in self.words if word.startswith("file=")), None)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    found: tuple[int, list[str]] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if not line.startswith("```"):
            lines.append(line)
        elif found is None:
            found, lines = (number, line[3:].split()), []
        else:
            language, *words = found[1] or [""]
            yield Block(page, found[0], language, words, "\n".join(lines) + "\n")
            found = None
    assert found is None, f"{page.name}: the block of line {found and found[0]} has no end"


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def rows(page: Path, heading: str) -> dict[str, list[str]]:
    """First cell -> the other cells, of the first table under a heading; cells in backticks without them."""
    text = page.read_text()
    start = re.search(rf"^#+ {re.escape(heading)}$", text, re.MULTILINE)
    assert start is not None, f"{page.name} has no heading {heading!r}"
    table = re.search(r"^\|.*(?:\n\|.*)*", text[start.end() :], re.MULTILINE)
    assert table is not None, f"{page.name}: {heading!r} has no table"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]
    return {first.strip("`"): [cell.strip("`") for cell in rest] for first, *rest in cells}


ALL_BLOCKS = [block for page in PAGES for block in blocks(page)]
PYTHON = [block for block in ALL_BLOCKS if block.language == "python"]
RUNNABLE = [block for block in ALL_BLOCKS if "runnable" in block.words]


# Settings


def value(text: str) -> Any:
    names = {record.__name__: record for record in RECORDS}
    return eval(text, {"Exception": Exception, **names})


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_the_settings_page_tells_every_field_and_its_default(record: type[Any]) -> None:
    documented = rows(ROOT / "docs/settings.md", record.__name__)
    assert list(documented) == list(record._defaults)
    for field, default in record._defaults.items():
        told = documented[field][0]
        if default is ...:
            assert told == "required", field
        else:
            assert value(told) == default, field
        assert documented[field][1], f"{field} has no meaning"


def test_the_settings_page_tells_every_keyword_of_the_supervisor() -> None:
    documented = rows(ROOT / "docs/settings.md", "Supervisor")
    keywords = {
        name: parameter.default
        for name, parameter in inspect.signature(Supervisor).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert {name: value(cells[0]) for name, cells in documented.items()} == keywords


def test_the_settings_page_tells_every_option_of_a_push() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    section = page.split("## A push's options")[1].split("\n## ")[0]
    told = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)))
    assert sorted(told) == sorted(OPTIONS)


def test_the_settings_page_tells_every_variable_of_the_environment() -> None:
    documented = {name for name in rows(ROOT / "docs/settings.md", "Environment") if name.startswith("REGIMENT_")}
    used: set[str] = set()
    for path in [*ROOT.glob("core/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]:
        if path.name != "demo_app.py":  # its variable is between the demo and its own workers
            used |= set(re.findall(r"REGIMENT_[A-Z_]+", path.read_text()))
    # click's own variable, which the completion script sets; and the harness's, with which leases may be as short as no user's
    assert documented == used - {"REGIMENT_COMPLETE", "REGIMENT_TEST_LEASES"}


# Hooks


SPECS = (Specs, asked.Specs, panels.Specs)
HOOKS = {name: function for specs in SPECS for name, function in vars(specs).items() if name.startswith("regiment_")}


def test_the_hooks_page_tells_every_hook_with_its_arguments() -> None:
    told = re.findall(r"^### (regiment_\w+)\((.*)\)$", (ROOT / "docs/hooks.md").read_text(), re.MULTILINE)
    wanted = {name: ", ".join(list(inspect.signature(function).parameters)[1:]) for name, function in HOOKS.items()}
    assert dict(told) == wanted


@pytest.mark.parametrize("name", HOOKS)
def test_the_example_of_a_hook_implements_it(name: str) -> None:
    from regiment.hooks import manager

    page = ROOT / "docs/hooks.md"
    section = re.split(r"\n##+ ", page.read_text().split(f"### {name}(")[1])[0]
    source = section.split("```python\n")[1].split("```")[0]
    module: dict[str, Any] = {}
    exec(compile(source, f"{page.name}, {name}", "exec"), module)
    plugin = type("Example", (), {name: staticmethod(module[name])})
    made = manager()
    for specs in SPECS[1:]:
        made.add_hookspecs(specs)
    made.register(plugin)
    made.check_pending()
    assert [found.function for found in getattr(made.hook, name).get_hookimpls()] == [module[name]]


# Code


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_the_python_of_the_documents_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


def test_the_names_that_the_documents_import_exist() -> None:
    for block in PYTHON:
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "regiment":
                module = __import__(str(node.module), fromlist=["*"])
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{block}: {node.module}.{alias.name}"


@pytest.mark.parametrize("block", RUNNABLE, ids=str)
def test_what_is_marked_as_runnable_runs_as_it_stands(block: Block, tmp_path: Path) -> None:
    for other in ALL_BLOCKS:
        if other.page == block.page and other.line < block.line and other.file:
            with open(tmp_path / other.file.rstrip("+"), "a") as file:
                file.write(other.text + "\n\n")
    env = {name: text for name, text in os.environ.items() if not name.startswith("REGIMENT_")}
    env |= {"PYTHONPATH": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{env['PATH']}"}
    if block.language == "sh":
        text = block.text.replace(". .venv/bin/activate\n", "")
        command = ["bash", "-e", "-c", text]
    else:
        (tmp_path / "block.py").write_text(block.text)
        command = [sys.executable, "block.py"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
    if block.page.name == "README.md" and block.language == "sh":
        assert "hello Ada" in done.stdout


# Commands


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Every command line that begins with `regiment`, in blocks and in running text, as words."""
    typed = {"": "", "sh": "", "console": "$ "}  # what is typed begins with; the rest of a console is what is said
    lines = [
        line
        for block in blocks(page)
        if block.language in typed
        for line in block.text.splitlines()
        if line.startswith(typed[block.language])
    ]
    lines += re.findall(r"`(regiment [^`]*)`", prose(page))
    for line in lines:
        line = line.partition("    #")[0].strip().removeprefix("$ ")
        if line.startswith("regiment "):
            yield line, shlex.split(line)[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    top = click.Context(cli)
    for line, words in commands(page):
        command: click.Command = cli
        known = {name for option in cli.params for name in option.opts}
        for word in words:
            if word.startswith("-"):
                assert word.partition("=")[0] in known, f"{page.name}: {line!r}: {word}"
            elif isinstance(command, click.Group):
                found = command.get_command(top, word)
                assert found is not None, f"{page.name}: {line!r}: no command {word!r}"
                command = found
                known |= {name for option in command.params for name in option.opts}


def test_the_readme_tells_every_command() -> None:
    page = (ROOT / "README.md").read_text()
    told = re.findall(r"^\| `regiment (\w+)` \|", page, re.MULTILINE)
    assert sorted(told) == sorted(name for name in COMMANDS if " " not in name)


def test_the_makefile_has_what_the_readme_names() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)`", page.read_text())}
    assert named and named <= targets


def test_the_readme_lists_every_distribution_and_what_it_offers() -> None:
    from regiment.registry import Registry

    page = (ROOT / "README.md").read_text()
    section = page.split("## Plugins")[1].split("\n## ")[0]
    told = {
        cells[0].strip("` "): set(re.findall(r"`([a-z0-9]+(?: [a-z]+)?)`", cells[2])) - {"capture"}
        for cells in (line.strip("|").split("|") for line in section.splitlines())
        if len(cells) == 3 and "regiment" in cells[0] and "core" not in cells[0]
    }
    folders = {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")}
    assert len(told) == len(folders)
    for plugin in Registry().plugins:
        if plugin.distribution in told:
            names = {name for named in plugin.offers.values() for name in named}
            assert told[plugin.distribution] == names


# Links and rows


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(found), f"{page.name}: {target}"


def test_every_page_stands_in_the_navigation_under_one_kind() -> None:
    index = ROOT / "docs/index.md"
    kinds = re.findall(r"^## (.+)$", index.read_text(), re.MULTILINE)
    assert kinds == ["Tutorial", "How-to", "Reference", "Explanation"]
    listed = re.findall(r"^ *- \[.+?\]\((\S+?\.md)\)", index.read_text(), re.MULTILINE)
    assert len(listed) == len(set(listed)), "a page is listed twice"
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").glob("**/*.md")} - {"index.md"}
    missing = pages - set(listed)
    assert not missing, f"docs/index.md does not list {sorted(missing)}: write a line in the section of its kind"


def test_the_fault_matrix_names_for_each_row_exactly_the_tests_that_show_it() -> None:
    documented = rows(ROOT / "docs/guarantees.md", "The fault matrix")
    numbers = [int(number) for number in documented]
    assert numbers[:82] == list(range(1, 83)) and numbers == sorted(set(numbers))
    shown: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        marks = re.findall(r"mark\.fault\(([^)]*)\)", path.read_text())
        for number in re.findall(r"\d+", " ".join(marks)):
            shown.setdefault(number, set()).add(path.name)
    named = {number: set(re.findall(r"\w+\.py", cells[-1])) for number, cells in documented.items()}
    assert named == {number: shown.get(number, set()) for number in documented}


def test_the_architecture_page_has_a_room_for_every_module_of_the_core() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    section = page.split("## Rooms")[1].split("\n## ")[0]
    told = set(re.findall(r"`(\w+)/?`", section))
    core = ROOT / "core/src/regiment"
    modules = {path.stem for path in core.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert {name for name in modules if not name.startswith("__")} <= told


def test_every_rule_is_told_with_what_goes_wrong_without_it() -> None:
    page = (ROOT / "docs/guarantees.md").read_text()
    told = re.findall(r"^- \*\*R(\d+)\.\*\*.*?\*Without it:", page, re.MULTILINE | re.DOTALL)
    assert told == [str(number) for number in range(1, 20)]


def test_every_rule_of_cancelling_is_told() -> None:
    page = (ROOT / "docs/guarantees.md").read_text()
    assert re.findall(r"^- \*\*O(\d+)\.\*\*", page, re.MULTILINE) == ["1", "2", "3", "4"]


def test_the_version_of_the_change_log_is_the_version() -> None:
    newest = re.search(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None and newest[1] == regiment.__version__
