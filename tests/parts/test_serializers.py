"""regiment-serializers: the examination, round trips of anything, and the words of every refusal."""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import sys
from collections import OrderedDict, namedtuple
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.contracts import Serializer
from regiment.errors import ConfigError, DecodeError, Forged
from regiment_serializers import Json, Msgpack, Pickle, hooks
from regiment_serializers.json import JsonSerializer
from regiment_serializers.msgpack import MsgpackSerializer
from regiment_serializers.pickle import PickleSerializer
from regiment_testing.contracts.serializer import SerializerContract, same

KEY = "a secret of some length"


class TestMsgpack(SerializerContract):
    @pytest.fixture
    def serializer(self) -> Serializer:
        return MsgpackSerializer()


class TestJson(SerializerContract):
    @pytest.fixture
    def serializer(self) -> Serializer:
        return JsonSerializer()


class TestPickle(SerializerContract):
    @pytest.fixture
    def serializer(self) -> Serializer:
        return PickleSerializer(KEY)


@pytest.fixture(params=[MsgpackSerializer, JsonSerializer], ids=["msgpack", "json"])
def strict(request: pytest.FixtureRequest) -> Serializer:
    return request.param()


zones = st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.datetimes(timezones=zones),
    st.dates(),
    st.uuids(),
    st.decimals(),
)
comparable = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),  # larger ones are no keys: many of them hash alike
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.datetimes(timezones=zones),
    st.dates(),
    st.uuids(),
    st.decimals(allow_nan=False),
)
keys = st.recursive(comparable, lambda inner: st.tuples(inner, inner) | st.frozensets(inner), max_leaves=4)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(keys, inner),
        st.sets(keys),
        st.dictionaries(st.sampled_from(["!set", "!dict", "!tuple", "!"]), inner, max_size=1),
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("make", [MsgpackSerializer, JsonSerializer, lambda: PickleSerializer(KEY)])
@settings(max_examples=150, deadline=None)
@given(value=values)
def test_any_plain_data_come_back_equal_and_of_the_same_type(make: Any, value: Any) -> None:
    serializer = make()
    assert same(serializer.loads(serializer.dumps(value)), value)


@pytest.mark.parametrize("make", [MsgpackSerializer, JsonSerializer, lambda: PickleSerializer(KEY)])
@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_data_or_a_decode_error(make: Any, data: bytes) -> None:
    try:
        make().loads(data)
    except DecodeError as error:
        assert str(error)


class Color(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            datetime(2024, 1, 2),
            "the datetime 2024-01-02T00:00:00 has no time zone; only an aware datetime names one "
            "moment: datetime.now(timezone.utc), or .replace(tzinfo=…)",
        ),
        (
            datetime(2024, 1, 2, tzinfo=timezone(timedelta(microseconds=5))),
            "the datetime 2024-01-02T00:00:00+00:00:00.000005 has an offset of a fraction of a second",
        ),
        (Color.RED, "Color is not in the type table: pass its .value"),
        (bytearray(b"x"), "bytearray is not in the type table: pass bytes(…)"),
        (memoryview(b"x"), "memoryview is not in the type table: pass bytes(…)"),
        (OrderedDict(), "OrderedDict is not in the type table: it would come back as a plain dict; pass dict(…)"),
        (namedtuple("P", "x")(1), "P is not in the type table: it would come back as a plain tuple; pass tuple(…)"),
        (
            type("When", (datetime,), {})(2024, 1, 1),
            "When is not in the type table: it would come back as a plain datetime; convert it to one",
        ),
        (
            timedelta(1),
            "timedelta is not in the type table: it takes None, bool, int, float, str, bytes, list, tuple, "
            "dict, set, frozenset, aware datetime, date, UUID, Decimal",
        ),
        (
            msgpack.ExtType(1, b"\x90"),
            "ExtType is not in the type table: it would come back as a plain tuple; pass tuple(…)",
        ),
    ],
)
@pytest.mark.parametrize(
    "wrap", [lambda v: v, lambda v: [v], lambda v: {"k": ({"x": v},)}], ids=["bare", "list", "deep"]
)
def test_a_refusal_says_what_was_seen_and_what_to_pass_instead(
    strict: Serializer, value: Any, text: str, wrap: Any
) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        strict.dumps(wrap(value))
    assert str(caught.value) == text


def test_a_zone_comes_back_as_its_offset(strict: Serializer) -> None:
    from zoneinfo import ZoneInfo

    summer = datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    back = strict.loads(strict.dumps(summer))
    assert back == summer and back.utcoffset() == timedelta(hours=2)


def test_json_is_readable_by_any_json_parser() -> None:
    text = JsonSerializer().dumps({"a": float("nan"), "b": [1, 2.5, "é"], "c": 2**60, "d": (1,)})
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == {
        "a": {"!float": "nan"},
        "b": [1, 2.5, "é"],
        "c": {"!int": "0x1000000000000000"},
        "d": {"!tuple": [1]},
    }


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            b'{"!color": 1}',
            "JSON tag '!color' is unknown to this release; it knows !int, !float, !bytes",
        ),
        (b'{"!set": {}}', "JSON tag '!set' holds a dict, not a list"),
        (b"[NaN]", "NaN is not JSON"),
        (
            b'{"!datetime": "2024-01-01T00:00:00"}',
            "the datetime '2024-01-01T00:00:00' has no time zone",
        ),
        (b"{", "not readable as JSON: JSONDecodeError"),
        (b"[" * 100_000, "not readable as JSON: RecursionError"),
    ],
)
def test_unreadable_json_is_a_decode_error_in_words(data: bytes, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        JsonSerializer().loads(data)
    assert str(caught.value).startswith(text)


def nested_extensions(levels: int) -> bytes:
    """Tuples in tuples, from the inside out: 91 (a list of one), c9 size 01 (a tuple)."""
    heads, size = [], 1
    for _ in range(levels):
        heads.append(b"\x91\xc9" + size.to_bytes(4, "big") + b"\x01")
        size += 7
    return b"".join(reversed(heads)) + b"\x90"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xd4\x63\x00", "msgpack extension type 99 is unknown to this release; it knows 1 to 8"),
        (b"\xd4\x01\x05", "a msgpack tuple or set holds a int; expected a list"),
        (b"\xc1", "not readable as msgpack: FormatError"),
        (b"\x01\x01", "not readable as msgpack: ExtraData"),
        (b"\xc7\x02\x02\x91\x90", "not readable as msgpack: TypeError: unhashable type"),
        (nested_extensions(20_000), "tuples and sets are nested more than 32 deep"),
    ],
)
def test_unreadable_msgpack_is_a_decode_error_in_words(data: bytes, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        MsgpackSerializer().loads(data)
    assert str(caught.value).startswith(text)


def test_a_large_message_leaves_no_large_buffer_behind() -> None:
    serializer = MsgpackSerializer()
    serializer.dumps(b"x" * (4 << 20))
    assert not serializer._pool
    serializer.dumps(b"x")
    assert len(serializer._pool) == 1


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


@pytest.mark.fault(62)
def test_a_pickle_with_a_wrong_signature_is_refused_before_it_is_read(tmp_path: Any) -> None:
    mark = tmp_path / "executed"
    trap = pickle.dumps(Trap(str(mark)))
    here = PickleSerializer(KEY)
    signed_elsewhere = PickleSerializer("another secret, as long").dumps(Trap(str(mark)))
    for data in (bytes(32) + trap, signed_elsewhere, trap, here.dumps(1)[:32] + trap):
        with pytest.raises(Forged, match=r"matches no key that is known here; it was not unpickled"):
            here.loads(data)
    assert not mark.exists()
    PickleSerializer("another secret, as long").loads(signed_elsewhere)
    assert mark.exists(), "the trap itself works"


def test_every_flipped_bit_of_a_pickle_is_a_forgery() -> None:
    serializer = PickleSerializer(KEY)
    data = serializer.dumps({"a": 1})
    for at in range(len(data)):
        with pytest.raises(Forged):
            serializer.loads(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_a_key_can_be_changed_without_losing_what_waits() -> None:
    old, new = "the former secret key", "the present secret key"
    waiting = PickleSerializer(old).dumps([1])
    rotating = PickleSerializer(new, old_keys=[old])
    assert rotating.loads(waiting) == [1]
    assert rotating.loads(rotating.dumps([2])) == [2]
    with pytest.raises(Forged):
        PickleSerializer(old).loads(rotating.dumps([2]))


def test_pickle_names_every_problem_of_its_options_and_shows_no_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        PickleSerializer("hunter2", old_keys=["hunter3", KEY, 5])  # type: ignore[list-item]
    assert caught.value.problems == [
        "pickle: key is 7 characters long; expected a secret of at least 16 characters, such as "
        "secrets.token_hex(32) makes",
        "pickle: old_keys[0] is 7 characters long; expected at least 16 characters",
        "pickle: old_keys[2] is a int; expected at least 16 characters",
    ]
    assert PickleSerializer.check({})[0].startswith("pickle: key is missing;")
    assert PickleSerializer.check({"key": KEY, "old_keys": KEY}) == [
        "pickle: old_keys is a str; expected a list of keys"
    ]


def test_only_pickle_says_that_it_executes() -> None:
    assert PickleSerializer.executes
    assert not MsgpackSerializer.executes and not JsonSerializer.executes


def test_an_object_that_fails_in_reduce_is_a_type_error() -> None:
    class Bad:
        def __reduce__(self) -> Any:
            raise RuntimeError("no")

    with pytest.raises(TypeError, match="RuntimeError: no"):
        PickleSerializer(KEY).dumps(Bad())


def test_the_offers_name_classes_that_exist_and_asking_imports_no_driver() -> None:
    code = (
        "import sys; from regiment_serializers import hooks; hooks.regiment_serializers();"
        "print([m for m in ('msgpack', 'json', 'pickle', 'hmac') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "msgpack" not in loaded.stdout and "hmac" not in loaded.stdout
    offers = hooks.regiment_serializers()
    assert list(offers) == ["msgpack", "json", "pickle", "signed"]
    for offer in offers.values():
        module, _, attribute = offer.target.partition(":")
        assert hasattr(__import__(module, fromlist=[attribute]), attribute)


def test_the_typed_helpers_are_uses() -> None:
    assert (Msgpack().name, Json().name) == ("msgpack", "json")
    chosen = Pickle(key=KEY, old_keys=["x" * 16])
    assert (chosen.name, chosen.options) == ("pickle", {"key": KEY, "old_keys": ["x" * 16]})
    assert KEY not in repr(chosen)


class Careless:
    """What a plugin might be at first: the json of the standard library as it comes."""

    executes = False

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


@pytest.mark.parametrize("what", ["a tuple", "a dict with int keys", "bytes"])
def test_the_examination_finds_out_a_careless_serializer(what: str) -> None:
    examination = SerializerContract()
    with pytest.raises((AssertionError, TypeError)):
        examination.test_plain_data_come_back_equal_and_of_the_same_type(Careless(), what)
    for changed in ("an enum", "a named tuple", "an ordered dict"):
        with pytest.raises(AssertionError, match="accepted and came back changed"):
            examination.test_nothing_changes_in_silence(Careless(), changed)
    with pytest.raises(json.JSONDecodeError):
        examination.test_malformed_data_are_a_decode_error_or_plain_data(Careless(), b"{")


def test_floats_keep_their_sign_and_their_last_bit(strict: Serializer) -> None:
    back = strict.loads(strict.dumps([-0.0, math.nextafter(1, 2)]))
    assert math.copysign(1, back[0]) == -1 and back[1] == math.nextafter(1, 2)


def test_all_kinds_in_one_record(strict: Serializer) -> None:
    record = [
        "n",
        {"a": (date(2024, 1, 1), UUID(int=1), Decimal("1.0"), {1: {2}})},
        1.0,
        0,
        None,
        None,
        None,
    ]
    assert same(strict.loads(strict.dumps(record)), record)
