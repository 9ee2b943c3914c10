"""The examination of a compressor: bytes come back, a limit is a limit, and damaged data are refused.

class TestMine(CompressorContract):
    @pytest.fixture
    def compressor(self): return MyCompressor()
"""

from __future__ import annotations

import os
import random
import threading
import tracemalloc

import pytest

from regiment.contracts import Compressor
from regiment.errors import DecodeError
from regiment_testing.contracts.examination import Examination

MIB = 1 << 20


class CompressorContract(Examination):
    """Subclass it, give the fixture `compressor`, and every promise of `regiment.contracts.Compressor` is examined."""

    @pytest.fixture
    def compressor(self) -> Compressor:
        raise NotImplementedError("give the fixture `compressor`: the one to examine")

    def test_it_has_the_verbs_of_the_contract(self, compressor: Compressor) -> None:
        """compress and decompress."""
        assert isinstance(compressor, Compressor)

    @pytest.mark.parametrize("size", [0, 1, 255, 65_536, MIB - 1, MIB, MIB + 1, 3 * MIB])
    def test_bytes_come_back(self, compressor: Compressor, size: int) -> None:
        """Noise and repetition of any length come back, also no bytes, with a limit of exactly that length."""
        for data in (os.urandom(size), b"a task, and again " * (size // 18) + b"x" * (size % 18)):
            packed = compressor.compress(data)
            assert type(packed) is bytes
            back = compressor.decompress(packed, size)
            assert type(back) is bytes and back == data

    def test_repetition_becomes_fewer_bytes(self, compressor: Compressor) -> None:
        """To a tenth at most; else compressing is useless."""
        data = b'{"url": "https://example.org/", "depth": 3}' * 1000
        assert len(compressor.compress(data)) < len(data) / 10

    def test_one_byte_more_than_the_limit_is_refused(self, compressor: Compressor) -> None:
        """A limit of one byte less than the data is refused, a limit of exactly their length is not."""
        for size in (1, 1000, MIB, MIB + 1):
            packed = compressor.compress(b"x" * size)
            assert len(compressor.decompress(packed, size)) == size
            with pytest.raises(DecodeError):
                compressor.decompress(packed, size - 1)

    def test_a_bomb_is_refused_without_holding_it(self, compressor: Compressor) -> None:
        """64 MiB of zeros with a limit of 1 MiB cost no more memory than the limit and a buffer."""
        packed = compressor.compress(bytes(64 * MIB))
        tracemalloc.start()
        try:
            with pytest.raises(DecodeError):
                compressor.decompress(packed, MIB)
            assert tracemalloc.get_traced_memory()[1] < 17 * MIB
        finally:
            tracemalloc.stop()

    def test_what_is_cut_is_a_decode_error(self, compressor: Compressor) -> None:
        """Data cut at any length are refused; half a message is no message."""
        for data in (b"", b"x" * 1000, random.Random(1).randbytes(1000)):
            packed = compressor.compress(data)
            for length in range(len(packed)):
                with pytest.raises(DecodeError):
                    compressor.decompress(packed[:length], 10_000)

    def test_bytes_after_the_end_are_a_decode_error(self, compressor: Compressor) -> None:
        """This compressor did not write bytes after the end."""
        for data in (b"", b"x" * 1000, random.Random(1).randbytes(1000)):
            packed = compressor.compress(data)
            for more in (b"\x00", b"\x00" * 4, b"garbage", packed):
                with pytest.raises(DecodeError):
                    compressor.decompress(packed + more, 10_000)

    def test_a_flipped_bit_never_raises_anything_but_a_decode_error(self, compressor: Compressor) -> None:
        """Every single bit is tried; the limit also holds for damaged data."""
        packed = compressor.compress(b"a task, and again " * 20)
        for at in range(len(packed)):
            for bit in range(8):
                spoiled = packed[:at] + bytes([packed[at] ^ (1 << bit)]) + packed[at + 1 :]
                try:
                    assert len(compressor.decompress(spoiled, 1000)) <= 1000
                except DecodeError as error:
                    assert str(error)

    def test_noise_is_a_decode_error(self, compressor: Compressor) -> None:
        """Bytes that were never compressed are refused with a clear error."""
        for data in (b"not packed at all", bytes(1000), b"\xff" * 1000):
            with pytest.raises(DecodeError):
                compressor.decompress(data, 10_000)

    def test_after_a_refusal_it_goes_on_as_before(self, compressor: Compressor) -> None:
        """A failure leaves no state behind."""
        packed = compressor.compress(b"x" * 1000)
        for _ in range(3):
            with pytest.raises(DecodeError):
                compressor.decompress(packed[:-1], 1000)
            assert compressor.decompress(packed, 1000) == b"x" * 1000

    def test_many_threads_may_use_it_at_once(self, compressor: Compressor) -> None:
        """One object serves all threads of a worker."""
        wrong: list[int] = []

        def use(number: int) -> None:
            data = random.Random(number).randbytes(20_000) * 3
            for _ in range(5):
                if compressor.decompress(compressor.compress(data), 60_000) != data:
                    wrong.append(number)

        threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
