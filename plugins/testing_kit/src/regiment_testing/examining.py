"""The examination of an installed part: `regiment plugins check` runs it, with pytest in this process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

from regiment.contracts import Capabilities
from regiment.errors import PluginError
from regiment_testing import contracts

CONTRACTS = {
    "connector": contracts.ConnectorContract,
    "serializer": contracts.SerializerContract,
    "compressor": contracts.CompressorContract,
    "executor": contracts.ExecutorContract,
    "killer": contracts.KillerContract,
    "extension": contracts.ExtensionContract,
}

Outcome = Literal["holds", "fails", "not asked"]

FILE = "from regiment_testing import examining\n\nTestPart = examining.current\n"

current: type[Any] = object
"""The class that pytest collects; set during one examination."""

_numbers = count()


class Result(NamedTuple):
    """The result of one promise. `theme` is the part of the contract, `why` the failure or the reason to skip it."""

    check: str
    theme: str
    promise: str
    outcome: Outcome
    seconds: float
    why: str = ""


def placed(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Options for one check: {fresh} is a word that no other check has, {folder} an empty folder."""
    words = {"{fresh}": f"check{os.getpid()}-{next(_numbers)}", "{folder}": str(folder)}

    def fill(value: Any) -> Any:
        for word, text in words.items() if isinstance(value, str) else ():
            value = value.replace(word, text)
        return value

    return {name: fill(value) for name, value in options.items()}


def examine(kind: str, cls: type[Any], options: Mapping[str, Any], told: Callable[[int, int], None]) -> list[Result]:
    """Every promise of a kind, checked on a class. `told` is called with how many checks of how many are done."""
    global current
    current = _subject(kind, cls, options)
    listener = _Listener(told)
    try:
        with tempfile.TemporaryDirectory(prefix="regiment-check-") as folder:
            # A new name each time: pytest finds a module that it has imported before.
            (Path(folder) / f"test_examination{next(_numbers)}.py").write_text(FILE)
            (Path(folder) / "pytest.ini").write_text("[pytest]\n")
            args = [
                folder,
                "-c",
                f"{folder}/pytest.ini",
                "--rootdir",
                folder,
                f"--basetemp={folder}/tmp",
                "--import-mode=importlib",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:terminal",
                "-p",
                "no:warnings",
            ]
            code = _alone(lambda: pytest.main(args, plugins=[listener]))
    finally:
        current = object
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        why = "; ".join(listener.errors) or f"pytest ended with {code!r}"
        raise PluginError(f"the examination of {kind} {cls.__name__} could not be run: {why}")
    return listener.results()


def _subject(kind: str, cls: type[Any], options: Mapping[str, Any]) -> type[Any]:
    """The contract's class with the one fixture that an author would write."""

    def connect(self: Any, tmp_path: Path) -> Callable[[Any], Any]:
        of_this_check = placed(options, tmp_path)

        def connect(role: Any) -> Any:
            made = cls(**of_this_check)
            made.open(role)
            return made

        return connect

    def part(self: Any, tmp_path: Path) -> Iterator[Any]:
        made = cls(**placed(options, tmp_path))
        yield made
        if hasattr(made, "close"):
            made.close()

    body: dict[str, Any] = {kind: pytest.fixture(part)}
    if kind == "extension":
        body = {"extension": pytest.fixture(lambda self: cls), "options": pytest.fixture(lambda self: dict(options))}
    if kind == "connector":
        body = {"connect": pytest.fixture(connect), "capabilities": claimed(cls, options)}
    return type(f"Test{cls.__name__}", (CONTRACTS[kind],), body)


def claimed(cls: Any, options: Mapping[str, Any]) -> Capabilities:
    """The capabilities of a connector, with the extras that it keeps with these options; touches no store."""
    found: Capabilities = cls.capabilities
    made = cls(**placed(options, Path(tempfile.gettempdir()))) if hasattr(cls, "extras") else None
    return found if made is None else found._replace(extras=made.extras())


def _alone(run: Callable[[], int | pytest.ExitCode]) -> int | pytest.ExitCode:
    """Run pytest without the plugins that happen to be installed."""
    before = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        return run()
    finally:
        if before is None:
            del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        else:
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = before


class _Listener:
    """A plugin of pytest that keeps the result of each check."""

    def __init__(self, told: Callable[[int, int], None]) -> None:
        self._told, self._total, self._done = told, 0, 0
        self._found: dict[str, Result] = {}
        self.errors: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self._total = len(items)
        for item in items:
            name = item.originalname if isinstance(item, pytest.Function) else item.name
            check = getattr(item, "obj", None)
            theme = str(getattr(check, "__module__", "")).rpartition(".")[2]
            promise = " ".join((check.__doc__ or "").split())
            self._found[item.nodeid] = Result(name, theme, promise, "not asked", 0.0)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(report.longreprtext.strip().rpartition("\n")[2])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        one = self._found[report.nodeid]
        outcome, why = one.outcome, one.why
        if report.failed:
            outcome, why = "fails", _why(report)
        elif report.skipped and outcome != "fails":
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            why = why.removeprefix("Skipped: ")
        elif report.when == "call":
            outcome = "holds"
        self._found[report.nodeid] = one._replace(outcome=outcome, why=why, seconds=one.seconds + report.duration)
        if report.when == "teardown":
            self._done += 1
            self._told(self._done, self._total)

    def results(self) -> list[Result]:
        """One result for each check: it holds if it holds for every value that it was run with."""
        merged: dict[str, Result] = {}
        order: list[Outcome] = ["not asked", "holds", "fails"]
        for one in self._found.values():
            other = merged.get(one.check)
            if other is not None:
                worse = max(one, other, key=lambda result: order.index(result.outcome))
                one = worse._replace(seconds=one.seconds + other.seconds)
            merged[one.check] = one
        return list(merged.values())


def _why(report: pytest.TestReport) -> str:
    """The line that says what is wrong."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message) if crash is not None else report.longreprtext
    values = report.nodeid.partition("[")[2].rstrip("]")
    return " ".join(text.split())[:400] + (f" (with {values})" if values else "")
