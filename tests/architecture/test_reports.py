"""The table of reported faults names tests that exist, and every row of the review has a place in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = TESTS / "reports.md"
WITHOUT = {"F": set(), "C": {2, 11, 12, 13, 16}, "M": {3, 6}, "S": {11, 13, 14, 15, 19, 25}, "T": set()}
"""Numbers that the review gave to nothing that needed a mend."""


def rows() -> Iterator[tuple[list[str], list[str]]]:
    """The ids of each row, and what it names as its proof."""
    for line in TABLE.read_text().splitlines():
        if line.startswith("| ") and not line.startswith("| id "):
            ids, _, proofs = (cell.strip() for cell in line.strip("|").split("|"))
            yield ids.split(), re.findall(r"`([^`]+)`", proofs)


def test_every_row_names_tests_that_exist_or_the_page_that_says_what_is_not_promised() -> None:
    for ids, proofs in rows():
        assert proofs, f"{ids} is shown by nothing"
        for proof in proofs:
            file, mark, name = proof.partition("::")
            place = TESTS / file if mark else TESTS.parent / file
            assert place.is_file(), f"{ids}: {file} is no file"
            if mark:
                functions = {node.name for node in ast.walk(ast.parse(place.read_text())) if hasattr(node, "name")}
                assert f"test_{name}" in functions, f"{ids}: {file} has no test_{name}"


def test_every_fault_of_the_review_stands_in_one_row() -> None:
    ids = [one for row, _ in rows() for one in row]
    assert len(ids) == len(set(ids)), "an id stands twice"
    for letter, without in WITHOUT.items():
        numbers = {int(one[1:]) for one in ids if one[0] == letter}
        assert numbers == set(range(1, max(numbers) + 1)) - without, letter
