"""Tracebacks for people: the frames of the application stand out, those of libraries are one line."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from console.conftest import Desk
from console.test_hand import kill
from regiment_console.grouping import folded

TRACE = """Traceback (most recent call last):
  File "/srv/venv/lib/python3.12/site-packages/regiment_runner/worker/guarded.py", line 9, in run
    return call()
           ^^^^^^
  File "/srv/venv/lib/python3.12/site-packages/celery_like/task.py", line 3, in __call__
    return self.run()
  File "/srv/shop/orders.py", line 12, in charge
    gateway.pay(order)
  File "/srv/venv/lib/python3.12/site-packages/requests/api.py", line 1, in post
    return session.post()
  File "/usr/lib/python3.12/http/client.py", line 5, in send
    raise ConnectionError("no route")
ConnectionError: no route

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/shop/orders.py", line 14, in charge
    raise Declined() from error
orders.Declined"""

SHORT = """Traceback (most recent call last):
  … 2 frames of regiment_runner, celery_like
  File "/srv/shop/orders.py", line 12, in charge
    gateway.pay(order)
  … 1 frame of requests
  File "/usr/lib/python3.12/http/client.py", line 5, in send
    raise ConnectionError("no route")
ConnectionError: no route

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/shop/orders.py", line 14, in charge
    raise Declined() from error
orders.Declined"""


def test_frames_of_libraries_are_one_line_and_where_it_was_raised_stays() -> None:
    assert folded(TRACE) == SHORT


def test_a_traceback_of_the_application_alone_is_as_it_was(tmp_path: Path) -> None:
    code = compile("def f():\n    raise ValueError('no')\nf()", str(tmp_path / "shop.py"), "exec")
    try:
        exec(code, {})
    except ValueError:
        lines = traceback.format_exc().splitlines(keepends=True)
    own = "".join([lines[0], *lines[lines.index(next(one for one in lines if "shop.py" in one)) :]])
    assert folded(own) == own


def test_what_is_no_traceback_is_as_it_was() -> None:
    for text in ("", "no frames", '  File "half', "\n\n", '  File "/x/site-packages/a.py", line 1, in f'):
        assert folded(text) == text, sys.version


def test_a_letter_is_shown_with_the_frames_of_the_application_and_with_all_if_asked(desk: Desk) -> None:
    desk.send.options(id="m-1").push()
    kill(desk, "m-1", "no route", "ConnectionError", TRACE)
    short, full = desk("dead show m-1"), desk("dead show m-1 --full")
    assert "… 2 frames of regiment_runner, celery_like" in short.out and "guarded.py" not in short.out
    assert "orders.py" in short.out and "guarded.py" in full.out and "frames of" not in full.out
