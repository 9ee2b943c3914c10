"""Messages between the processes of a tree arrive whole, whatever their size and however slow the other end is."""

from __future__ import annotations

import os
import re
import socket
from typing import Any, get_args

import pytest

from regiment_runner.shared import messages
from regiment_runner.shared.crossing import Inbox, Outbox, piece, pieces


@pytest.fixture
def ends() -> Any:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def received(channel: socket.socket, inbox: Inbox[Any]) -> list[tuple[dict[str, Any], list[int]]]:
    """What has arrived, whole, and the descriptors that came with it."""
    found: list[tuple[dict[str, Any], list[int]]] = []
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(channel, 1 << 20, 4)
        except BlockingIOError:
            return found
        message = inbox.add(data)
        if message is not None:
            found.append((message, fds))


@pytest.mark.parametrize("size", [0, 1, 32_767, 32_768, 300_000, 5_000_000])
def test_a_message_of_any_size_arrives_in_one_piece(ends: Any, size: int) -> None:
    outbox, inbox = Outbox(ends[0]), Inbox[Any]()
    outbox.send({"text": "x" * size})
    found = received(ends[1], inbox)
    while not found:
        outbox.flush()
        found = received(ends[1], inbox)
    assert [message for message, _ in found] == [{"text": "x" * size}]
    assert not outbox


def test_messages_keep_their_order_and_their_descriptors_while_the_other_end_is_slow(
    ends: Any,
) -> None:
    outbox, inbox = Outbox(ends[0]), Inbox[Any]()
    read, write = os.pipe()
    for number in range(40):
        outbox.send({"number": number, "text": "y" * 50_000}, [write] if number == 30 else ())
    assert outbox, "more than a socket takes at once"
    found = received(ends[1], inbox)
    while outbox:
        outbox.flush()
        found += received(ends[1], inbox)
    assert [message["number"] for message, _ in found] == list(range(40))
    came = [(message["number"], fds) for message, fds in found if fds]
    assert [number for number, _ in came] == [30]
    os.write(came[0][1][0], b"!")
    assert os.read(read, 1) == b"!"
    for fd in (read, write, *came[0][1]):
        os.close(fd)


def test_what_nobody_can_receive_any_more_is_dropped(ends: Any) -> None:
    outbox = Outbox(ends[0])
    ends[1].close()
    outbox.send({"text": "z" * 100_000})
    assert not outbox


def test_what_is_no_json_is_sent_in_words() -> None:
    assert Inbox[Any]().add(pieces({"error": ValueError("odd")})[0]) == {"error": "ValueError('odd')"}


def test_no_message_of_one_direction_can_be_taken_for_another() -> None:
    for direction in (messages.FromWorker, messages.ToKeeper, messages.FromKeeper, messages.ToService):
        kinds = get_args(direction)
        for kind in kinds:
            (mark,) = [name for name in kind.__required_keys__ if name == kind.__name__.lower()]
            others = [other for other in kinds if other is not kind]
            assert all(mark not in other.__annotations__ for other in others), kind


def test_the_page_of_messages_names_each_of_them() -> None:
    named = set(re.findall(r"`([A-Z]\w+)`", messages.__doc__ or ""))
    sent = {
        kind.__name__
        for union in ("FromWorker", "ToKeeper", "FromKeeper", "ToService")
        for kind in get_args(getattr(messages, union))
    }
    assert named == sent


def test_the_last_words_of_an_end_that_has_gone_without_reading_what_it_was_told_are_heard(ends: Any) -> None:
    ours, theirs = ends
    assert piece(ours) is None, "nothing was said yet"
    ours.send(b"unread")
    theirs.send(b"last words")
    theirs.close()
    assert piece(ours) == b"last words"
    assert piece(ours) == b"", "it has gone"
