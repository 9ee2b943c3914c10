"""A push of a `ResultQueue` is a `Handle` of what the function returns, for mypy and for pyright."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
WRONG = [
    number for number, line in enumerate((HERE / "typed_misuse.py").read_text().splitlines(), 1) if "# wrong" in line
]


def mypy(folder: Path, *names: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.11", "--cache-dir", str(folder), *names]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def pyright(folder: Path, *names: str) -> tuple[int, str]:
    program = next(
        (found for name in ("basedpyright", "pyright") if (found := shutil.which(name, path=str(BIN)))), None
    )
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no pyright beside this Python")
        pytest.skip("no pyright beside this Python: pip install basedpyright")
    (folder / "pyrightconfig.json").write_text(
        f'{{"include": ["{HERE}"], "extraPaths": ["{HERE}"], "typeCheckingMode": "strict", "pythonVersion": "3.11", "reportPrivateUsage": false}}'
    )
    command = [program, "--pythonpath", sys.executable, "--project", str(folder / "pyrightconfig.json")]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300, check=False)
    lines = [line for line in done.stdout.splitlines() if any(f"{name}:" in line for name in names)]
    return len([line for line in lines if "error:" in line]), "\n".join(lines)


@pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])
def test_a_push_is_a_handle_of_what_the_function_returns(checker: object, tmp_path: Path) -> None:
    code, said = checker(tmp_path, "typed_use.py")  # type: ignore[operator]
    assert code == 0, said


@pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])
def test_wrong_arguments_and_a_wrong_use_of_the_result_are_errors(checker: object, tmp_path: Path) -> None:
    code, said = checker(tmp_path, "typed_misuse.py")  # type: ignore[operator]
    assert code, said
    told = {int(found) for found in re.findall(r"typed_misuse\.py:(\d+)(?::\d+)?\b.*?error", said)}
    assert sorted(told) == WRONG, said
