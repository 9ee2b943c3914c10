"""The examinations themselves: a check is a promise with words, and none can be dropped, replaced or excused in silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from regiment.contracts import Capabilities
from regiment_testing import contracts
from regiment_testing.contracts import CompressorContract, ConnectorContract
from regiment_testing.examining import CONTRACTS

CHECK = "test_a_bomb_is_refused_without_holding_it"


def checks(contract: type[Any]) -> list[str]:
    return [name for name in dir(contract) if name.startswith("test_")]


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_every_check_says_its_promise(contract: type[Any]) -> None:
    assert len(checks(contract)) >= (8 if contract is contracts.ExtensionContract else 11)
    for name in checks(contract):
        assert (getattr(contract, name).__doc__ or "").strip().endswith("."), name


def test_the_package_exports_the_contract_of_every_kind() -> None:
    assert {getattr(contracts, name) for name in contracts.__all__} == set(CONTRACTS.values())


def nothing(self: Any) -> None:
    """As if it had been examined."""


class Lax:
    """A base that has the check already."""

    test_a_bomb_is_refused_without_holding_it = nothing


@pytest.mark.parametrize(
    ("bases", "body"),
    [
        ((CompressorContract,), {CHECK: None}),
        ((CompressorContract,), {CHECK: nothing}),
        ((CompressorContract,), {CHECK: pytest.mark.skip(nothing)}),
        ((Lax, CompressorContract), {}),
    ],
    ids=["set to None", "replaced", "skipped", "hidden by another base"],
)
def test_a_class_that_drops_a_check_is_refused(bases: Any, body: Any) -> None:
    with pytest.raises(TypeError, match=f"TestMine.{CHECK} replaces a check of the contract"):
        type("TestMine", bases, body)


@pytest.mark.parametrize(
    ("excused", "words"),
    [
        ({"test_a_bomb": "no time"}, "excused names 'test_a_bomb', which is no check"),
        ({CHECK: " "}, "gives no reason; say why it is not promised"),
    ],
)
def test_an_excuse_needs_a_check_and_a_reason(excused: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        type("TestMine", (CompressorContract,), {"excused": excused})


def test_a_check_that_is_deleted_later_is_missed() -> None:
    made: Any = type("TestMine", (CompressorContract,), {})
    made().test_no_check_was_dropped()
    setattr(made, CHECK, None)
    with pytest.raises(AssertionError, match=f"{CHECK} was replaced or deleted"):
        made().test_no_check_was_dropped()


def test_a_class_below_may_claim_more_and_is_asked_more() -> None:
    shared = "test_a_push_in_another_process_ends_a_wait"

    class Alone(ConnectorContract):
        capabilities = Capabilities(shared=False)

    class Together(Alone):
        capabilities = Capabilities(shared=True, max_payload=1000)

    large = "test_a_payload_may_be_as_large_as_it_says"
    for check in (shared, large):
        assert getattr(Alone, check) is None
        assert getattr(Together, check) is getattr(ConnectorContract, check)


EXCUSED = """
import zlib
import pytest
from regiment.errors import DecodeError
from regiment_testing.contracts import CompressorContract

class Greedy:
    compress = staticmethod(zlib.compress)

    def decompress(self, data, limit):
        try:
            result = zlib.decompress(data)
        except zlib.error as error:
            raise DecodeError(str(error)) from None
        if len(result) > limit:
            raise DecodeError("too large")
        return result

class TestGreedy(CompressorContract):
    excused = {
        "test_a_bomb_is_refused_without_holding_it": "the library has no limit",
        "test_repetition_becomes_fewer_bytes": "it does, but we were not sure",
    }

    @pytest.fixture
    def compressor(self):
        return Greedy()
"""


def test_an_excuse_is_told_in_every_run_and_one_that_is_not_needed_fails(tmp_path: Path) -> None:
    (tmp_path / "test_greedy.py").write_text(EXCUSED)
    wanted = "bomb or repetition or dropped"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", wanted]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60).stdout
    assert "1 failed, 1 passed" in said and "1 xfailed" in said, said
    assert f"TestGreedy.{CHECK} is excused: the library has no limit" in said
    assert "[XPASS(strict)] it does, but we were not sure" in said
