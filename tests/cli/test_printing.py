"""Nothing that a task, a store or an exception says does more on a terminal than be read."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.contracts import Letter
from regiment_cli import text as words
from regiment_cli.printing import fitting, printable, printable_lines, put
from regiment_cli.terminal import show_json
from regiment_console import letters
from regiment_console.letters import clock
from regiment_runner.shared import logs

NASTY = "red \x1b[31m\x9b2J \u202egnp.exe \u2028 next\r\nerror: all is lost\x07"


class Terminal(io.TextIOWrapper):
    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, newline="")

    @property
    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


@given(st.text())
def test_a_line_is_printable_and_one(text: str) -> None:
    assert printable(text).isprintable()
    lines = printable_lines(text, "  ").split("\n")
    assert all(line.isprintable() for line in lines)
    assert all(line.startswith("  ") for line in lines[1:])


@given(st.text(), st.sampled_from(["latin-1", "ascii", "utf-8", "cp1252"]))
def test_every_text_reaches_every_terminal(text: str, encoding: str) -> None:
    stream = Terminal(encoding)
    stream.write(fitting(printable(text), stream))
    assert stream.text.isprintable()


def test_what_is_plain_stays_as_it_is() -> None:
    for text in ("a b", "größe 5 €", "日本", 'repr \\x1b "x"'):
        assert printable(text) == text
    assert printable("\x1b[31m") == r"\x1b[31m" and printable("\u202e") == r"\u202e"


def test_a_table_has_one_line_for_each_row_whatever_a_cell_holds() -> None:
    shown = words.table([(NASTY, "b"), ("c", None)], ("one", "two"))
    assert len(shown.split("\n")) == 3 and shown.replace("\n", "").isprintable()


def test_a_dead_letter_is_shown_without_obeying_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = {
        "kind": NASTY,
        "error": NASTY,
        "error_type": "E\x1b",
        "name": NASTY,
        "traceback": NASTY,
        "runs": 1,
        "evidence": {"reason": NASTY, "stacks": NASTY, NASTY: NASTY},
    }
    letter = Letter(NASTY, NASTY, b"", json.dumps(reason).encode(), 0.0, 1)
    full = {
        **letters.in_words(NASTY, letter),
        "traceback": reason["traceback"],
        "evidence": reason["evidence"],
        "kwargs": {NASTY: NASTY},
        "headers": {NASTY: NASTY},
        "trace_id": NASTY,
    }
    shown = letters.page(full, clock)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert [line for line in shown.split("\n") if not line.startswith("  ")] == shown.split("\n")[:1]


def test_json_for_people_is_json_and_has_nothing_that_a_terminal_obeys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for encoding in ("utf-8", "latin-1"):
        stream = Terminal(encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        show_json({"a": NASTY + "€ \U0001f468\u200d\U0001f469 \ud800"})
        assert stream.text.replace("\n", "").isprintable()
        assert json.loads(stream.text) == {"a": NASTY + "€ \U0001f468\u200d\U0001f469 \ud800"}


def test_put_leaves_our_own_bold_and_no_other_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal("latin-1")
    monkeypatch.setattr(sys, "stdout", stream)
    put("\x1b[1mHEAD\x1b[0m\nprice 5 €\x1b[2J")
    assert stream.text == "\x1b[1mHEAD\x1b[0m\nprice 5 ?\\x1b[2J\n"


@pytest.mark.parametrize("name", ["regiment", "someone.else"])
def test_a_console_log_has_one_line_at_the_margin_for_each_event(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal("latin-1")
    monkeypatch.setattr(sys, "stderr", stream)
    formatter = logs._Lazy("console")
    try:
        raise ValueError(NASTY)
    except ValueError:
        info = sys.exc_info() if name != "regiment" else None
    record = logging.LogRecord(name, logging.ERROR, "x.py", 1, "task.failure" if info is None else NASTY, None, info)
    record.regiment = {"error": NASTY, "note": "5 €", "traceback": f"Traceback\n  {NASTY}\n\x1b[0m"}
    lines = formatter.format(record).split("\n")
    assert all(line.isprintable() for line in lines)
    assert len(lines) > 1 and all(line.startswith("    ") for line in lines[1:])
    assert "5 ?" in lines[0] or "5 ?" in "".join(lines)


def test_a_log_of_json_has_one_line_for_each_event() -> None:
    record = logging.LogRecord("regiment", logging.ERROR, "x.py", 1, "task.failure", None, None)
    record.regiment = {"error": NASTY}
    line = logs._Lazy("json").format(record)
    assert line.isprintable() and json.loads(line)["error"] == NASTY
