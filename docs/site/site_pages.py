"""Pages as Sphinx reads them: the list of `docs/index.md` becomes the navigation, each distribution gets its section."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from site_docstrings import plain
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
INDEX = "docs/index"
DISTRIBUTIONS = "docs/reference/plugins"
BELOW = {
    DISTRIBUTIONS: ["core/README", "plugins/*/README"],
    "examples/README": ["examples/*/README", "examples/plugins/*/README"],
    "docs/benchmark": ["benchmark/results/*"],
}
"""Page -> the pages below it that the list does not name: patterns of their names."""


class Entry(NamedTuple):
    """A page of the navigation: its title there, its name (its path without `.md`), and the pages below it."""

    title: str
    page: str
    below: list[Entry]


def navigation() -> dict[str, list[Entry]]:
    """Kind of page -> its pages, in order, as `docs/index.md` lists them."""
    kinds: dict[str, list[Entry]] = {}
    for line in (ROOT / f"{INDEX}.md").read_text().splitlines():
        if line.startswith("## "):
            entries = kinds[line[3:]] = []
        elif (item := re.match(r"( *)- \[(.+?)\]\((\S+?)\.md\)", line)) and kinds:
            page = (ROOT / "docs" / item[3]).resolve().relative_to(ROOT)
            (entries[-1].below if item[1] else entries).append(Entry(item[2], str(page), []))
    return kinds


def toctree(pages: list[str], *options: str) -> str:
    """Sphinx's own list of these pages, which no page shows."""
    return "\n".join(["", "```{toctree}", ":hidden:", *options, "", *pages, "```", ""])


def listed(entries: list[Entry]) -> list[str]:
    """These pages under their titles, as Sphinx lists them."""
    return [f"{entry.title.replace('`', '')} </{entry.page}>" for entry in entries]


def described(package: str) -> str:
    """What a package says of itself and of each of its public names, as Sphinx is asked for it. Names that load when they are
    first used are asked for one by one: no list of members has them.
    """
    module = import_module(package)
    asked = [f".. automodule:: {package}"]
    for name in getattr(module, "__all__", ()):
        thing = getattr(module, name)
        if inspect.isclass(thing):
            asked.append(f".. autoclass:: {package}.{name}\n   :members:")
        elif inspect.isfunction(thing):
            asked.append(f".. autofunction:: {package}.{name}")
        else:
            meaning = (inspect.getdoc(type(thing)) or "").replace(
                "\n", " "
            )  # a proxy has no value before there is an application
            asked.append(f"\n.. py:data:: {name}\n\n   {plain(meaning)}\n")
    return "\n".join(asked)


def distributions() -> str:
    """A section for each distribution: its own page, and its public names from their docstrings."""
    sections = []
    for folder in sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml")):
        package = next(path.parent for path in folder.glob("src/*/__init__.py"))
        name = re.search(r'^name = "(.+)"', (folder / "pyproject.toml").read_text(), re.MULTILINE)
        assert name is not None, folder
        sections += [f"## {name[1]}", f"[Its own page](../../plugins/{folder.name}/README.md)."]
        sections += [f"```{{eval-rst}}\n{described(package.name)}\n```"]
    return "\n\n".join(sections)


def read(app: Sphinx, page: str, source: list[str]) -> None:
    """What Sphinx reads of a page is its file, and what this module adds."""
    folder = (ROOT / page).parent
    text = re.sub(  # a folder of the repository is no page, and no file that can be handed out
        r"\[([^]]+)\]\(([^)\s:]+)\)", lambda link: link[1] if (folder / link[2]).is_dir() else link[0], source[0]
    )
    kinds = navigation()
    if page == INDEX:
        text += "".join(toctree(listed(entries), f":caption: {kind}") for kind, entries in kinds.items())
    if page == DISTRIBUTIONS:
        text += f"\n{distributions()}\n"
    if page in BELOW:
        text += toctree([f"/{pattern}" for pattern in BELOW[page]], ":glob:", ":titlesonly:")
    below = next((entry.below for entries in kinds.values() for entry in entries if entry.page == page), [])
    source[0] = text + (toctree(listed(below)) if below else "")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
