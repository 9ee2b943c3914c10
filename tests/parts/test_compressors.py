"""regiment-compressors: the examination, bombs of every make, and the words of every refusal."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import sys
import zlib
from typing import Any

import pytest
import zstandard

from regiment.contracts import Compressor
from regiment.errors import ConfigError, DecodeError
from regiment_compressors import Bzip2, Gzip, Lzma, Zlib, Zstd, hooks
from regiment_compressors.bzip2 import Bzip2Compressor
from regiment_compressors.lzma import LzmaCompressor
from regiment_compressors.zlib import GzipCompressor, ZlibCompressor
from regiment_compressors.zstd import ZstdCompressor
from regiment_testing.contracts.compressor import CompressorContract

CLASSES = [ZlibCompressor, GzipCompressor, Bzip2Compressor, LzmaCompressor, ZstdCompressor]


class TestZlib(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return ZlibCompressor()


class TestGzip(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return GzipCompressor()


class TestBzip2(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return Bzip2Compressor()


class TestLzma(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return LzmaCompressor()


class TestZstd(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return ZstdCompressor()


@pytest.mark.parametrize("kind", CLASSES)
def test_every_level_can_be_read_by_every_other(kind: Any) -> None:
    first, last = kind.levels
    data = b"a task, and again " * 5000
    for level in {first, (first + last) // 2, last}:
        assert kind().decompress(kind(level=level).compress(data), len(data)) == data


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("level", [-2, 99, "6", None, True, 1.5])
def test_a_level_that_does_not_exist_is_refused_in_words(kind: Any, level: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        kind(level=level)
    first, last = kind.levels
    assert caught.value.problems == kind.check({"level": level})
    assert str(caught.value).startswith(
        f"{kind.name}: level is {level!r}; expected a whole number from {first} to {last}"
    )
    assert kind.check({}) == []


def test_each_reads_what_others_write_in_its_format() -> None:
    data = b"from another program" * 100
    for kind, packed in [
        (ZlibCompressor, zlib.compress(data)),
        (GzipCompressor, gzip.compress(data)),
        (Bzip2Compressor, bz2.compress(data)),
        (LzmaCompressor, lzma.compress(data)),
        (ZstdCompressor, zstandard.compress(data)),
    ]:
        assert kind().decompress(packed, 10_000) == data


@pytest.mark.parametrize(
    ("kind", "packed", "text"),
    [
        (ZlibCompressor, zlib.compress(b"x" * 20), "zlib: unpacks to more than the 10 bytes that payload_limit allows"),
        (GzipCompressor, gzip.compress(b"x")[:-1], "gzip: the data end in the middle of the stream"),
        (GzipCompressor, gzip.compress(b"x") * 2, "gzip: 21 bytes follow the end of the stream"),
        (Bzip2Compressor, b"what", "bzip2: the data are corrupt: Invalid data stream"),
        (LzmaCompressor, lzma.compress(b"x", preset=9), "lzma: the data are corrupt: Memory usage limit exceeded"),
        (
            ZstdCompressor,
            zstandard.ZstdCompressor(write_content_size=False).compress(b"x"),
            "zstd: the frame does not say its size; write it with the size known",
        ),
    ],
    ids=["bomb", "cut", "trailing", "bz2", "lzma", "zstd"],
)
def test_a_refusal_says_what_is_wrong_with_the_data(kind: Any, packed: bytes, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        kind().decompress(packed, 10)
    assert str(caught.value) == text


def test_a_body_larger_than_any_window_comes_back() -> None:
    data = os.urandom(1 << 20) * 20
    assert ZstdCompressor(level=1).decompress(ZstdCompressor(level=1).compress(data), len(data)) == data


class Careless:
    """What a plugin might be at first: it believes the data and reads as far as they go."""

    def compress(self, data: bytes) -> bytes:
        return zlib.compress(data)

    def decompress(self, data: bytes, limit: int) -> bytes:
        try:
            return zlib.decompressobj().decompress(data)
        except zlib.error as error:
            raise DecodeError(str(error)) from error


def test_the_examination_finds_out_a_careless_compressor() -> None:
    examination = CompressorContract()
    for examine in (
        examination.test_one_byte_more_than_the_limit_is_refused,
        examination.test_a_bomb_is_refused_without_holding_it,
        examination.test_what_is_cut_is_a_decode_error,
        examination.test_bytes_after_the_end_are_a_decode_error,
    ):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            examine(Careless())


def test_the_offers_name_classes_that_exist_and_asking_imports_no_driver() -> None:
    code = (
        "import sys; from regiment_compressors import hooks; hooks.regiment_compressors();"
        "print([m for m in ('zstandard', 'bz2', 'lzma') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "zstandard" not in loaded.stdout
    offers = hooks.regiment_compressors()
    assert list(offers) == ["zlib", "gzip", "bzip2", "lzma", "zstd"]
    for offer in offers.values():
        module, _, attribute = offer.target.partition(":")
        assert hasattr(__import__(module, fromlist=[attribute]), attribute)


def test_the_typed_helpers_are_uses_with_the_defaults_of_the_classes() -> None:
    for helper, kind in zip((Zlib, Gzip, Bzip2, Lzma, Zstd), CLASSES, strict=True):
        chosen = helper()
        assert chosen.name == kind.name
        assert chosen.options == {"level": kind().level}
        assert helper(level=2).options == {"level": 2}
