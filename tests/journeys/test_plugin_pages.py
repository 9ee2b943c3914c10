"""The pages for plugin authors, followed line by line: from an empty folder to a wheel, with pip and an environment of its own."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from pathlib import Path

import pytest

from architecture.test_docs import blocks

PAGES = sorted((Path(__file__).parents[2] / "docs/plugins").glob("*.md"))
MODULES = {"pip": "pip", "pytest": "pytest", "regiment": "regiment", "python": ""}


@pytest.fixture
def author(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody with a fresh venv that has what this one has; pip takes nothing from an index."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    lines = [f"import site; site.addsitedir({folder!r})" for folder in site.getsitepackages()]
    next(venv.glob("lib/*/site-packages")).joinpath("outer.pth").write_text("\n".join(lines) + "\n")
    for name, module in MODULES.items():
        if module:
            script = venv / "bin" / name
            script.write_text(f'#!/bin/sh\nexec {venv}/bin/python -m {module} "$@"\n')
            script.chmod(0o755)
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("REGIMENT", "PYTEST"))}
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_DEPS": "1"}
    return {**kept, **offline, "PATH": f"{venv}/bin:{kept['PATH']}"}


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_who_follows_the_page_ends_with_a_wheel(page: Path, author: dict[str, str], tmp_path: Path) -> None:
    here = tmp_path / "work"
    here.mkdir()
    for block in blocks(page):
        assert "story" in block.words, f"{block} is not run"
        if block.file is not None:
            with open(here / block.file.rstrip("+"), "a" if block.file.endswith("+") else "w") as file:
                file.write(block.text)
            continue
        told = tmp_path / "told"
        script = f"set -e\n{block.text}pwd > {told}\n"
        done = subprocess.run(["bash", "-c", script], cwd=here, env=author, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        here = Path(told.read_text().strip())
    wheels = list(here.glob("dist/*.whl"))
    assert len(wheels) == 1 and wheels[0].name.startswith("regiment_")


def test_every_kind_has_its_page() -> None:
    from regiment_testing.plugins_new import KINDS

    assert sorted(page.stem for page in PAGES) == sorted(KINDS)
