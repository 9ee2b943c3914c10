"""Records beside a queue (`Codec.pack`): what was kept comes back, where it was kept; all else is an error in words."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment import Use, WorkerConfig
from regiment.build import make_codec
from regiment.codec import Codec
from regiment.errors import DecodeError, EncodeError, Forged, PayloadTooLarge
from regiment.registry import registry
from regiment.task import Task

KEY = "a secret of some length"
PICKLE, SIGNED = Use("pickle", key=KEY), Use("signed", keys=(KEY,))
HERE = ("q", "u:total")
text = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text | st.binary(max_size=600),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


def codec(serializer: str | Use = "msgpack", **more: Any) -> Codec:
    return make_codec(WorkerConfig(name="q", serializer=serializer, **more), registry())


def whole(data: bytes) -> bytes:
    """With a checksum that matches: written so, not damaged."""
    return data + crc32(data).to_bytes(4, "little")


@pytest.mark.parametrize("serializer", ["msgpack", "json", PICKLE, SIGNED], ids=str)
@pytest.mark.parametrize("compressor", [None, "zlib"])
@settings(max_examples=60, deadline=None)
@given(value=VALUES, where=st.tuples(text, text))
def test_what_was_packed_comes_back_equal_and_of_the_same_type(
    serializer: Any, compressor: str | None, value: Any, where: tuple[str, str]
) -> None:
    one = codec(serializer, compressor=compressor)
    found = codec(serializer, compressor=compressor).unpack(one.pack(value, where), where)
    assert found == value and type(found) is type(value)


def test_a_record_is_an_envelope_of_its_own_with_the_names_and_a_checksum() -> None:
    head = b"\xaa\x01\x07msgpack\x00\x00"
    assert codec().pack(7, HERE) == whole(head + b"\x07")
    packed = codec(compressor="zlib").pack("again " * 100, HERE)
    assert packed.startswith(b"\xaa\x01\x07msgpack\x04zlib\x00") and len(packed) < 100


@pytest.mark.parametrize("serializer", [PICKLE, SIGNED], ids=str)
@pytest.mark.parametrize("other", [("q", "u:totals"), ("other", "u:total"), ("qu", ":total")])
def test_a_signed_record_is_worth_nothing_at_another_place(serializer: Use, other: tuple[str, str]) -> None:
    one = codec(serializer)
    data = one.pack({"a": 1}, HERE)
    with pytest.raises(Forged, match=r"the record 'u?:total.*of queue .* cannot be read"):
        one.unpack(data, other)


@pytest.mark.parametrize("serializer", [PICKLE, SIGNED], ids=str)
def test_a_kept_value_is_no_task_and_a_task_is_no_record(serializer: Use) -> None:
    """The bytes that one of them signed, in the envelope of the other."""
    one = codec(serializer)
    record = ["send", {"to": "everyone"}, 1.5]
    kept, message = one.pack(record, HERE), one.encode(Task("t", "q", *record))
    name = len(serializer.name)
    with pytest.raises(DecodeError):
        one.decode(whole(b"\xa9" + kept[1 : 4 + name] + b"\x01t" + kept[5 + name : -4]), "q")
    with pytest.raises(Forged):
        one.unpack(whole(b"\xaa" + message[1 : 4 + name] + b"\x00" + message[6 + name : -4]), HERE)


def test_what_was_learned_of_a_record_lets_no_record_pass_for_a_message() -> None:
    one = codec()
    kept, message = one.pack(["send", {"to": "x"}, 1.5], HERE), one.encode(Task("t", "q", "send", {"to": "x"}, 1.5))
    for _ in range(2):
        assert one.unpack(kept, HERE) == ["send", {"to": "x"}, 1.5]
        with pytest.raises(DecodeError, match="expected a9 01"):
            one.decode(kept, "q")
        with pytest.raises(DecodeError, match="expected aa 01"):
            one.unpack(message, HERE)
        assert one.decode(message, "q").id == "t"


def test_a_changed_byte_is_found_before_it_is_read() -> None:
    data = bytearray(codec().pack({"a": 1}, HERE))
    data[-6] ^= 1
    with pytest.raises(DecodeError) as caught:
        codec().unpack(bytes(data), HERE)
    assert str(caught.value) == (
        f"the record 'u:total' of queue 'q' cannot be read: the message is damaged: its checksum does not match its "
        f"{len(data)} bytes"
    )


@pytest.mark.parametrize(
    ("head", "parkable", "says"),
    [
        (b"\xaa\x02\x07msgpack\x00\x00", True, "envelope version 2; this release reads 1"),
        (b"\xaa\x01\x05cbor2\x00\x00", True, 'needs the serializer "cbor2", which is not installed here'),
        (b"\xaa\x01\x08os:abort\x00\x00", False, "no name of an offer"),
        (b"\xa9\x01\x07msgpack\x00\x01t", False, "expected aa 01"),
        (b"\xaa\x01\x07msgpack\x00\xff", False, "the head of the message is malformed"),
    ],
)
def test_a_record_that_nobody_here_may_read_says_why(head: bytes, parkable: bool, says: str) -> None:
    with pytest.raises(DecodeError, match=says) as caught:
        codec().unpack(whole(head + b"\x07"), HERE)
    assert caught.value.parkable is parkable and not isinstance(caught.value, Forged)


def test_accept_says_which_serializers_are_read() -> None:
    data = codec("json").pack([1], HERE)
    assert codec().unpack(data, HERE) == [1]
    with pytest.raises(DecodeError, match="this queue accepts msgpack"):
        codec(accept=("msgpack",)).unpack(data, HERE)
    with pytest.raises(DecodeError, match="can execute code"):
        codec().unpack(codec(PICKLE).pack([1], HERE), HERE)
    assert codec(accept=("msgpack", PICKLE)).unpack(codec(PICKLE).pack([1], HERE), HERE) == [1]


def test_the_limit_is_exact_in_both_directions_and_holds_for_what_is_unpacked() -> None:
    data = codec().pack("x" * 500, HERE)
    assert codec(payload_limit=len(data)).pack("x" * 500, HERE) == data
    with pytest.raises(PayloadTooLarge, match=f"the record 'u:total' has {len(data)} bytes when encoded"):
        codec(payload_limit=len(data) - 1).pack("x" * 500, HERE)
    with pytest.raises(DecodeError, match="it was not decoded"):
        codec(payload_limit=len(data) - 1).unpack(data, HERE)
    bomb = codec(compressor="zlib").pack("x" * 100_000, HERE)
    with pytest.raises(DecodeError):
        codec(payload_limit=50_000).unpack(bomb, HERE)
    with pytest.raises(PayloadTooLarge, match=r"has 100,0\d\d bytes"):
        codec(compressor="zlib", payload_limit=50_000).pack("x" * 100_000, HERE)


def test_a_value_that_cannot_be_kept_is_named_by_its_path() -> None:
    for serializer in ("msgpack", "json", SIGNED):
        with pytest.raises(EncodeError, match=r'^value\["user"\]\[1\]: a value of type object cannot be serialized by'):
            codec(serializer).pack({"user": [1, object()]}, HERE)
