"""`regiment plugins new`: a folder that installs, passes its examination, and says what to fill in.

The parts of a template are complete and small, not empty. A failing check then shows the author which change broke it;
a whole contract of `NotImplementedError` would show nothing before everything is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

import click

from regiment import __version__
from regiment.config import is_offer_name
from regiment.contracts import CONTRACT_VERSION
from regiment.hooks import OFFERS
from regiment.known import DISTRIBUTIONS
from regiment.registry import registry
from regiment_cli.printing import put, say

KINDS = (*(kind[:-1] for kind in OFFERS), "observer")
PARTS = KINDS[:6]
"""The kinds that have an examination."""

SUMMARIES = {
    "connector": "a store of tasks",
    "serializer": "a way to turn arguments into bytes",
    "compressor": "a way to make those bytes fewer",
    "executor": "a way to run tasks",
    "killer": "a way to stop tasks that hang",
    "extension": "hooks that a queue chooses, with options",
    "command": "a command of regiment",
    "observer": "watches what tasks do",
}
FILES: Mapping[str, Mapping[str, str]] = {
    "connector": {"connector.py": "connector.py", "state.py": "state.py"},
    "extension": {"hooks.py": "hooks.py", "extension.py": "extension.py"},
    "command": {"hooks.py": "hooks.py", "command.py": "command.py"},
    "observer": {"hooks.py": "hooks.py"},
}
"""Kind -> file of the package -> its template; the other kinds have one file, named like the kind."""

MORE = {
    "connector": '\n            schemes=("$name",),\n            trial={"place": "{fresh}"},',
}
"""What an offer has beside its target. `trial`: the options with which it can be examined anywhere."""


@click.command("new")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--into", default=".", metavar="DIR", help="Where the folder is made.  [default: .]")
def command(kind: str, name: str, into: str) -> None:
    """Make a folder with a plugin to start from: a package, its entry point, and tests that pass.

    NAME is what configurations will write, and the end of the distribution's name (regiment-NAME).
    """
    folder = Path(into) / f"regiment-{name}"
    _refuse(kind, name, folder)
    made = make(kind, name)
    for path, text in made.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    for path in made:
        put(folder / path)
    say(f"next: cd {folder}, pip install -e '.[test]', pytest. README.md says what to fill in.")


def make(kind: str, name: str) -> dict[str, str]:
    """Path in the new folder -> text."""
    package = "regiment_" + name.replace("-", "_")
    words = {
        "kind": kind,
        "name": name,
        "distribution": f"regiment-{name}",
        "package": package,
        "Class": _class(kind, name),
        "summary": SUMMARIES[kind],
        "core": ".".join(__version__.split(".")[:2]),
        "contract": str(CONTRACT_VERSION),
    }
    words["more"] = Template(MORE.get(kind, "")).substitute(words)
    source = f"src/{package}"
    wanted = {
        "pyproject.toml": "shared/pyproject.toml",
        f"{source}/__init__.py": "shared/init.py",
        f"{source}/py.typed": "shared/py.typed",
        f"{source}/hooks.py": "shared/hooks_part.py",
        **{
            f"{source}/{file}": f"{kind}/{template}"
            for file, template in FILES.get(kind, {f"{kind}.py": f"{kind}.py"}).items()
        },
        f"tests/test_{package}.py": f"{kind}/test.py",
    }
    made = {path: _filled(template, words) for path, template in wanted.items()}
    words["todo"] = _todo(made)
    return {**made, "README.md": _filled("shared/README.md", words)}


def _class(kind: str, name: str) -> str:
    """my-store, connector: MyStoreConnector."""
    words = [word for word in name.split("-") if word != kind]
    return "".join(word.capitalize() for word in [*words, kind])


def _todo(made: Mapping[str, str]) -> str:
    """Every TODO of the new files as a line of a list."""
    return "\n".join(
        f"- `{path}`: {found}" for path, text in made.items() for found in re.findall(r"# TODO: (.*)", text)
    )


def _filled(template: str, words: Mapping[str, str]) -> str:
    text = files("regiment_testing").joinpath("templates", f"{template}.txt").read_text()
    return Template(text).substitute(words)


def _refuse(kind: str, name: str, folder: Path) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise click.BadParameter(
            f"{name!r} is no name; expected lower-case letters, digits and single hyphens, as in my-store",
            param_hint="NAME",
        )
    if not is_offer_name(name):
        raise click.BadParameter(f"{name!r} has {len(name)} characters; expected at most 32", param_hint="NAME")
    if folder.exists():
        raise click.BadParameter(
            f"{folder} exists; nothing was written. Choose another NAME or another --into",
            param_hint="NAME",
        )
    kinds = f"{kind}s"
    taken = kinds in OFFERS and name in registry().names(kinds)
    if taken or name in DISTRIBUTIONS:
        owner = DISTRIBUTIONS.get(name, "an installed plugin")
        raise click.BadParameter(
            f'"{name}" is a name of {owner}; two plugins with one name refuse each other. Choose another',
            param_hint="NAME",
        )
