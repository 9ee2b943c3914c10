"""`regiment migrate celery PATH`: a report by file and line, a diff, and with --write the changed files."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from regiment.errors import RegimentError
from regiment_celery.migrate.reading import Finding
from regiment_celery.options import IGNORED, MAPPED, REFUSED, SUPPORTED
from regiment_cli.options import json_option
from regiment_cli.printing import put, say
from regiment_cli.terminal import show_json
from regiment_cli.verbs import Group

SKIPPED = ("node_modules", "__pycache__", "site-packages", "build", "dist", "venv", "env")
"""Folders that hold no code of a project; so do those whose names begin with a dot."""
ORDER = (REFUSED, MAPPED, IGNORED, SUPPORTED)


@click.group("migrate", cls=Group)
def command() -> None:
    """Move a project of Celery to regiment: what changes, file by file and line by line."""


@command.command("celery")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--write", is_flag=True, help="Change the imports in the files. Else a diff shows what would change.")
@json_option
def celery(path: Path, write: bool, as_json: bool) -> None:
    """Read the Python files of PATH, which are never imported, and say what becomes of each use of Celery.

    supported: it does the same. mapped: the same is had by something else, which the line names. ignored: it is not needed.
    refused: it cannot be had, and the line says what to do. Exit code 1 if something is refused.
    """
    findings: list[Finding] = []
    changed: list[Path] = []
    for file in files(path):
        made = _one(file, path, write, as_json)
        findings += made[0]
        changed += [file] if made[1] else []
    if as_json:
        show_json(
            {
                "findings": [one._asdict() for one in findings],
                "changed": [str(one) for one in changed],
                "written": write,
            }
        )
    else:
        report(findings)
        _summary(findings, changed, write)
    raise SystemExit(any(one.verdict == REFUSED for one in findings))


def files(path: Path) -> Iterator[Path]:
    """The Python files of a folder, or the file itself."""
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*.py")):
        folders = file.relative_to(path).parts[:-1]
        if not any(one.startswith(".") or one in SKIPPED or one.endswith(".egg-info") for one in folders):
            yield file


def _one(file: Path, root: Path, write: bool, quiet: bool) -> tuple[list[Finding], bool]:
    """The findings of a file, and whether its imports change."""
    import libcst

    from regiment_celery.migrate.reading import read
    from regiment_celery.migrate.rewriting import rewritten

    name = str(file.relative_to(root)) if root.is_dir() else str(file)
    try:
        text = file.read_bytes().decode()
        module, found, _ = read(name, text)
    except UnicodeDecodeError:
        return [Finding(name, 1, REFUSED, "the file", "it is not UTF-8; nothing of it was read")], False
    except libcst.ParserSyntaxError as error:
        return [
            Finding(name, error.raw_line, REFUSED, "the file", f"it is no Python that can be read: {error.message}")
        ], False
    new = rewritten(module)
    if new == text:
        return found, False
    if write:
        _write(file, new)
    elif not quiet:
        lines = difflib.unified_diff(text.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", n=0, lineterm="")
        put("\n".join(lines))
    return found, True


def _write(file: Path, text: str) -> None:
    try:
        file.write_bytes(text.encode())
    except OSError as error:
        raise RegimentError(
            f"{file} cannot be written: {error.strerror}; files before it are changed. Repeat it when it can be"
        ) from error


def report(findings: list[Finding]) -> None:
    """One line for each finding, by file and line."""
    path = None
    for one in findings:
        if one.path != path:
            put(f"{one.path}" if path is None else f"\n{one.path}")
            path = one.path
        put(f"  {one.line:>4}  {one.verdict:<9}  {one.what}" + (f": {one.says}" if one.says else ""))


def _summary(findings: list[Finding], changed: list[Path], write: bool) -> None:
    if not findings:
        say("nothing of Celery was found")
        return
    counts = Counter(one.verdict for one in findings)
    say(("" if write else "\n") + ", ".join(f"{counts[verdict]} {verdict}" for verdict in ORDER if counts[verdict]))
    done = "changed" if write else "would change; --write does it"
    say(f"imports of {len(changed)} {'file' if len(changed) == 1 else 'files'} {done}")
