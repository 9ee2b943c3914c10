"""Which arguments become claims: the largest, until the rest fits; and what is small costs no packing."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.build import make_codec
from regiment.config import WorkerConfig
from regiment.registry import registry
from regiment_claims.references import Reference, bucket, human, references, written
from regiment_claims.values import WHERE
from regiment_claims.weighing import large

CODECS = {
    name: make_codec(WorkerConfig(name="w", serializer=name), registry().scope(())) for name in ("msgpack", "json")
}
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=20), inner, max_size=8),
    max_leaves=40,
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), plain, max_size=6), st.sampled_from(sorted(CODECS)))
@settings(max_examples=150, deadline=None)
def test_what_stays_in_the_message_has_at_most_so_many_bytes_unless_only_small_things_are_left(
    kwargs: dict[str, Any], name: str
) -> None:
    codec = CODECS[name]
    chosen = large(kwargs, 1000, codec)
    left = [len(codec.pack(value, WHERE)) for key, value in kwargs.items() if key not in chosen]
    assert sum(left) <= 1000 + 40 * len(left) or all(size < 512 + 40 for size in left)
    for key, data in chosen.items():
        assert codec.unpack(data, WHERE) == kwargs[key]
        assert all(len(data) >= size for size in left)


def test_the_largest_goes_first_and_no_more_than_must() -> None:
    kwargs = {"a": b"a" * 600, "b": b"b" * 3000, "c": b"c" * 700}
    assert list(large(kwargs, 2000, CODECS["msgpack"])) == ["b"]
    assert list(large(kwargs, 1000, CODECS["msgpack"])) == ["b", "c"]
    assert large({"a": "x" * 100}, 1000, CODECS["msgpack"]) == {}


def test_a_value_that_nothing_can_serialize_is_left_to_the_message() -> None:
    assert large({"a": b"a" * 3000, "b": object()}, 2000, CODECS["msgpack"]) == {}


def test_only_what_has_the_seal_of_its_push_is_a_claim() -> None:
    one = Reference("0" * 64, 3_100_000, 2000)
    made = written(one, "seal")
    assert next(iter(made)) == "claim of 3.1 MB"
    assert references({"a": made, "b": written(one, "forged"), "c": 1}, "seal") == {"a": one}
    for digest in ("../../etc/passwd", "0" * 63, "G" * 64, 7):
        assert references({"a": {"claim": [digest, 5, 2000, "seal"]}}, "seal") == {}


def test_a_bucket_ends_after_the_time_to_live_and_is_shared_for_an_eighth_of_it() -> None:
    assert all(80 <= bucket(now, 80) - now <= 90 for now in range(1000, 1100))
    assert len({bucket(now, 80) for now in range(1000, 1010)}) <= 2
    assert [human(size) for size in (512, 3_100_000, 64_000, 999_600)] == ["512 B", "3.1 MB", "64.0 kB", "1.0 MB"]
