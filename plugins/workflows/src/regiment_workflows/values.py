"""Values of earlier steps, as later ones get them: read from the records when the step starts (W4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

from regiment.codec import Codec
from regiment.config import WorkerConfig
from regiment.contracts import Record
from regiment.errors import DecodeError
from regiment_results.keepers import OURS, fetched, keepers_of
from regiment_results.records import FINAL, Outcome, key_of, read
from regiment_workflows.errors import ValueGone
from regiment_workflows.keys import CHUNK, count_key, flow_key, task_id

Ask = Callable[[str, Sequence[str]], Sequence[Record | None]]
"""Records of a queue by their keys; it asks again where an answer is missing."""
Wire = Sequence[Any]
"""A reference in a message: ["s", queue, id, path], ["g", queue, flow, node, count or None, flat, path], ["l", references],
["e", queue, flow] (how the flow has failed)."""


class Failed(NamedTuple):
    """In place of a value: the step has failed for good, and its policy is "continue". It is false in an `if`."""

    id: str
    kind: str
    """failure, timeout, fail, poison, expired, cancelled, unreadable, unknown"""
    type: str
    message: str

    def __bool__(self) -> bool:
        return False


class Values:
    """Reads what references stand for."""

    def __init__(self, ask: Ask, codec: Codec, config: WorkerConfig) -> None:
        self._ask, self._codec, self._config = ask, codec, config

    def of(self, refs: Mapping[str, Wire]) -> dict[str, Any]:
        """The values of references by name, with one request for each queue that keeps some of them."""
        wanted: dict[str, dict[str, None]] = {}
        for ref in refs.values():
            _wanted(ref, wanted)
        found: dict[tuple[str, str], Record | None] = {}
        for queue, keys in wanted.items():
            for key, record in zip(keys, self._ask(queue, list(keys)), strict=True):
                found[queue, key] = record
        return {name: self._value(ref, found) for name, ref in refs.items()}

    def one(self, ref: Wire) -> Any:
        """The value of one reference."""
        return self.of({"": ref})[""]

    def _value(self, ref: Wire, found: Mapping[tuple[str, str], Record | None]) -> Any:
        if ref[0] == "l":
            return [self._value(one, found) for one in ref[1]]
        if ref[0] == "e":
            return failure(found[ref[1], flow_key(ref[2])])
        if ref[0] == "g":
            number = ref[4]
            if number is None:
                record = found[ref[1], count_key(ref[2], ref[3])]
                if record is None:
                    raise ValueGone(
                        f'the values of group "{ref[3]}" of flow {ref[2]} are gone: their time to live is over'
                    )
                number = json.loads(record.value)
            chunks = Members(self, ref[1], ref[2], ref[3], number)
            return _part(Flat(chunks) if ref[5] else chunks, ref[6])
        return _part(self.outcome(ref[1], ref[2], found[ref[1], key_of(ref[2])]), ref[3])

    def outcome(self, queue: str, id: str, record: Record | None) -> Any:
        """The value of a step's record; `Failed` if it has none because it failed. From a step that has returned a piece it is
        that of the piece, and so on, however long that row is.
        """
        while True:
            if record is None or record.rank < FINAL:
                raise ValueGone(
                    f"the value of task {id} of queue {queue} is not there (any more): what a flow keeps lives Workflows(ttl=…) "
                    f"seconds from the end of each step"
                )
            ended = read(self._codec, record, (queue, key_of(id)))
            assert isinstance(ended, Outcome)
            if not ended.success:
                error = ended.error
                return Failed(id, ended.kind, error.type if error else "", error.message if error else "")
            if not ended.lack:
                return ended.value
            if ended.lack[0] not in OURS:
                what = f"the value of task {id} of queue {queue}"
                try:
                    return fetched(keepers_of(self._config), ended.lack, self._config, what)
                except LookupError as error:
                    raise ValueGone(f"{what} cannot be read: {error}") from error
            if ended.lack[0] != "piece":
                raise ValueGone(
                    f"the value of task {id} of queue {queue} was not kept: {ended.lack[0]} {ended.lack[1]}"
                )
            ref = ended.lack[1]
            if ref[0] != "s" or ref[3]:
                return self.one(ref)
            queue, id = ref[1], ref[2]
            record = self._ask(queue, [key_of(id)])[0]

    def many(self, queue: str, ids: Sequence[str]) -> list[Any]:
        """The values of many steps of one queue."""
        records = self._ask(queue, [key_of(id) for id in ids])
        return [self.outcome(queue, id, record) for id, record in zip(ids, records, strict=True)]


class Members(Sequence[Any]):
    """The values of a group's members, in order; they are read when they are gone through, 1,000 at a time."""

    def __init__(self, values: Values, queue: str, flow: str, node: str, number: int) -> None:
        self._values, self._queue, self._flow, self._node, self._number = values, queue, flow, node, number

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[Any]:
        for at in range(0, self._number, CHUNK):
            yield from self._read(range(at, min(self._number, at + CHUNK)))

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        found = range(self._number)[index]
        return self._read([found])[0] if isinstance(found, int) else self._read(found)

    def _read(self, indexes: Sequence[int]) -> list[Any]:
        return self._values.many(self._queue, [task_id(self._flow, self._node, index) for index in indexes])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash((self._queue, self._flow, self._node))

    def __repr__(self) -> str:
        return f"<values of {self._number:,} members of {self._node}>"


class Flat(Sequence[Any]):
    """What the chunks of a map have made, item by item. A chunk that has failed stands as one `Failed`."""

    def __init__(self, chunks: Members) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[Any]:
        for part in self._chunks:
            if isinstance(part, Failed):
                yield part
            else:
                yield from part

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and index >= 0:
            for at, value in enumerate(self):
                if at == index:
                    return value
            raise IndexError(index)
        return list(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def failure(record: Record | None) -> Failed | None:
    """How a flow has failed, from its record."""
    told = {} if record is None else json.loads(record.value)
    return Failed(told.get("id", ""), told["kind"], told["type"], told["message"]) if "kind" in told else None


def _part(value: Any, path: Sequence[Any]) -> Any:
    for at, part in enumerate(path):
        if isinstance(value, Failed):
            return value
        try:
            value = value[part]
        except (LookupError, TypeError) as error:
            way = "".join(f"[{one!r}]" for one in path[: at + 1])
            raise ValueGone(f"the value that comes before has no {way}: {type(error).__name__}: {error}") from error
    return value


def _wanted(ref: Wire, wanted: dict[str, dict[str, None]]) -> None:
    if ref[0] == "l":
        for one in ref[1]:
            _wanted(one, wanted)
    elif ref[0] == "e":
        wanted.setdefault(ref[1], {})[flow_key(ref[2])] = None
    elif ref[0] == "g":
        if ref[4] is None:
            wanted.setdefault(ref[1], {})[count_key(ref[2], ref[3])] = None
    else:
        wanted.setdefault(ref[1], {})[key_of(ref[2])] = None


__all__ = ["DecodeError", "Failed", "Flat", "Members", "Values", "failure"]
