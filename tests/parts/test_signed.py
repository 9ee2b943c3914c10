"""`Signed`: whoever can write to the store, and has no key, makes no task, moves none and changes none."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1]))

from regiment import Queue, WorkerConfig
from regiment.build import make_codec
from regiment.codec import Codec, read_head
from regiment.contracts import Serializer
from regiment.errors import ConfigError, DecodeError, Forged
from regiment.registry import registry
from regiment.task import Task
from regiment_serializers import Pickle, Signed
from regiment_serializers.pickle import PickleSerializer
from regiment_serializers.signed import SignedSerializer
from regiment_testing import capture
from regiment_testing.contracts.serializer import SerializerContract

KEY, OTHER = "a secret of some length", "another secret of a length"


class TestSigned(SerializerContract):
    @pytest.fixture
    def serializer(self) -> Serializer:
        return SignedSerializer((KEY,))


class TestSignedJson(SerializerContract):
    @pytest.fixture
    def serializer(self) -> Serializer:
        return SignedSerializer((KEY,), "json")


class TestSignedPickle(SerializerContract):
    @pytest.fixture
    def serializer(self) -> Serializer:
        return SignedSerializer((KEY,), PickleSerializer(OTHER))


def codec(serializer: Any = Signed(keys=(KEY,)), accept: Any = ("signed",), **more: Any) -> Codec:
    config = WorkerConfig(name="q", serializer=serializer, accept=accept, **more)
    return make_codec(config, registry())


def task(id: str = "id-1", queue: str = "q", **kwargs: Any) -> Task:
    return Task(id, queue, "send", kwargs or {"a": 1}, 1.5)


def resealed(payload: bytes) -> bytes:
    """With a checksum that matches: written so, not damaged."""
    return payload + crc32(payload).to_bytes(4, "little")


@pytest.mark.parametrize("compressor", [None, "zlib"])
def test_what_was_signed_comes_back_and_a_retry_is_signed_again(compressor: str | None) -> None:
    reader = codec(compressor=compressor)
    sent = task(text="a" * 1000)
    back = reader.decode(reader.encode(sent), "q", 2)
    assert (back.id, back.name, back.kwargs, back.delivery_count) == ("id-1", "send", sent.kwargs, 2)
    back.run_count = 3
    again = reader.encode(back)
    assert reader.decode(again, "q").run_count == 3
    assert reader.like(read_head(again)).encode(back) == again


def test_a_message_in_another_queue_or_with_another_id_or_head_is_forged_before_it_is_read() -> None:
    class Trap:
        executes = False
        read = 0

        def dumps(self, value: Any) -> bytes:
            return b"x"

        def loads(self, data: bytes) -> Any:
            self.read += 1
            return ["send", {}, 1.5]

    trap = Trap()
    reader = codec(Signed(trap, keys=(KEY,)), compressor="zlib")
    payload = reader.encode(task())
    reader.decode(payload, "q")
    assert trap.read == 1
    at = payload.index(b"id-1")
    forged = {
        "another queue": (payload, "q2"),
        "another id": (resealed(payload[:-4].replace(b"id-1", b"id-2")), "q"),
        "a shorter id": (resealed(payload[: at - 1] + b"\x03" + payload[at:-4]), "q"),
        "a compressor": (resealed(payload[: at - 2] + b"\x04zlib" + payload[at - 1 : -4]), "q"),
        "another body": (resealed(payload[:-5] + b"y"), "q"),
    }
    for what, (bytes_, queue) in forged.items():
        with pytest.raises(Forged, match="it was not read"):
            reader.decode(bytes_, queue)
        assert trap.read == 1, what


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.integers(0, 30))
def test_no_change_of_a_signed_message_is_a_task(at: int, bit: int, cut: int) -> None:
    reader = codec()
    whole = bytearray(reader.encode(task())[:-4])
    whole[at % len(whole)] ^= 1 << bit
    for changed in (bytes(whole), bytes(whole[: len(whole) - cut])):
        with pytest.raises(DecodeError):
            reader.decode(resealed(changed), "q")


def test_a_queue_that_accepts_only_signed_messages_runs_nothing_else() -> None:
    for unsigned in ("msgpack", "json"):
        with pytest.raises(DecodeError, match="this queue accepts signed; it was refused unread"):
            codec().decode(codec(unsigned, None).encode(task()), "q")
    with pytest.raises(DecodeError, match='needs the option "keys"') as caught:
        codec("msgpack", None).decode(codec().encode(task()), "q")
    assert not caught.value.parkable
    changing = codec("msgpack", ("msgpack", Signed(keys=(KEY,))))
    assert changing.decode(codec().encode(task()), "q").kwargs == {"a": 1}


def test_a_key_is_changed_in_three_steps_without_a_message_lost() -> None:
    old, first, then, new = (codec(Signed(keys=k)) for k in ((KEY,), (KEY, OTHER), (OTHER, KEY), (OTHER,)))
    for writer, readers in ((old, (first, then)), (first, (old, then)), (then, (first, new)), (new, (then,))):
        for reader in readers:
            assert reader.decode(writer.encode(task()), "q").id == "id-1"
    with pytest.raises(Forged):
        new.decode(old.encode(task()), "q")
    with pytest.raises(Forged):  # a signature of pickle with the same key is another thing
        codec().decode(codec(Signed(keys=(OTHER,))).encode(task()), "q")


def test_what_is_written_by_another_serializer_is_said() -> None:
    with pytest.raises(DecodeError, match=r"written in 'json'; this queue is configured for 'msgpack'"):
        codec().decode(codec(Signed("json", keys=(KEY,))).encode(task()), "q")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"keys": KEY}, "keys is a str; expected a tuple of keys, of which the first one signs"),
        ({"keys": ()}, "keys is empty; expected a tuple"),
        ({"keys": ("short",)}, r"keys\[0\] is 5 characters long; expected a secret of at least 16"),
        ({"keys": ("a" * 40,)}, r"keys\[0\] has fewer than 8 different characters"),
        ({"keys": (KEY, "short")}, r"keys\[1\] is 5 characters long"),
        ({"keys": (KEY, None)}, r"keys\[1\] is missing"),
        (
            {"keys": (KEY,), "serializer": "yaml"},
            "serializer is 'yaml'; expected 'msgpack', 'json' or a serializer object",
        ),
        ({"keys": (KEY,), "serializer": 7}, "serializer is a int; expected an object with dumps and loads"),
    ],
)
def test_what_is_wrong_with_its_options_is_said_and_no_key_is_shown(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        SignedSerializer(**options)
    assert "aaaa" not in str(caught.value) and "secret of some" not in str(caught.value)


ran: list[int] = []


def note(n: int) -> None:
    ran.append(n)


def test_capture_runs_signed_tasks() -> None:
    q = Queue("signed-capture", connector="memory://signed", serializer=Signed(keys=(KEY,)), accept=("signed",))
    q.task(name="note")(note)
    with capture(q) as held:
        q.options(name="note").push(n=1)
        held.drain()
    assert ran == [1]


def test_pickle_takes_its_former_keys_from_a_configuration() -> None:
    old = codec(Pickle(key=KEY), None)
    assert codec(Pickle(key=OTHER, old_keys=[KEY]), None).decode(old.encode(task()), "q").id == "id-1"
