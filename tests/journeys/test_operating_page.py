"""docs/operating.md: its examples, typed one after the other, say what the page says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/operating.md"


def blocks(language: str) -> list[str]:
    """The texts of the blocks that begin with these words."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def plain(text: str) -> list[str]:
    """Lines without what differs each time: ages, moments, the width of columns that follows from them, and what
    some release of Python draws below a line."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\+00:00| UTC)", "MOMENT", text)
    text = re.sub(r"\b\d+(\.\d)? (s|m|h)\b", "AGE", text)
    lines = [line for line in text.splitlines() if not line.startswith("store: ") and line.strip(" ^~")]
    return [re.sub(r" {2,}", "  ", line).rstrip() for line in lines]


def test_the_examples_of_the_page_say_what_it_says(cli) -> None:
    cli.write("shop.py", blocks("python file=shop.py")[0])
    for block in blocks("console tested"):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, told = example.partition("\n")
            done = subprocess.run(
                [sys.executable, "-m", *shlex.split(line)],
                cwd=cli.folder,
                env=cli.environment(LOGNAME="ada", SUDO_USER=""),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
            )
            said = done.stdout.replace(f"@{os.uname().nodename}", "@web1").replace(f"{cli.folder}/", "")
            assert plain(said) == plain(told), f"{line}\n{said}"
