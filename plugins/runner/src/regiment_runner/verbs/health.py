"""`regiment health`: for probes. The standard library only, and little of that: it is asked every few seconds, for years.

`regiment.__main__` calls `main` before click is imported; what `main` does not understand, click explains.
"""

from __future__ import annotations

import os
import time

from regiment_runner.shared import asking, places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BEAT = "heartbeat.json"
PATIENCE = 5
"""Ticks without a heartbeat after which a supervisor is taken to be stuck."""


def _tell(why: str) -> None:
    """The line, on stdout; `regiment_cli.printing` is loaded only for one that a terminal might obey."""
    if why.isascii() and why.isprintable():
        print(why)
        return
    from regiment_cli.printing import put

    put(why)


def main(args: list[str]) -> int | None:
    """Answer on stdout in one line, 0 or 1; None if the arguments are not plain ones."""
    ready, path, rest = False, None, list(args)
    while rest:
        word = rest.pop(0)
        if word == "--ready":
            ready = True
        elif word == "--heartbeat" and rest:
            path = rest.pop(0)
        elif word.startswith("--heartbeat="):
            path = word.partition("=")[2]
        else:
            return None
    good, why = answer(ready, path)
    _tell(why)
    return 0 if good else 1


def answer(ready: bool, path: str | None) -> tuple[bool, str]:
    """Whether all is well, and why (not): of the file at `path`, or of every living tree of this user."""
    if path is not None:
        return _judge(path, ready, f"the heartbeat file {path!r}")
    try:
        found = places.trees()
    except FileNotFoundError:
        found = []
    except OSError as error:
        return False, f"unhealthy: {error}"
    if not found:
        return (
            False,
            f"unhealthy: no supervisor of this user runs here (no living tree in {places.home()})",
        )
    answers = [_judge(f"{tree}/{BEAT}", ready, f"the tree {tree}") for tree in found]
    return next((one for one in answers if not one[0]), answers[0])


def _judge(path: str, ready: bool, what: str) -> tuple[bool, str]:
    try:
        beat, age = _read(path)
        pid, tick = beat["pid"], beat["tick"]
        dozing = bool(beat.get("dozing")) and age > PATIENCE * tick
        if dozing:  # it says nothing unless it is asked
            asking.ask(os.path.dirname(path), path)
            beat, age = _read(path)
        missing, stopping = beat["missing"], beat["stopping"]
        count = f"{beat['ready']} of {beat['wanted']} workers ready"
    except FileNotFoundError:
        return (
            False,
            f"unhealthy: {what} has no heartbeat; its supervisor has ended, or has not begun yet (--solo has none)",
        )
    except OSError as error:
        return False, f"unhealthy: {what} cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError):
        return False, f"unhealthy: {what} holds no heartbeat of this release"
    if age < 0:
        return (
            False,
            f"unhealthy: the heartbeat of supervisor {pid} is from before this host started",
        )
    if age > PATIENCE * tick:
        expected = f"within {asking.PATIENCE:g} s of being asked" if dozing else f"every {tick:g} s"
        return False, f"unhealthy: supervisor {pid} gave its last sign of life {age:.1f} s ago; expected one {expected}"
    if ready and stopping:
        return False, f"not ready: supervisor {pid} is stopping"
    if ready and (missing or not beat["wanted"]):
        return False, f"not ready: no worker of {', '.join(missing) or 'any target'} is ready"
    return True, f"{'ready' if ready else 'healthy'}: supervisor {pid}, {count}"


def _read(path: str) -> tuple[Any, float]:
    """What a heartbeat file says, and the seconds since the sign of life that it is."""
    with open(path) as file:
        beat: Any = _parsed(file.read())
        return beat, silence(beat["boot"], os.fstat(file.fileno()).st_mtime)


def _parsed(text: str) -> Any:
    """JSON, by the scanner that stands behind the library's `json`: to import that costs as much as all the rest."""
    try:
        import _json
    except ImportError:
        from json import loads

        return loads(text)
    make_scanner: Any = _json.make_scanner
    text = text.strip()
    try:
        value, end = make_scanner(_Scanning)(text, 0)
    except StopIteration:
        raise ValueError(text) from None
    if end != len(text):
        raise ValueError(text)
    return value


class _Scanning:
    """How the scanner of `json` is to read: plainly."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float
    memo: dict[str, str] = {}


def silence(written: float, touched: float) -> float:
    """Seconds since the last sign of life: a file says when it was written, and its modification time when it was touched.

    Both are of the boot clock; the time of a file that was copied is of the wall clock, and tells nothing.
    """
    now = time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
    return now - (max(written, touched) if touched <= now else written)


def __getattr__(name: str) -> Any:
    """`command`, for `--help`, completion and errors: made when it is asked for, because click costs three times as
    much as all that is above."""
    if name != "command":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import click

    @click.command("health")
    @click.option(
        "--ready", is_flag=True, help="Also: every target has a worker that is ready, and it is not stopping."
    )
    @click.option(
        "--heartbeat",
        metavar="PATH",
        help="The file that `run --heartbeat` writes.  [default: the living trees of this user]",
    )
    def command(ready: bool, heartbeat: str | None) -> int:
        """For probes: exit 0 if the supervisor lives and is not stuck, else 1; one line says why."""
        good, why = answer(ready, heartbeat)
        _tell(why)
        return 0 if good else 1

    globals()["command"] = command
    return command
