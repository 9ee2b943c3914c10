"""The house as data: modules, who imports whom, lines of code, circles, and the picture of it.

`python tests/architecture/house.py` draws the picture into `docs/architecture.md`; a test holds it to the code.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT / "core/src", *sorted(ROOT.glob("plugins/*/src"))]
PAGE = ROOT / "docs/architecture.md"
BEGIN, END = "<!-- picture: make picture -->", "<!-- end of picture -->"

CORE_ROOMS = {
    "words": "exits errors bounds masking outcome task standard known",
    "agreements": "settings config contracts context",
    "plugins": "hooks log installed options registry",
    "store side": "culprit codec lock broker build",
    "faces": "pushing worker queue",
    "shell": "alone __main__",
}
"""The rooms of the core, each above those that it may import from; in a room, the first comes first."""


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, of every module that is shipped."""
    found: dict[str, Path] = {}
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            parts = list(path.relative_to(source).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, *, at_run_time: bool = False) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of every import, wherever in the file it stands; `from a import b` gives `a.b` if that is a
    module, else `a`. Those for type checkers alone count too, unless only what happens `at_run_time` is asked for.
    """
    tree = ast.parse(path.read_text())
    nodes: Iterable[ast.AST] = _at_run_time(tree) if at_run_time else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in modules() else node.module), node.lineno


def _at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for other in child.orelse:
                yield other
                yield from _at_run_time(other)
            continue
        yield child
        yield from _at_run_time(child)


@cache
def graph() -> Mapping[str, frozenset[str]]:
    """Module -> the modules of the house that it imports."""
    return {
        name: frozenset(other for other, _ in imports(path) if other in modules() and other != name)
        for name, path in modules().items()
    }


def circles() -> list[list[str]]:
    """Groups of modules that import each other, in whatever number of steps (Tarjan's components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in graph()[name]:
            if other not in order:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == order[name]:
            group = []
            while not group or group[-1] != name:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for name in modules():
        if name not in order:
            visit(name)
    return found


def code_lines(text: str) -> int:
    """Lines of code: no blank lines, comments and docstrings."""
    return len(_code_lines(text, ast.parse(text)))


def functions(path: Path) -> Iterator[tuple[str, int, int]]:
    """(name, first line, lines of code) of every function of a file."""
    text = path.read_text()
    tree = ast.parse(text)
    lines = _code_lines(text, tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            yield node.name, node.lineno, len(lines & set(range(node.lineno, node.end_lineno + 1)))


def _code_lines(text: str, tree: ast.AST) -> set[int]:
    nothing = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in nothing:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            assert node.end_lineno is not None
            lines -= set(range(node.lineno, node.end_lineno + 1))
    return lines


# The picture


def room_of(module: str) -> str:
    """The box of the picture in which a module stands: a room of the core, a process of the runner, a distribution."""
    top, _, rest = module.partition(".")
    first = rest.partition(".")[0]
    if top == "regiment":
        return next((room for room, names in CORE_ROOMS.items() if first in names.split()), "words")
    if top == "regiment_runner" and first in ("shared", "worker", "keeper", "steward", "supervisor", "verbs"):
        return f"{top}/{first}"
    return top


def picture() -> str:
    """The picture as Mermaid: an arrow from who imports to what is imported."""
    names_only = "regiment"  # the package itself holds nothing: its names come from the modules when they are used
    arrows = {
        (room_of(name), room_of(other))
        for name, others in graph().items()
        for other in others
        if names_only not in (name, other)
    }
    rooms = sorted({room_of(name) for name in modules()})
    lines = ["```mermaid", "flowchart BT"]
    groups = {
        "core": [room for room in CORE_ROOMS if room in rooms],
        "runner": [room for room in rooms if room.startswith("regiment_runner/")],
        "programs": [
            room
            for room in (
                "regiment_console",
                "regiment_results",
                "regiment_schedules",
                "regiment_limits",
                "regiment_claims",
                "regiment_workflows",
                "regiment_outbox",
                "regiment_django",
                "regiment_sqlalchemy",
                "regiment_dashboard",
                "regiment_dask",
                "regiment_metrics",
                "regiment_opentelemetry",
                "regiment_sentry",
                "regiment_testing",
                "regiment_pytest",
                "regiment_sergeant",
            )
            if room in rooms
        ],
    }
    parts = [room for room in rooms if not any(room in group for group in groups.values())]
    groups["parts"] = [room for room in parts if room != "regiment_runner"]
    for group, names in groups.items():
        lines.append(f"    subgraph {group}")
        lines += [f'        {_key(name)}["{_label(name)}"]' for name in names]
        lines.append("    end")
    boxes = {
        (_key(one), _key(other) if other not in CORE_ROOMS or one in CORE_ROOMS else "core")
        for one, other in arrows
        if one != other and "regiment_runner" not in (one, other)
    }
    lines += [f"    {one} --> {other}" for one, other in sorted(_direct(boxes))]
    return "\n".join([*lines, "```"])


def _direct(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows that no way over a third box says already."""
    to: dict[str, set[str]] = {}
    for one, other in arrows:
        to.setdefault(one, set()).add(other)

    def reach(box: str) -> set[str]:
        return {end for other in to.get(box, ()) for end in (other, *reach(other))}

    return {(one, other) for one, other in arrows if not any(other in reach(third) for third in to[one] - {other})}


def _key(room: str) -> str:
    return re.sub(r"\W", "_", room)


def _label(room: str) -> str:
    return CORE_ROOMS[room] if room in CORE_ROOMS else room.replace("regiment_runner/", "")


def drawn(page: str) -> str:
    """The page with today's picture in it."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{picture()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
