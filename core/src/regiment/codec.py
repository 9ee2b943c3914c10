"""Tasks to bytes and back: the envelope (`docs/wire-format.md`).

    magic 0xA9 · version · length, serializer · length, compressor · length, task id · body · CRC-32

The head can be read without any serializer. The checksum covers everything: a damaged message becomes a dead letter and
never runs with arguments that were not pushed. It is not a signature; `pickle` has its own.
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

from regiment.config import is_offer_name
from regiment.culprit import find_culprit
from regiment.errors import DecodeError, EncodeError, PayloadTooLarge, PluginError
from regiment.task import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from regiment.contracts import Compressor, Serializer

VERSION = 1
LONGEST_ID = 200
"""Bytes of the longest task id, in UTF-8."""
SMALL = 256
"""Bodies of fewer bytes are not compressed: it would cost more than it saves."""
FIELDS = ("name", "kwargs", "date", "run_count", "trace_id", "headers", "expires")
"""The record, a list in this order. A task that has not failed, inherits nothing and does not expire has only the first
three. A later release may append fields; an older one keeps them in `Task.extra`.
"""

_DEFAULTS = (0, None, None, None)
"""The values of the fields after the third, if a record ends there."""
_ORDINARY = 5
"""How many attributes `Task.__init__` sets."""
_SHAPES = 1024
"""Lengths of messages whose shape is remembered."""
_NO_SHAPE: tuple[Callable[[bytes], tuple[bytes, ...]], bytes] = (lambda payload: (b"", b"", b""), b"-")
_new = object.__new__
_MAGIC = 0xA9
_TRAILER = 4
_RESIDUE = 0x2144DF1C
"""CRC-32 of any bytes followed by their own CRC-32 (little-endian): checks a message without slicing it."""

if TYPE_CHECKING:
    from typing import NamedTuple

    class Head(NamedTuple):
        """What an envelope says about itself; its body is `payload[head.body:-4]`."""

        version: int
        serializer: str
        compressor: str | None
        task_id: str
        body: int
else:
    from collections import namedtuple

    Head = namedtuple("Head", "version serializer compressor task_id body")


def read_head(payload: bytes) -> Head:
    """The head of a message, without its serializer.

    `DecodeError` if the bytes are damaged or not regiment's; `parkable` if they are whole and of a newer version.
    """
    if len(payload) < 5 + _TRAILER or payload[0] != _MAGIC:
        raise DecodeError(
            f"not a message of regiment: {len(payload):,} bytes that start with {payload[:8].hex(' ') or 'nothing'}; "
            f"expected {_MAGIC:02x} {VERSION:02x}"
        )
    if crc32(payload) != _RESIDUE:
        raise DecodeError(f"the message is damaged: its checksum does not match its {len(payload):,} bytes")
    version = payload[1]
    if version != VERSION:
        raise DecodeError(
            f"the message has envelope version {version}; this release reads {VERSION}. A newer regiment wrote it: "
            "upgrade the workers of this queue",
            parkable=version > VERSION,
        )
    parts, at, end = [], 2, len(payload) - _TRAILER
    try:
        for encoding in ("ascii", "ascii", "utf-8"):
            start = at + 1
            at = start + payload[at]
            parts.append(payload[start:at].decode(encoding))
    except (IndexError, ValueError) as error:
        raise DecodeError(f"the head of the message is malformed: {error}") from None
    if at > end or not parts[0]:
        raise DecodeError("the head of the message is malformed: it goes beyond the message")
    return Head(version, parts[0], parts[1] or None, parts[2], at)


class Codec:
    """Encodes with one serializer and compressor; decodes with those that a message names, if they may be used here.

    `find_serializer` and `find_compressor` make the others. They raise `LookupError` for an unknown name, and are never
    called with a name that no offer can have. `accept` lists the serializers that are read here; None: every installed
    one that cannot execute code. Safe in any thread.
    """

    def __init__(
        self,
        serializer: tuple[str, Serializer],
        compressor: tuple[str, Compressor] | None,
        *,
        payload_limit: int,
        find_serializer: Callable[[str], Serializer],
        find_compressor: Callable[[str], Compressor],
        accept: frozenset[str] | None = None,
    ) -> None:
        self._name, parts = serializer
        self._dumps, self._loads, self._seal = parts.dumps, parts.loads, getattr(parts, "seal", None)
        self._compress = compressor[1].compress if compressor else None
        self._limit, self._accept = payload_limit, accept
        self._serializers: dict[str, Serializer] = {self._name: parts}
        self._compressors: dict[str, Compressor] = dict([compressor] if compressor else [])
        self._find_serializer, self._find_compressor = find_serializer, find_compressor
        self._plain = _start(self._name, "")
        self._shapes: dict[int, tuple[Callable[[bytes], tuple[Any, ...]], bytes]] = {}
        # The head up to the id, for each length that an id may have: one look-up writes it and checks the id.
        self._plain_heads = _heads(self._plain)
        self._packed_heads = _heads(_start(self._name, compressor[0])) if compressor else {}

    def encode(self, task: Task) -> bytes:
        """The message of a task. `EncodeError` names the value that cannot be serialized; else `PayloadTooLarge`."""
        record = [task.name, task.kwargs, task.date]
        if len(task.__dict__) > _ORDINARY:
            more = (task.run_count, task.trace_id, task.headers, task.expires, *task.extra)
            if more != _DEFAULTS:
                record += more
        try:
            body = self._dumps(record)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise self._refused(record, error) from error
        heads = self._plain_heads
        if self._compress is not None and len(body) >= SMALL:
            if len(body) > self._limit:
                raise self._too_large(task, len(body))
            body, heads = self._compress(body), self._packed_heads
        try:
            id = task.id.encode()
            head = heads[len(id)] + id
        except (KeyError, UnicodeError, AttributeError):
            raise _bad_id(task.id) from None
        data = head + body if self._seal is None else head + self._seal(head, task.queue, body)
        if len(data) + _TRAILER > self._limit:
            raise self._too_large(task, len(data) + _TRAILER)
        return data + crc32(data).to_bytes(_TRAILER, "little")

    def decode(self, payload: bytes, queue: str, delivery_count: int = 0) -> Task:
        """The task of a message; `Forged`, or `DecodeError`, `parkable` if another installation might read it."""
        try:
            cut, start = self._shapes.get(len(payload), _NO_SHAPE)
            head, id, body = cut(payload)
            if head == start and crc32(payload) == _RESIDUE:
                id, loads = id.decode(), self._loads
                record = loads(body)
            else:
                id, record = self._open(payload, queue)
            if len(record) == 3:
                name, kwargs, date = record
                more = None
            else:
                name, kwargs, date, *more = record
        except DecodeError:
            raise
        except Exception as error:
            # A foreign part may raise any exception; no message may end a worker.
            raise DecodeError(f"the message cannot be read: {type(error).__name__}: {error}"[:300]) from error
        if type(kwargs) is not dict or type(name) is not str or (type(date) is not float and not _is_number(date)):
            raise _misshapen(record)
        task = _new(Task)  # no call of `__init__`, which would cost more than all its assignments
        task.id = id
        task.queue = queue
        task.name = name
        task.kwargs = kwargs
        task.date = date
        if delivery_count:
            task.delivery_count = delivery_count
        if more is not None:
            _complete(task, record, more)
        return task

    def like(self, head: Head) -> Codec:
        """A codec that writes with the parts of a message; `DecodeError` if they may not be used here."""
        compressor = head.compressor
        return Codec(
            (head.serializer, self._serializer(head.serializer)),
            None if compressor is None else (compressor, self._compressor(compressor)),
            payload_limit=self._limit,
            find_serializer=self._find_serializer,
            find_compressor=self._find_compressor,
            accept=self._accept,
        )

    def _open(self, payload: bytes, queue: str) -> tuple[str, Any]:
        """Id and record of a message whose shape differs from the last one of its length, or of foreign bytes."""
        if len(payload) > self._limit:
            raise DecodeError(
                f"the message has {len(payload):,} bytes, more than the {self._limit:,} that payload_limit allows; "
                "it was not decoded"
            )
        head = read_head(payload)
        self._learn_shape(payload, head)
        serializer = self._serializer(head.serializer)
        body = payload[head.body : -_TRAILER]
        if hasattr(serializer, "unseal"):
            body = serializer.unseal(payload[: head.body], queue, body)
        if head.compressor is not None:
            body = self._compressor(head.compressor).decompress(body, self._limit)
            if len(body) > self._limit:
                raise DecodeError(
                    f"{head.compressor} made {len(body):,} bytes of the message; the limit is {self._limit:,}"
                )
        return head.task_id, serializer.loads(body)

    def _learn_shape(self, payload: bytes, head: Head) -> None:
        """Remember how to cut messages of this length: those of one queue are alike, so one call cuts the next."""
        if head.serializer == self._name and head.compressor is None and self._seal is None:
            if len(self._shapes) >= _SHAPES:
                self._shapes.clear()
            start = payload[: head.body - len(head.task_id.encode())]
            cut = Struct(f"{len(start)}s{head.body - len(start)}s{len(payload) - _TRAILER - head.body}s4x")
            self._shapes[len(payload)] = (cut.unpack, start)

    def _serializer(self, name: str) -> Serializer:
        found = self._serializers.get(name)
        if found is None:
            if self._accept is None:
                _insist_on_a_name("serializer", name)
            elif name not in self._accept:
                raise DecodeError(
                    f"the message was serialized by {_seen(name)}, and this queue accepts "
                    f"{', '.join(sorted(self._accept))}; it was refused unread. Add it to accept if it may be read here"
                )
            found = _find(self._find_serializer, "serializer", name)
            if found.executes and self._accept is None:
                raise DecodeError(
                    f'the message was serialized by "{name}", which can execute code when it reads, and this queue '
                    f'is configured for "{self._name}"; it was refused unread'
                )
            self._serializers[name] = found
        return found

    def _compressor(self, name: str) -> Compressor:
        found = self._compressors.get(name)
        if found is None:
            _insist_on_a_name("compressor", name)
            found = self._compressors[name] = _find(self._find_compressor, "compressor", name)
        return found

    def _refused(self, record: list[Any], error: Exception) -> EncodeError:
        path, culprit, error = find_culprit(self._dumps, record, error, FIELDS)
        return EncodeError(
            f"{path}: a value of type {type(culprit).__name__} cannot be serialized by {self._name}; "
            f"{str(error)[:300] or type(error).__name__}"
        )

    def _too_large(self, task: Task, size: int) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"{task!r} has {size:,} bytes when encoded; payload_limit is {self._limit:,}. Nothing was sent. Store the "
            "data elsewhere and push where they are, or raise payload_limit for producers and workers alike"
        )


def _complete(task: Task, record: list[Any], more: list[Any]) -> None:
    """Set the fields that only some tasks have; `DecodeError` if one has another type than this release writes."""
    if len(more) < 4:
        raise _misshapen(record)
    run_count, trace_id, headers, expires = more[:4]
    if (
        type(run_count) is not int
        or not 0 <= run_count < 2**31
        or (trace_id is not None and type(trace_id) is not str)
        or (headers is not None and not _are_headers(headers))
        or (expires is not None and not _is_number(expires))
    ):
        raise _misshapen(record)
    task.run_count, task.trace_id, task.headers, task.expires = run_count, trace_id, headers, expires
    task.extra = tuple(more[4:])


def _are_headers(value: object) -> bool:
    return type(value) is dict and all(type(part) is str for item in value.items() for part in item)


def _is_number(value: object) -> bool:
    """True for a number that can be written again: a float, or an integer of at most 64 bits."""
    return type(value) is float or (type(value) is int and -(2**63) <= value < 2**63)


def _start(serializer: str, compressor: str) -> bytes:
    """The head of every message of one codec, up to the length of the id."""
    start = bytes([_MAGIC, VERSION])
    for name in (serializer, compressor):
        text = name.encode("ascii")
        start += bytes([len(text)]) + text
    return start


def _heads(start: bytes) -> dict[int, bytes]:
    return {length: start + bytes([length]) for length in range(1, LONGEST_ID + 1)}


def _insist_on_a_name(kind: str, name: str) -> None:
    """Raise `DecodeError` unless the name could be an offer's: a name from a message never reaches an import."""
    if not is_offer_name(name):
        raise DecodeError(
            f"the message names the {kind} {_seen(name)}, which is no name of an offer; it was refused unread. "
            "Expected 1 to 32 of a-z, 0-9, _ and -"
        )


def _seen(name: str) -> str:
    return repr(name if len(name) <= 40 else name[:39] + "…")


def _find(find: Callable[[str], Any], kind: str, name: str) -> Any:
    try:
        return find(name)
    except LookupError:
        raise DecodeError(
            f'the message needs the {kind} "{name}", which is not installed here', parkable=True
        ) from None
    except Exception as error:
        # A broken plugin may be repaired later; options (a key) that only another queue configures will never come.
        raise DecodeError(
            f'the message needs the {kind} "{name}", which cannot be used here: {error}',
            parkable=isinstance(error, PluginError),
        ) from error


def _bad_id(id: object) -> EncodeError:
    return EncodeError(
        f"the task id is {str(id)[:50]!r}{'…' if len(str(id)) > 50 else ''}; expected a string of 1 to {LONGEST_ID} "
        "bytes in UTF-8"
    )


def _misshapen(record: Any) -> DecodeError:
    seen = ", ".join(type(field).__name__ for field in record)
    return DecodeError(f"the record of the message is ({seen[:200]}); expected at least the fields {', '.join(FIELDS)}")
