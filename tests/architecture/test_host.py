"""One room for each thing of the host: /proc, the folder of the pages, shared memory, waiting for descriptors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHIPPED = [path for top in ("core", "plugins", "examples") for path in sorted((ROOT / top).rglob("*.py"))]
EVERYTHING = [
    *SHIPPED,
    *(path for top in ("tests", "benchmark") for path in sorted((ROOT / top).rglob("*.py"))),
]


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield node


def strings(path: Path) -> Iterator[str]:
    """String constants that a program uses: no docstrings."""
    tree = ast.parse(path.read_text())
    said = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in said and isinstance(node.value, str):
            yield node.value


PROC = {
    "plugins/runner/src/regiment_runner/shared/procfs.py": "the one reader",
    "plugins/cli/src/regiment_cli/serving.py": "whether a process is there, and whether it stands still",
    "plugins/local_backend/src/regiment_local/files.py": "the mounts, which no process names",
}


def test_only_procfs_reads_proc() -> None:
    found = {short(path) for path in SHIPPED for text in strings(path) if text.startswith("/proc")}
    assert found <= set(PROC)


def test_nothing_that_holds_the_name_of_a_process_is_read_as_text() -> None:
    """A process's name is bytes: as text it raises UnicodeDecodeError, in a test's or a benchmark's reader as well."""
    for path in EVERYTHING:
        if "/proc/" not in path.read_text():
            continue
        for call in calls(path):
            text = ast.unparse(call)
            if "/proc/" not in text or not any(
                f"/{name}'" in text for name in ("stat", "status", "comm", "cmdline", "environ")
            ):
                continue
            name = ast.unparse(call.func).rpartition(".")[2]
            modes = [
                ast.unparse(one) for one in (*call.args[1:2], *(k.value for k in call.keywords if k.arg == "mode"))
            ]
            assert name != "read_text", f"{short(path)}:{call.lineno}: {text}"
            if name == "open" and "os.open" not in text:
                assert any("b" in mode for mode in modes), f"{short(path)}:{call.lineno}: {text}"


def test_nothing_waits_with_select() -> None:
    """`select.select` raises ValueError for descriptors above 1,023."""
    for path in SHIPPED:
        if "select" in path.read_text():
            for call in calls(path):
                assert ast.unparse(call.func) != "select.select", f"{short(path)}:{call.lineno}"


def test_nothing_is_mapped_that_is_not_reserved() -> None:
    """Where shared memory is full, touching what is mapped and not reserved is a SIGBUS."""
    shared = [f"plugins/runner/src/regiment_runner/shared/{name}.py" for name in ("page", "annex")]
    for path in SHIPPED:
        if "mmap" not in path.read_text():
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.Module)):
                body = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
                names = [ast.unparse(one.func) for one in body]
                if "mmap.mmap" in names and isinstance(node, ast.FunctionDef):
                    assert "reserve" in names or "os.posix_fallocate" in names, short(path)
                assert names.count("mmap.mmap") == 0 or short(path) in shared, short(path)


def test_only_places_knows_where_pages_lie() -> None:
    words = ("/dev/shm", "XDG_RUNTIME_DIR")
    found = {short(path) for path in SHIPPED for text in strings(path) if text in words}
    assert found == {"plugins/runner/src/regiment_runner/shared/places.py"}
