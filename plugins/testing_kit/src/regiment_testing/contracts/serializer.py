"""The examination of a serializer: every type of the table comes back, everything else is refused in words.

class TestMine(SerializerContract):
    @pytest.fixture
    def serializer(self): return MySerializer()
"""

from __future__ import annotations

import threading
from collections import OrderedDict, namedtuple
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest

from regiment.contracts import Serializer
from regiment.errors import DecodeError
from regiment_testing.contracts.examination import Examination


class _Color(IntEnum):
    RED = 1


class _Name(str):
    __slots__ = ()


_Point = namedtuple("_Point", "x y")

PLAIN: Mapping[str, Any] = {
    "None": None,
    "true": True,
    "false": False,
    "zero": 0,
    "a negative int": -1,
    "an int of 64 bits": 2**64 - 1,
    "an int beyond 64 bits": 2**64,
    "a negative int beyond 64 bits": -(2**63) - 1,
    "an int of 5,000 digits": 10**5000,
    "an int beyond the digits of a float": 2**53 + 1,
    "a float": 0.1,
    "a float that looks like an int": 1.0,
    "a small float": 5e-324,
    "infinity": float("inf"),
    "an empty str": "",
    "a str of many scripts": "naïve – 日本語 – 🙂 – \x00 – \u2028",
    "bytes": bytes(range(256)),
    "no bytes": b"",
    "an empty list": [],
    "a list": [1, "two", 3.0, None, [True]],
    "a tuple": (1, (2, ()), [3]),
    "a dict": {"a": 1, "b": {"c": None}},
    "an empty dict": {},
    "a dict with int keys": {1: "one", -2: "minus two", 2**64 - 1: "large"},
    "a dict with tuple keys": {("a", 1): "x", (): "y"},
    "a dict with keys of many types": {
        None: 0,
        False: 1,
        2.5: 2,
        b"k": 3,
        date(2024, 2, 29): 4,
        "1": 5,
    },
    "a dict with one key that looks like a tag": {"!set": [1]},
    "a dict with one key like a nested tag": {"!dict": {"!tuple": [1, 2]}},
    "a dict in the words of other formats": {"$date": "2024", "__type__": "set", "!": 1},
    "a set": {1, "two", (3,)},
    "an empty set": set(),
    "a frozenset": frozenset([1, frozenset(["x"])]),
    "an aware datetime": datetime(2024, 2, 29, 23, 59, 59, 999999, UTC),
    "a datetime with an offset": datetime(1969, 1, 1, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
    "the first datetime": datetime.min.replace(tzinfo=UTC),
    "a date": date(2024, 2, 29),
    "a UUID": UUID("12345678-1234-5678-1234-567812345678"),
    "a Decimal": Decimal("1.10"),
    "a Decimal with an exponent": Decimal("-1E+400"),
    "Decimal infinity": Decimal("-Infinity"),
    "all of it, nested": [{"a": ({1, 2}, {"d": Decimal("0.0")}), 5: [b"x", UUID(int=0)]}],
    "one hundred levels": None,
}
"""Values that must come back equal and of the same type, by what they show."""

REFUSED: Mapping[str, Any] = {
    "a naive datetime": datetime(2024, 1, 1),
    "an enum": _Color.RED,
    "a named tuple": _Point(1, 2),
    "an ordered dict": OrderedDict(a=1),
    "a subclass of str": _Name("x"),
    "a bytearray": bytearray(b"x"),
    "a memoryview": memoryview(b"x"),
    "a function": len,
    "a lone surrogate": "\ud800",
    "a naive datetime as a key": {datetime(2024, 1, 1): 1},
    "an enum deep inside": {"a": [({"b": {_Color.RED}},)]},
    "a bytearray deep inside": {"a": [{"b": bytearray(b"x")}]},
}
"""Values that come back unchanged, type included, or are refused; only a change in silence is wrong."""

MALFORMED = (
    b"",
    b"\x00",
    b"\xff" * 40,
    b"\xc1",
    b"{",
    b"[[[[",
    b'{"!set": 1}',
    bytes(1000),
    b"\x80\x05.",
)


def same(one: Any, other: Any) -> bool:
    """True if equal and of the same types all the way down (1, 1.0 and True differ; NaN is NaN)."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, b) and same(v, w) for (a, v), (b, w) in zip(one.items(), other.items(), strict=True)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, (set, frozenset)):
        return bool(one == other) and {type(a) for a in one} == {type(a) for a in other}
    if isinstance(one, (float, Decimal)):
        return repr(one) == repr(other)
    return bool(one == other)


def _nested(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels // 2):
        value = {"k": [value]}
    return value


class SerializerContract(Examination):
    """Subclass it, give the fixture `serializer`, and every promise of `regiment.contracts.Serializer` is examined."""

    @pytest.fixture
    def serializer(self) -> Serializer:
        raise NotImplementedError("give the fixture `serializer`: the one to examine")

    def test_it_has_the_verbs_of_the_contract(self, serializer: Serializer) -> None:
        """It has `dumps` and `loads`, and declares whether `loads` can run code."""
        assert isinstance(serializer, Serializer)
        assert isinstance(serializer.executes, bool)

    @pytest.mark.parametrize("what", PLAIN)
    def test_plain_data_come_back_equal_and_of_the_same_type(self, serializer: Serializer, what: str) -> None:
        """Every type of the table comes back, at its edges."""
        value = PLAIN[what] if what != "one hundred levels" else _nested(100)
        data = serializer.dumps(value)
        assert type(data) is bytes
        back = serializer.loads(data)
        assert same(back, value), f"{what}: {back!r} came back for {value!r}"[:500]

    def test_nan_comes_back_as_nan(self, serializer: Serializer) -> None:
        """As float and as Decimal."""
        back = serializer.loads(serializer.dumps([float("nan"), Decimal("NaN")]))
        assert same(back, [float("nan"), Decimal("NaN")])

    def test_dicts_keep_their_order(self, serializer: Serializer) -> None:
        """The order in which they were written."""
        for value in ({"z": 1, "a": 2, "m": 3}, {9: 1, "a": 2, 3: 3}):
            assert list(serializer.loads(serializer.dumps(value))) == list(value)

    @pytest.mark.parametrize("what", REFUSED)
    def test_nothing_changes_in_silence(self, serializer: Serializer, what: str) -> None:
        """`dumps` refuses a value outside the table, or it comes back unchanged."""
        value = REFUSED[what]
        try:
            data = serializer.dumps(value)
        except (TypeError, ValueError, OverflowError) as error:
            assert str(error)
        else:
            assert same(serializer.loads(data), value), f"{what} was accepted and came back changed"

    def test_after_a_refusal_it_goes_on_as_before(self, serializer: Serializer) -> None:
        """A failure leaves no state behind."""
        for _ in range(3):
            with pytest.raises((TypeError, ValueError, OverflowError)):
                serializer.dumps({"ok": list(range(100)), "bad": (_ for _ in ())})
            assert serializer.loads(serializer.dumps({"ok": [1]})) == {"ok": [1]}

    def test_what_is_nested_too_deeply_is_refused_in_words(self, serializer: Serializer) -> None:
        """The push refuses it, where somebody reads the message; it never raises a RecursionError."""
        for kind in (lambda x: [x], lambda x: (x,), lambda x: {"k": x}):
            value: Any = None
            for _ in range(5_000):
                value = kind(value)
            with pytest.raises((TypeError, ValueError, OverflowError), match=r"\w+"):
                serializer.dumps(value)

    def test_what_it_takes_at_any_depth_it_can_read(self, serializer: Serializer) -> None:
        """A limit of depth is the same for both directions."""
        for kind in (lambda x: [x], lambda x: (x,), lambda x: {"k": x}):
            value: Any = []
            for levels in range(1030):
                value = kind(value)
                if not 20 < levels % 512 < 110 and not levels % 512 > 500:
                    continue
                try:
                    data = serializer.dumps(value)
                except (TypeError, ValueError, OverflowError):
                    continue
                assert serializer.dumps(serializer.loads(data)) == data

    def test_a_value_that_contains_itself_ends_in_an_error_or_comes_back(self, serializer: Serializer) -> None:
        """It never loops."""
        value: list[Any] = [1]
        value.append(value)
        try:
            back = serializer.loads(serializer.dumps(value))
        except (TypeError, ValueError, OverflowError):
            return
        assert back[0] == 1 and back[1] is back

    @pytest.mark.parametrize("data", MALFORMED, ids=range(len(MALFORMED)))
    def test_malformed_data_are_a_decode_error_or_plain_data(self, serializer: Serializer, data: bytes) -> None:
        """Whatever the store holds, `loads` raises no other exception."""
        try:
            serializer.loads(data)
        except DecodeError as error:
            assert str(error)

    def test_every_cut_and_every_flipped_bit_ends_in_data_or_a_decode_error(self, serializer: Serializer) -> None:
        """Every single cut and bit is tried."""
        data = serializer.dumps(
            {
                "a": [1, (2,), {3}, b"4", Decimal("5")],
                6: datetime(2024, 1, 1, tzinfo=UTC),
                "n": 2**80,
            }
        )
        spoiled: Sequence[bytes] = [data[:at] for at in range(len(data))] + [
            data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :] for at in range(len(data)) for bit in range(8)
        ]
        for one in spoiled:
            try:
                serializer.loads(one)
            except DecodeError:
                pass

    def test_bytes_after_the_end_are_a_decode_error(self, serializer: Serializer) -> None:
        """This serializer did not write bytes after the end."""
        with pytest.raises(DecodeError):
            serializer.loads(serializer.dumps([1]) + b"\x01")

    def test_many_threads_may_use_it_at_once(self, serializer: Serializer) -> None:
        """One object serves all threads of a worker."""
        wrong: list[Any] = []

        def use(number: int) -> None:
            value = {"number": number, "items": [(number, {number}), "x" * number, 2**70 + number]}
            for _ in range(200):
                back = serializer.loads(serializer.dumps(value))
                if back != value:
                    wrong.append(back)

        threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
