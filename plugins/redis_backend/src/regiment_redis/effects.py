"""Effects as the scripts take them: flat lists of strings (`scripts/effects.lua`), and where each is to be applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from zlib import crc32

from regiment.contracts import Back, Done, Park, Settlement
from regiment.contracts.effects import MOST_MEMBERS, Arrive, Drop, Effect, Join, Keep, Seal, Send, Shut
from regiment.contracts.flow import check_tickets
from regiment_redis.asking import PRIORITIES, ms
from regiment_redis.tickets import charged
from regiment_redis.wire import Part

MOST_RANK = 2**53 - 1
LANES = "l"
"""Behind the number of a node: what is sent there is charged, and the queue has lanes."""


class Spot(NamedTuple):
    """Where a list of effects is applied: a node, and the stem of a queue there."""

    node: int
    stem: str


class Places:
    """What one script can reach: everything on one server, a queue's slot in a cluster, a node of several."""

    def __init__(self, stem: Callable[[str], str], *, clustered: bool = False, nodes: int = 1, by_queue: bool = False):
        self._stem, self._clustered, self._nodes, self._by_queue = stem, clustered, nodes, by_queue

    def home(self, queue: str) -> Spot:
        """Where the joins of a queue are, and what is applied to it without a lease."""
        return Spot(crc32(queue.encode("utf-8", "surrogateescape")) % self._nodes, self._stem(queue))

    def spot(self, node: int, queue: str) -> Spot:
        return Spot(node, self._stem(queue))

    def flat(self, spot: Spot, queue: str, token: str, effects: Iterable[Effect]) -> list[Part]:
        """Effects of something of `queue` for the script that runs at `spot`. `token` is that of the settlement (E9)."""
        parts: list[Part] = []
        for number, effect in enumerate(effects):
            for there in self._where(effect, spot, queue):
                if isinstance(effect, Send) and effect.tickets is not None and there != spot:
                    # With lanes a queue has scripts of its own.
                    entry = _charged("", effect)
                    parts += ("O", "", f"{there.node}{LANES} {there.stem}", f"{token}.{number}", packed(entry))
                elif there == spot:
                    self._add(parts, "", effect, spot, queue, f"{token}.{number}")
                elif there.node == spot.node and not self._clustered:
                    self._add(parts, there.stem, effect, there, queue, f"{token}.{number}")
                else:
                    entry = []
                    self._add(entry, "", effect, there, queue, f"{token}.{number}")
                    parts += ("O", "", f"{there.node} {there.stem}", f"{token}.{number}", packed(entry))
        return parts

    def _where(self, effect: Effect, spot: Spot, queue: str) -> Iterator[Spot]:
        stem = self._stem(effect.queue or queue)
        if self._nodes == 1:
            yield Spot(0, stem)
        elif isinstance(effect, Keep) or (isinstance(effect, Send) and effect.ids is None and not self._by_queue):
            yield Spot(spot.node, stem)  # records are looked for on all nodes, and tasks are leased from all
        elif isinstance(effect, Drop):
            yield from (Spot(node, stem) for node in range(self._nodes))
        else:
            yield self.home(effect.queue or queue)

    def _add(self, parts: list[Part], stem: str, effect: Effect, spot: Spot, queue: str, token: str) -> None:
        match effect:
            case Keep():
                parts += ("K", stem, effect.key, _ttl(effect.ttl), _body(effect))
            case Send():
                parts += _send(stem, effect)
            case Arrive():
                if not 0 <= effect.member < MOST_MEMBERS:
                    raise ValueError(f"member is {effect.member!r}; expected 0 to {MOST_MEMBERS - 1}")
                parts += ("A", stem, effect.join, effect.member)
            case Join():
                members = "" if effect.members is None else _members(effect.members)
                then = packed(self.flat(spot, effect.queue, token, effect.then))
                parts += ("J", stem, effect.name, members, max(ms(effect.ttl), 1), then)
            case Seal():
                parts += ("E", stem, effect.join, _members(effect.members))
            case Shut():
                parts += ("U", stem, effect.join, max(ms(effect.ttl), 1))
            case Drop():
                parts += ("D", stem, len(effect.keys), *effect.keys)

    def noted(self, queue: str, effects: Sequence[Effect]) -> list[Part] | None:
        """The arguments of the short way (`scripts/noted.lua`); None for effects that are no such push, or go to several places."""
        send, *keeps = effects or (None,)
        if (
            self._nodes > 1
            or type(send) is not Send
            or send[0] != queue
            or len(send[1]) != 1
            or send[2] not in PRIORITIES
        ):
            return None
        if send[3] > 0 or send[4] is not None or send[5] is not None or send[7] is not None:
            return None
        parts: list[Part] = [str(send[2]), send[1][0]]
        for keep in keeps:
            if type(keep) is not Keep or keep[4] or keep[5] is not None:
                return None
            parts += (_ttl(keep[2]), keep[0], _body(keep))
        return parts

    def of_receipts(
        self, node: int, queue: str, consumer: str, effects: Mapping[int, Sequence[Effect]], receipts: Iterable[int]
    ) -> tuple[list[Part], list[Effect]]:
        """The effects of these receipts on a node, in their order; and those of them that are more than a record beside the queue."""
        parts: list[Part] = []
        others: list[Effect] = []
        seconds: float | None = -1.0
        many = 0  # of the values that are being put down
        for receipt in sorted(receipts):
            some = effects[receipt]
            if len(some) == 1 and type(one := some[0]) is Keep and not one[4] and one[5] is None and not others:
                # A result, as most are: with those before it.
                if not many or one[2] != seconds:
                    seconds, many, count = one[2], 0, len(parts) + 2
                    parts += ("V", _ttl(seconds), "")
                parts += (str(receipt), one[0], _body(one))
                many += 1
                parts[count] = str(many)
            elif some:
                parts += ("R", receipt)
                parts += self.flat(self.spot(node, queue), queue, f"s {queue} {consumer} {receipt}", some)
                others += some
        return parts, others


def of_one(done: Done, effects: Mapping[int, Sequence[Effect]]) -> list[Part] | None:
    """The arguments for the effects of one receipt, and their number, if that is `done` and leaves nothing but a plain record."""
    for receipt, some in effects.items():
        if len(some) != 1 or type(one := some[0]) is not Keep or not done[0] <= receipt <= done[1]:
            continue
        if not one[4] and one[5] is None:
            return ["V", _ttl(one[2]), "1", str(receipt), one[0], _body(one), "6"]
    return None


def _ttl(seconds: float | None) -> str:
    return "" if seconds is None else str(max(ms(seconds), 1))


def _body(keep: Keep) -> bytes:
    rank = keep[3]
    if not 0 <= rank <= MOST_RANK:
        raise ValueError(f"rank is {rank!r}; expected 0 to 2**53 - 1")
    return (rank << 8 | keep[4]).to_bytes(8) + keep[1]


def _members(members: int) -> int:
    if not 0 <= members <= MOST_MEMBERS:
        raise ValueError(f"members is {members!r}; a join has 0 to {MOST_MEMBERS}")
    return members


def _send(stem: str, send: Send) -> list[Part]:
    if send.priority not in PRIORITIES:
        raise ValueError(f"priority is {send.priority!r}; the redis connector has 0 to 9")
    if send.tickets is not None:
        return _charged(stem, send)
    if send.ids is not None and len(send.ids) != len(send.payloads):
        raise ValueError(f"{len(send.ids)} ids for {len(send.payloads)} payloads; expected one for each")
    mode, due = ("in", ms(send.delay)) if send.delay > 0 else ("now", 0)
    if send.at is not None:
        mode, due = "at", ms(send.at)
    named = send.ids is not None
    if mode == "now" and not named and len(send.payloads) == 1:
        return ["T", stem, send.priority, send.payloads[0]]
    head: list[Part] = ["S", stem, send.priority, mode, due, ms(send.id_window), int(named), len(send.payloads)]
    return [*head, *(send.ids or ()), *send.payloads]


def _charged(stem: str, send: Send) -> list[Part]:
    if send.priority not in PRIORITIES:
        raise ValueError(f"priority is {send.priority!r}; the redis connector has 0 to 9")
    check_tickets(send.payloads, send.tickets or (), send.ids)
    mode, due = ("in", ms(send.delay)) if send.delay > 0 else ("now", 0)
    if send.at is not None:
        mode, due = "at", ms(send.at)
    head: list[Part] = ["F", stem, send.priority, mode, due, ms(send.id_window), len(send.payloads)]
    return head + charged(send.payloads, send.tickets or (), send.ids)


def charges(effects: Mapping[int, Sequence[Effect]] | Sequence[Sequence[Effect]]) -> bool:
    """Whether some of these send tasks with tickets."""
    lists = effects.values() if isinstance(effects, Mapping) else effects
    return any(
        (isinstance(one, Send) and one.tickets is not None) or (isinstance(one, Join) and charges([one.then]))
        for some in lists
        for one in some
    )


def sent_to(effects: Iterable[Effect]) -> set[str]:
    """The queues to which tasks are sent, also by joins."""
    found: set[str] = set()
    for effect in effects:
        if isinstance(effect, Send):
            found.add(effect.queue)
        elif isinstance(effect, Join):
            found |= sent_to(effect.then)
    return found


def packed(parts: Sequence[Part]) -> bytes:
    """A list of strings as `cmsgpack.unpack` reads it."""
    found = [b"\xdd%b" % len(parts).to_bytes(4)]
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogateescape")
        found.append(b"\xdb%b%b" % (len(data).to_bytes(4), data))
    return b"".join(found)


def settled(settlements: Sequence[Settlement], receipts: Iterable[int]) -> list[int]:
    """Those of the receipts that the settlements name first by `Done`, `Again` or `Dead` (E1)."""
    if len(settlements) == 1 and type(one := settlements[0]) is Done:
        return [receipt for receipt in receipts if one[0] <= receipt <= one[1]]
    singles: dict[int, tuple[int, bool]] = {}
    spans: list[tuple[int, int, int, bool]] = []
    for number, s in enumerate(settlements):
        ends = not isinstance(s, Back | Park)
        if not isinstance(s, Done | Back):
            singles.setdefault(s.receipt, (number, ends))
        elif s.first == s.last:
            singles.setdefault(s.first, (number, ends))
        else:
            spans.append((s.first, s.last, number, ends))
    found = []
    for receipt in receipts:
        named = [(number, ends) for first, last, number, ends in spans if first <= receipt <= last]
        if receipt in singles:
            named.append(singles[receipt])
        if named and min(named)[1]:
            found.append(receipt)
    return found


def within(spans: Iterable[tuple[int, int]], receipts: Iterable[int]) -> list[int]:
    """Those of the receipts that are in the spans."""
    spans = list(spans)
    return [receipt for receipt in receipts if any(first <= receipt <= last for first, last in spans)]
