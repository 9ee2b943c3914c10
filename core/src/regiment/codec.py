"""Tasks to bytes and back: the envelope (`docs/wire-format.md`).

    magic 0xA9 · version · length, serializer · length, compressor · length, task id · body · CRC-32

The head can be read without any serializer. The checksum covers everything: a damaged message becomes a dead letter and
never runs with arguments that were not pushed. It is not a signature; `pickle` has its own. A record that is kept beside a
queue has the same envelope with magic 0xAA, and an empty id.
"""

from __future__ import annotations

from functools import cache
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from regiment.config import is_offer_name
from regiment.culprit import find_culprit
from regiment.errors import DecodeError, EncodeError, Forged, PayloadTooLarge, PluginError
from regiment.task import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from regiment.contracts import Compressor, Followed, Serializer

VERSION = 2
"""The newest version of a message: 1, or 2 with tags. A release that knows no tags parks version 2, and never runs it untagged."""
LONGEST_ID = 200
"""Bytes of the longest task id, in UTF-8."""
SMALL = 256
"""Bodies of fewer bytes are not compressed: it would cost more than it saves."""
FIELDS = ("name", "kwargs", "date", "run_count", "trace_id", "headers", "expires", "tags")
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
_MAGIC, _RECORD = 0xA9, 0xAA
_VERSIONS = {_MAGIC: VERSION, _RECORD: 1}
"""First byte of an envelope -> its newest version."""
_TAGGED = bytes([_MAGIC, VERSION])
_TRAILER = 4
_RESIDUE = 0x2144DF1C
"""CRC-32 of any bytes followed by their own CRC-32 (little-endian): checks a message without slicing it."""


class Head(NamedTuple):
    """What an envelope says about itself; its body is `payload[head.body:-4]`."""

    version: int
    serializer: str
    compressor: str | None
    task_id: str
    body: int


def read_head(payload: bytes, magic: int = _MAGIC) -> Head:
    """The head of a message (or of a record, by its `magic`), without its serializer.

    `DecodeError` if the bytes are damaged or not regiment's; `parkable` if they are whole and of a newer version.
    """
    if len(payload) < 5 + _TRAILER or payload[0] != magic:
        raise DecodeError(
            f"not a message of regiment: {len(payload):,} bytes that start with {payload[:8].hex(' ') or 'nothing'}; "
            f"expected {magic:02x} 01"
        )
    if crc32(payload) != _RESIDUE:
        raise DecodeError(f"the message is damaged: its checksum does not match its {len(payload):,} bytes")
    version, newest = payload[1], _VERSIONS[magic]
    if not 0 < version <= newest:
        raise DecodeError(
            f"the message has envelope version {version}; this release reads {newest}. A newer regiment wrote it: "
            "upgrade the workers of this queue",
            parkable=version > newest,
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
        self._plain, self._packed = _start(self._name, ""), _start(self._name, compressor[0] if compressor else "")
        self._shapes: dict[int, tuple[Callable[[bytes], tuple[Any, ...]], bytes]] = {}
        # The head up to the id, for each length that an id may have: one look-up writes it and checks the id.
        self._plain_heads = _heads(self._plain)
        self._packed_heads = _heads(self._packed)
        self._record_heads = [bytes([_RECORD]) + start[1:] + b"\0" for start in (self._plain, self._packed)]

    def encode(self, task: Task) -> bytes:
        """The message of a task. `EncodeError` names the value that cannot be serialized; else `PayloadTooLarge`."""
        record, heads = [task.name, task.kwargs, task.date], self._plain_heads
        if len(task.__dict__) > _ORDINARY:
            more: tuple[Any, ...] = (task.run_count, task.trace_id, task.headers, task.expires)
            if task.tags or task.extra:
                more += (task.tags, *task.extra)
                heads = _heads(_TAGGED + self._plain[2:]) if task.tags else heads
            if more != _DEFAULTS:
                record += more
        try:
            body = self._dumps(record)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise self._refused(record, error) from error
        if self._compress is not None and len(body) >= SMALL:
            if len(body) > self._limit:
                raise self._too_large(task, len(body))
            body, heads = self._compress(body), _heads(_TAGGED + self._packed[2:]) if task.tags else self._packed_heads
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
                envelope, record = self._open(payload, queue)
                self._learn_shape(payload, envelope)
                id = envelope.task_id
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

    def pack(self, value: Any, where: Followed) -> bytes:
        """The bytes of a record that is kept at `where`; a signature is worth nothing anywhere else. Errors as `encode`."""
        place = "\0".join(where)
        try:
            body = self._dumps([place, value] if self._serializers[self._name].executes else value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise self._refused([value], error, ("value",)) from error
        head, size = self._record_heads[0], len(body)
        if self._compress is not None and SMALL <= size <= self._limit:
            head, body = self._record_heads[1], self._compress(body)
        data = head + (body if self._seal is None else self._seal(head, place, body))
        if size > self._limit or len(data) + _TRAILER > self._limit:
            raise self._too_large(f"the record {where[1]!r}", max(size, len(data) + _TRAILER))
        return data + crc32(data).to_bytes(_TRAILER, "little")

    def unpack(self, data: bytes, where: Followed) -> Any:
        """The value of the record that was kept at `where`; `DecodeError`, or `Forged`, as `decode`."""
        place = "\0".join(where)
        try:
            head, value = self._open(data, place, _RECORD)
            if not self._serializer(head.serializer).executes:
                return value
            if type(value) is list and len(value) == 2 and value[0] == place:
                return value[1]
            raise Forged("it was signed for another place")
        except Exception as error:
            known = error if isinstance(error, DecodeError) else DecodeError(f"{type(error).__name__}: {error}"[:300])
            known.args = (f"the record {_seen(where[1])} of queue {where[0]!r} cannot be read: {known}",)
            raise known from error.__cause__

    def like(self, head: Head) -> Codec:
        """A codec that writes with the parts of a message; `DecodeError` if they may not be used here."""
        serializer, compressor = self._serializer(head.serializer), head.compressor
        packs = None if compressor is None else (compressor, self._compressor(compressor))
        how = {"payload_limit": self._limit, "accept": self._accept}
        found = {"find_serializer": self._find_serializer, "find_compressor": self._find_compressor}
        return Codec((head.serializer, serializer), packs, **how, **found)  # type: ignore[arg-type]

    def _open(self, payload: bytes, queue: str, magic: int = _MAGIC) -> tuple[Head, Any]:
        """Head and value of a record, of a message whose shape differs from the last one of its length, or of foreign bytes."""
        if len(payload) > self._limit:
            raise DecodeError(
                f"the message has {len(payload):,} bytes, more than the {self._limit:,} that payload_limit allows; "
                "it was not decoded"
            )
        head = read_head(payload, magic)
        serializer = self._serializer(head.serializer)
        body = payload[head.body : -_TRAILER]
        if hasattr(serializer, "unseal"):
            body = serializer.unseal(payload[: head.body], queue, body)
        if head.compressor is not None:
            body = self._compressor(head.compressor).decompress(body, self._limit)
            if len(body) > self._limit:
                made = f"{head.compressor} made {len(body):,} bytes of the message"
                raise DecodeError(f"{made}; the limit is {self._limit:,}")
        return head, serializer.loads(body)

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
            if self._accept is not None and name not in self._accept:
                raise DecodeError(
                    f"the message was serialized by {_seen(name)}, and this queue accepts "
                    f"{', '.join(sorted(self._accept))}; it was refused unread. Add it to accept if it may be read here"
                )
            found = _find(self._find_serializer, "serializer", name, listed=self._accept is not None)
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
            found = self._compressors[name] = _find(self._find_compressor, "compressor", name)
        return found

    def _refused(self, record: list[Any], error: Exception, fields: tuple[str, ...] = FIELDS) -> EncodeError:
        path, culprit, error = find_culprit(self._dumps, record, error, fields)
        return EncodeError(
            f"{path}: a value of type {type(culprit).__name__} cannot be serialized by {self._name}; "
            f"{str(error)[:300] or type(error).__name__}"
        )

    def _too_large(self, what: object, size: int) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"{what} has {size:,} bytes when encoded; payload_limit is {self._limit:,}. Nothing was sent. Store the "
            "data elsewhere (regiment-claims does it) or raise payload_limit for producers and workers alike"
        )


def _complete(task: Task, record: list[Any], more: list[Any]) -> None:
    """Set the fields that only some tasks have; `DecodeError` if one has another type than this release writes."""
    if len(more) < 4:
        raise _misshapen(record)
    run_count, trace_id, headers, expires, tags, *extra = more if len(more) > 4 else (*more, None)
    if (
        type(run_count) is not int
        or not 0 <= run_count < 2**31
        or (trace_id is not None and type(trace_id) is not str)
        or (headers is not None and not _are_headers(headers))
        or (expires is not None and not _is_number(expires))
        or (tags is not None and (type(tags) is not dict or not all(type(name) is str for name in tags)))
    ):
        raise _misshapen(record)
    task.run_count, task.trace_id, task.headers, task.expires = run_count, trace_id, headers, expires
    task.tags, task.extra = tags or None, tuple(extra)


def _are_headers(value: object) -> bool:
    return type(value) is dict and all(type(part) is str for item in value.items() for part in item)


def _is_number(value: object) -> bool:
    """True for a number that can be written again: a float, or an integer of at most 64 bits."""
    return type(value) is float or (type(value) is int and -(2**63) <= value < 2**63)


def _start(serializer: str, compressor: str) -> bytes:
    """The head of every message of one codec, up to the length of the id."""
    start = bytes([_MAGIC, 1])
    for name in (serializer, compressor):
        text = name.encode("ascii")
        start += bytes([len(text)]) + text
    return start


@cache
def _heads(start: bytes) -> dict[int, bytes]:
    return {length: start + bytes([length]) for length in range(1, LONGEST_ID + 1)}


def _seen(name: str) -> str:
    return repr(name if len(name) <= 40 else name[:39] + "…")


def _find(find: Callable[[str], Any], kind: str, name: str, *, listed: bool = False) -> Any:
    """The part that a message names. A name that `accept` does not list and that is no offer's never reaches an import."""
    what = f'the message needs the {kind} "{name}", which'
    if not listed and not is_offer_name(name):
        raise DecodeError(
            f"the message names the {kind} {_seen(name)}, which is no name of an offer; it was refused unread. "
            "Expected 1 to 32 of a-z, 0-9, _ and -"
        )
    try:
        return find(name)
    except LookupError:
        raise DecodeError(f"{what} is not installed here", parkable=True) from None
    except Exception as error:
        # A broken plugin may be repaired later; options (a key) that only another queue configures will never come.
        parkable = isinstance(error, PluginError)
        raise DecodeError(f"{what} cannot be used here: {error}", parkable=parkable) from error


def _bad_id(id: object) -> EncodeError:
    return EncodeError(
        f"the task id is {str(id)[:50]!r}{'…' if len(str(id)) > 50 else ''}; expected a string of 1 to {LONGEST_ID} "
        "bytes in UTF-8"
    )


def _misshapen(record: Any) -> DecodeError:
    seen = ", ".join(type(field).__name__ for field in record)
    fields = ", ".join(FIELDS[:7])
    return DecodeError(f"the record of the message is ({seen[:200]}); expected at least the fields {fields}")
