"""How data are shown to people."""

from __future__ import annotations

import pytest

from regiment_cli.text import age, many, table


def test_a_table_has_columns_two_blanks_apart_and_numbers_to_the_right() -> None:
    assert table([("mail", 12_000), ("a", None)], ("queue", "ready"), right=("ready",)).splitlines() == [
        "QUEUE   READY",
        "mail   12,000",
        "a           -",
    ]


def test_what_is_in_a_cell_stays_on_its_line() -> None:
    assert table([("two\nlines  here\x1b[2J",)], ("note",)).splitlines() == ["NOTE", "two lines here\\x1b[2J"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "-"), (0, "0.0 s"), (9.96, "10.0 s"), (119, "119 s"), (120, "2 m"), (7200, "2 h"), (200_000, "2 d")],
)
def test_an_age_has_one_unit(seconds: float | None, shown: str) -> None:
    assert age(seconds) == shown


def test_a_number_of_things() -> None:
    assert (many(1, "task"), many(0, "task"), many(2000, "task")) == ("1 task", "0 tasks", "2,000 tasks")
