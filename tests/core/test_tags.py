"""Tags of a message: plain data by plugin, in an envelope that a release without tags does not run."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment import Use, WorkerConfig
from regiment.build import make_codec
from regiment.codec import Codec, read_head
from regiment.errors import DecodeError, EncodeError
from regiment.registry import registry
from regiment.task import Task

SIGNED = Use("signed", keys=("a secret of some length",))
text = st.text(st.characters(exclude_categories=["Cs"]))
TAGS = st.dictionaries(
    text, st.integers() | st.lists(text) | st.dictionaries(text, st.binary(max_size=200)), min_size=1
)


def codec(serializer: str | Use = "msgpack", **more: Any) -> Codec:
    return make_codec(WorkerConfig(name="q", serializer=serializer, **more), registry())


@pytest.mark.parametrize("serializer", ["msgpack", "json", SIGNED], ids=str)
@pytest.mark.parametrize("compressor", [None, "zlib"])
@settings(max_examples=60, deadline=None)
@given(tags=TAGS, extra=st.lists(st.integers() | st.none(), max_size=3).map(tuple), long=st.booleans())
def test_tags_and_what_follows_them_come_back_and_are_written_again(
    serializer: Any, compressor: str | None, tags: dict[str, Any], extra: tuple[Any, ...], long: bool
) -> None:
    one, again = codec(serializer, compressor=compressor), codec(serializer, compressor=compressor)
    payload = one.encode(Task("t", "q", "send", {"a": "b" * 600 * long}, 1.5, tags=tags, extra=extra))
    assert read_head(payload).version == payload[1] == 2
    for _ in range(2):  # the second time by what was learned of its shape
        task = again.decode(payload, "q")
        assert (task.tags, task.extra, task.id) == (tags, extra, "t")
        assert again.encode(task) == payload


def test_the_bytes_of_a_message_with_tags_are_those_that_the_page_says() -> None:
    task = Task("t1", "q", "send", {"to": "a@b.c"}, 1727000000.125, tags={"flows": {"to": 3}})
    record = "98a473656e6481a2746fa5614062 2e63cb41d9bbfb7008000000c0c0c081a5666c6f777381a2746f03"
    data = b"\xa9\x02\x07msgpack\x00\x02t1" + bytes.fromhex(record)
    assert codec().encode(task) == data + crc32(data).to_bytes(4, "little")


def test_without_tags_a_message_is_what_it_was() -> None:
    plain = Task("t", "q", "send", {"a": 1}, 1.5)
    none = Task("t", "q", "send", {"a": 1}, 1.5, tags=None)
    empty = Task("t", "q", "send", {"a": 1}, 1.5, tags={}, headers=None)
    assert codec().encode(plain) == codec().encode(none) == codec().encode(empty)
    assert codec().encode(plain)[1] == 1


def test_a_task_with_tries_and_no_tags_stays_in_the_envelope_of_old() -> None:
    task = Task("t", "q", "send", {}, 1.5, run_count=1, extra=([["boom", 3]],))
    payload = codec().encode(task)
    assert payload[1] == 1
    found = codec().decode(payload, "q")
    assert (found.tags, found.extra, found.run_count) == (None, ([["boom", 3]],), 1)


@pytest.mark.parametrize("tags", [5, "results", ["results"], {1: "x"}])
def test_tags_of_another_shape_are_a_decode_error(tags: Any) -> None:
    from regiment_serializers.msgpack import MsgpackSerializer

    body = MsgpackSerializer().dumps(["send", {}, 1.5, 0, None, None, None, tags])
    data = b"\xa9\x02\x07msgpack\x00\x01t" + body
    with pytest.raises(DecodeError, match="the record of the message is"):
        codec().decode(data + crc32(data).to_bytes(4, "little"), "q")


def test_a_tag_that_cannot_be_serialized_is_named_by_its_path() -> None:
    with pytest.raises(EncodeError, match=r'^tags\["flows"\]\["to"\]: a value of type object'):
        codec().encode(Task("t", "q", "send", {}, 1.5, tags={"flows": {"to": object()}}))
