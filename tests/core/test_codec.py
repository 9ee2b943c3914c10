"""The envelope: what goes in comes out, and whatever else comes in ends in a clear error."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.codec import Codec, Head, read_head
from regiment.errors import ConfigError, DecodeError, EncodeError, PayloadTooLarge, PluginError
from regiment.task import Task
from regiment_compressors.zlib import ZlibCompressor
from regiment_serializers.json import JsonSerializer
from regiment_serializers.msgpack import MsgpackSerializer
from regiment_serializers.pickle import PickleSerializer

MSGPACK = ("msgpack", MsgpackSerializer())
ZLIB = ("zlib", ZlibCompressor())


def codec(serializer: Any = MSGPACK, compressor: Any = None, limit: int = 1 << 20, **known: Any) -> Codec:
    """A codec that finds, beside its own parts, only the `known` ones."""
    return Codec(
        serializer,
        compressor,
        payload_limit=limit,
        find_serializer=known.__getitem__,
        find_compressor=known.__getitem__,
    )


FIELDS = (
    "id",
    "queue",
    "name",
    "kwargs",
    "date",
    "run_count",
    "trace_id",
    "headers",
    "expires",
    "delivery_count",
    "extra",
)


def fields(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in FIELDS}


def task(**kwargs: Any) -> Task:
    return Task("id-1", "q", "send", kwargs, 1.5)


text = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize("compressor", [None, ZLIB], ids=["plain", "zlib"])
@settings(max_examples=100, deadline=None)
@given(
    id=text.filter(lambda id: 0 < len(id.encode()) <= 200),
    name=text,
    kwargs=st.dictionaries(text, st.integers() | text | st.binary(max_size=600)),
    date=st.floats(0, 1e11),
    run_count=st.integers(0, 10**6),
    trace_id=st.none() | text,
    headers=st.none() | st.dictionaries(text, text),
    expires=st.none() | st.floats(0, 1e11),
    delivery_count=st.integers(0, 10),
    extra=st.lists(st.integers() | st.none()).map(tuple),
)
def test_every_field_of_a_task_comes_back(compressor: Any, delivery_count: int, **given: Any) -> None:
    one = Task(queue="q", delivery_count=delivery_count, **given)
    payload = codec(compressor=compressor).encode(one)
    assert fields(codec(compressor=compressor).decode(payload, "q", delivery_count)) == fields(one)
    assert read_head(payload).task_id == one.id


def test_the_head_is_read_without_any_serializer() -> None:
    payload = codec(compressor=ZLIB).encode(task(text="again " * 100))
    assert read_head(payload) == Head(1, "msgpack", "zlib", "id-1", 20)
    assert ZlibCompressor().decompress(payload[20:-4], 1000) == MSGPACK[1].dumps(
        ["send", {"text": "again " * 100}, 1.5]
    )


def test_a_record_that_spells_out_what_is_the_default_is_the_same_task() -> None:
    long = MSGPACK[1].dumps(["send", {"a": 1}, 1.5, 0, None, None, None])
    short = MSGPACK[1].dumps(["send", {"a": 1}, 1.5])
    payload = codec().encode(task(a=1))
    assert payload[:-4].endswith(short)
    spelled = payload[:-4].removesuffix(short) + long
    spelled += crc32(spelled).to_bytes(4, "little")
    assert fields(codec().decode(spelled, "q")) == fields(codec().decode(payload, "q"))


def test_messages_of_one_length_with_ids_of_other_lengths_are_each_read_right() -> None:
    reader = codec()
    ones = [Task("i" * size, "q", "send", {"a": "x" * (90 - size)}, 1.5) for size in (5, 6, 5, 7)]
    for one in ones * 2:
        assert fields(reader.decode(codec().encode(one), "q")) == fields(one)


def test_small_bodies_stay_plain_and_the_head_says_so() -> None:
    payload = codec(compressor=ZLIB).encode(task(text="again"))
    assert read_head(payload).compressor is None
    assert codec().decode(payload, "q").kwargs == {"text": "again"}


def test_any_worker_reads_what_names_parts_that_it_has() -> None:
    payload = codec(("json", JsonSerializer()), ZLIB).encode(task(text="again " * 100))
    worker = codec(json=JsonSerializer(), zlib=ZlibCompressor())
    assert worker.decode(payload, "q").kwargs == {"text": "again " * 100}
    assert worker.decode(payload, "q").kwargs == {"text": "again " * 100}


def test_a_serializer_that_executes_is_used_only_where_it_is_configured() -> None:
    pickle = PickleSerializer("a secret of some length")
    payload = codec(("pickle", pickle)).encode(task(a=1))
    assert codec(("pickle", pickle)).decode(payload, "q").kwargs == {"a": 1}
    with pytest.raises(DecodeError) as caught:
        codec(pickle=pickle).decode(payload, "q")
    assert not caught.value.parkable
    assert str(caught.value) == (
        'the message was serialized by "pickle", which can execute code when it reads, and this queue is configured '
        'for "msgpack"; it was refused unread'
    )


def raising(error: Exception) -> Any:
    def find(name: str) -> Any:
        raise error

    return find


@pytest.mark.parametrize(
    ("error", "parkable", "text"),
    [
        (KeyError("json"), True, 'the message needs the serializer "json", which is not installed here'),
        (
            PluginError("it is broken"),
            True,
            'the message needs the serializer "json", which cannot be used here: it is broken',
        ),
        (
            ConfigError("it needs a key"),
            False,
            'the message needs the serializer "json", which cannot be used here: it needs a key',
        ),
        (TypeError("what"), False, 'the message needs the serializer "json", which cannot be used here: what'),
    ],
)
def test_a_part_that_cannot_be_had_parks_the_message_if_another_installation_may_have_it(
    error: Exception, parkable: bool, text: str
) -> None:
    payload = codec(("json", JsonSerializer())).encode(task(a=1))
    worker = Codec(
        MSGPACK,
        None,
        payload_limit=1000,
        find_serializer=raising(error),
        find_compressor=raising(error),
    )
    with pytest.raises(DecodeError) as caught:
        worker.decode(payload, "q")
    assert (caught.value.parkable, str(caught.value)) == (parkable, text)


@pytest.mark.parametrize("id", ["x" * 201, "é" * 101, "", "\ud800", None, 5])
def test_an_id_that_no_message_can_hold_is_refused(id: Any) -> None:
    with pytest.raises(EncodeError, match=r"the task id is .*; expected a string of 1 to 200 bytes in UTF-8"):
        codec().encode(Task(id, "q", "send", {}, 1.0))


class Image:
    pass


def contains_itself() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("kwargs", "start"),
    [
        (
            {"user": {"avatar": Image()}},
            'kwargs["user"]["avatar"]: a value of type Image cannot be serialized by msgpack; '
            "Image is not in the type table: it takes None, bool",
        ),
        ({"a": [1, (2, {"k": Image})]}, 'kwargs["a"][1][1]["k"]: a value of type type cannot be'),
        ({"a": {Image: 1}}, 'kwargs["a"] (the key <class \''),
        ({"a": {1, Image}}, 'kwargs["a"] (an element): a value of type type cannot'),
        ({"a": {(1, Image): 1}}, 'kwargs["a"] (the key (1, <class '),
        ({"a" * 100: Image()}, f'kwargs["{"a" * 58}…]: a value of type Image'),
        (
            {"a": contains_itself()},
            'kwargs["a"][1]: a value of type list cannot be serialized by msgpack; it contains itself',
        ),
        (
            {"a": ["ok", "\ud800"]},
            "kwargs[\"a\"][1]: a value of type str cannot be serialized by msgpack; 'utf-8' codec",
        ),
        ({"\ud800": 1}, "kwargs (the key <str>): a value of type str cannot"),
    ],
)
def test_a_value_that_cannot_be_serialized_is_named_by_its_path(kwargs: Any, start: str) -> None:
    with pytest.raises(EncodeError) as caught:
        codec().encode(Task("i", "q", "send", kwargs, 1.0))
    assert str(caught.value).startswith(start)


def test_the_path_starts_at_the_field_of_the_task() -> None:
    for field in ("headers", "expires", "trace_id", "date", "name"):
        one = task()
        setattr(one, field, Image())
        with pytest.raises(EncodeError, match=f"^{field}: a value of type Image"):
            codec().encode(one)


def test_a_task_that_is_too_large_is_refused_in_words() -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        codec(limit=1000).encode(task(blob=b"x" * 2000))
    assert str(caught.value) == (
        "<Task send id-1> has 2,044 bytes when encoded; payload_limit is 1,000. Nothing was sent. Store the data "
        "elsewhere (regiment-claims does it) or raise payload_limit for producers and workers alike"
    )


def test_the_limit_is_exact_in_both_directions() -> None:
    payload = codec().encode(task(blob=b"x" * 500))
    assert codec(limit=len(payload)).encode(task(blob=b"x" * 500)) == payload
    assert codec(limit=len(payload)).decode(payload, "q")
    with pytest.raises(PayloadTooLarge):
        codec(limit=len(payload) - 1).encode(task(blob=b"x" * 500))
    with pytest.raises(DecodeError, match="it was not decoded"):
        codec(limit=len(payload) - 1).decode(payload, "q")


def test_what_would_be_too_large_when_unpacked_is_refused_when_pushed() -> None:
    with pytest.raises(PayloadTooLarge, match=r"has 20,\d\d\d bytes"):
        codec(compressor=ZLIB, limit=10_000).encode(task(text="a" * 20_000))


class Broken:
    """A stranger's serializer that raises what no contract knows."""

    executes = False

    def dumps(self, value: Any) -> bytes:
        return b"x"

    def loads(self, data: bytes) -> Any:
        raise SystemError("deep inside")


class Fixed(Broken):
    def __init__(self, record: Any) -> None:
        self.record = record

    def loads(self, data: bytes) -> Any:
        return self.record


def test_whatever_a_part_raises_is_a_decode_error() -> None:
    payload = codec(("broken", Broken())).encode(task())
    with pytest.raises(DecodeError, match=r"^the message cannot be read: SystemError: deep inside$"):
        codec(("broken", Broken())).decode(payload, "q")
    with pytest.raises(DecodeError, match=r"^the message cannot be read: SystemError: deep inside$"):
        codec(broken=Broken()).decode(payload, "q")


@pytest.mark.parametrize(
    "record",
    [
        None,
        5,
        [],
        {},
        "seven!!",
        ["n", {}, 1.0, 0, None, None],
        [None, {}, 1.0, 0, None, None, None],
        ["n", [], 1.0, 0, None, None, None],
        ["n", {}, "now", 0, None, None, None],
        ["n", {}, 1.0, "0", None, None, None],
        ["n", {}, 1.0, True, None, None, None],
        ["n", {}, 1.0, 0, 5, None, None],
        ["n", {}, 1.0, 0, None, [], None],
        ["n", {}, 1.0, 0, None, None, "soon"],
    ],
)
def test_a_record_of_another_shape_is_a_decode_error(record: Any) -> None:
    payload = codec(("fixed", Fixed(None))).encode(task())
    with pytest.raises(DecodeError, match=r"cannot be read|expected at least the fields name, kwargs, date"):
        codec(("fixed", Fixed(record))).decode(payload, "q")


def test_a_compressor_that_ignores_the_limit_is_not_believed() -> None:
    class Careless:
        def compress(self, data: bytes) -> bytes:
            return b"small"

        def decompress(self, data: bytes, limit: int) -> bytes:
            return bytes(limit + 1)

    careless = codec(compressor=("careless", Careless()), limit=1000)
    payload = careless.encode(task(a="x" * 500))
    with pytest.raises(DecodeError, match=r"careless made 1,001 bytes of the message; the limit is 1,000"):
        careless.decode(payload, "q")


@pytest.mark.parametrize("headers", [{"a": 1}, {1: "a"}, {"a": None}, {"a": {"b": "c"}}, {b"a": "b"}, [["a", "b"]]])
def test_headers_of_a_foreign_message_are_text_by_text(headers: Any) -> None:
    import msgpack

    from regiment import WorkerConfig
    from regiment.build import make_codec
    from regiment.registry import registry

    codec = make_codec(WorkerConfig(name="q"), registry())
    task = Task("t", "q", "a", {}, 1.0)
    task.headers = {"a": "b"}
    good = codec.encode(task)
    body = msgpack.packb(["a", {}, 1.0, 0, None, {"a": "b"}, None])
    assert body in good
    data = good[:-4].replace(body, msgpack.packb(["a", {}, 1.0, 0, None, headers, None]))
    with pytest.raises(DecodeError):
        codec.decode(data + crc32(data).to_bytes(4, "little"), "q")
