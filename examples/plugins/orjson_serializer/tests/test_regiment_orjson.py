"""OrjsonSerializer sits the examination: every promise of `regiment.contracts.Serializer` is a test here."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regiment_orjson.serializer import OrjsonSerializer

from regiment.errors import DecodeError
from regiment_testing.contracts import SerializerContract

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class TestOrjsonSerializer(SerializerContract):
    @pytest.fixture
    def serializer(self) -> OrjsonSerializer:
        return OrjsonSerializer()


def test_what_json_has_a_word_for_is_plain_json() -> None:
    data = {"to": "a@b.example", "n": [1, 2.5, None, True]}
    assert orjson.loads(OrjsonSerializer().dumps(data)) == data


@pytest.mark.parametrize("number", [math.inf, -math.inf])
def test_an_infinite_number_comes_back_and_is_no_null(number: float) -> None:
    assert OrjsonSerializer().loads(OrjsonSerializer().dumps([number])) == [number]


def test_not_a_number_comes_back() -> None:
    assert math.isnan(OrjsonSerializer().loads(OrjsonSerializer().dumps(math.nan)))


@pytest.mark.parametrize("number", [2**53 + 1, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 7**5000], ids=int.bit_length)
def test_a_large_number_comes_back_to_the_last_digit(number: int) -> None:
    assert OrjsonSerializer().loads(OrjsonSerializer().dumps(number)) == number


def test_a_lone_surrogate_is_refused_when_it_is_pushed() -> None:
    with pytest.raises(TypeError, match="surrogates"):
        OrjsonSerializer().dumps("\ud800")


@given(plain)
@settings(max_examples=50, deadline=None)
def test_plain_data_come_back(value: Any) -> None:
    assert OrjsonSerializer().loads(OrjsonSerializer().dumps(value)) == value


@given(st.binary(max_size=50))
@settings(max_examples=100, deadline=None)
def test_garbage_is_a_decode_error_or_a_value(data: bytes) -> None:
    try:
        OrjsonSerializer().loads(data)
    except DecodeError:
        pass


def test_a_few_bytes_do_not_become_a_million_objects():
    serializer = OrjsonSerializer()
    assert serializer.loads(serializer.dumps(["[,{" * 700_000])) == ["[,{" * 700_000]
    with pytest.raises(ValueError, match="more than 1,048,576 elements"):
        serializer.dumps([[]] * 600_000)
    with pytest.raises(DecodeError, match="more than 1,048,576 elements"):
        serializer.loads(b"[" + b"[]," * 600_000 + b"[]]")
