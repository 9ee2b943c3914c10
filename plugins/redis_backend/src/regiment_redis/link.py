"""Which server a key lives on, and the call of a script there: one server, the primary of a sentinel set, a cluster."""

from __future__ import annotations

from typing import Any

from regiment.errors import StoreError, StoreUnavailable
from regiment_redis.address import Address
from regiment_redis.reach import connect, pack
from regiment_redis.scripts import Script
from regiment_redis.wire import Part, Refusal, Wire, refused

OLDEST = (6, 2)


class Link:
    """The way to one server; connects when something is asked, and again after whatever closed the connection."""

    def __init__(
        self,
        address: Address,
        timeout: float,
        connect_timeout: float,
        peer: tuple[str, int] | None = None,
    ):
        self.address = address
        self.timeout, self.connect_timeout = timeout, connect_timeout
        self.peer = peer
        self.wire: Wire | None = None
        self.connections = 0
        self.closed = False
        """True if its connector is closed: then it connects no more."""

    def link(self, key: str) -> Link:
        """The link for a key: this one."""
        return self

    def moved(self, refusal: Refusal) -> Link | None:
        """Where a cluster says that a key has gone; None: this is no cluster."""
        return None

    def locate(self) -> tuple[str, int] | None:
        """The server to connect to now; None: the address itself."""
        return self.peer

    def connect(self) -> Wire:
        """A new connection to a server that can do what the scripts need."""
        wire = connect(self.address, self.timeout, self.connect_timeout, self.locate())
        info = wire.ask(pack(("INFO", "server")))
        if isinstance(info, Refusal):
            wire.close()
            raise refused(info, wire.where)
        version = field(info, "redis_version")
        numbers = tuple(int(n) for n in version.split(".")[:2] if n.isdigit())
        if numbers < OLDEST:
            wire.close()
            raise StoreError(f"{wire.where} is Redis {version}; regiment needs 6.2 or later. Upgrade the server")
        return wire

    def ready(self) -> Wire:
        """The connection for commands, opened if need be."""
        wire = self.wire
        if wire is None or not wire.open:
            if self.closed:
                raise StoreError(f"the connector to {self.address} is closed; open it first")
            wire = self.wire = self.connect()
            self.connections += 1
        return wire

    def command(self, *parts: Part, pushing: bool = False) -> Any:
        """The reply to one command; error replies raise."""
        wire = self.ready()
        reply = wire.ask(pack(parts))
        if isinstance(reply, Refusal):
            raise self.judge(reply, wire, pushing)
        return reply

    def judge(self, reply: Refusal, wire: Wire, pushing: bool = False) -> StoreError:
        """The error to raise for an error reply. A server that is a replica now is left, so that the next call asks
        again who is the primary."""
        error = refused(reply, wire.where, pushing)
        if str(reply).startswith(("READONLY", "MASTERDOWN")) or "-READONLY " in str(reply):
            wire.close()
        return error

    def close(self) -> None:
        if self.wire is not None:
            self.wire.close()
        self.wire = None


class SentinelLink(Link):
    """The primary of a service, as its sentinels know it at the time of connecting."""

    def locate(self) -> tuple[str, int]:
        from regiment_redis import client

        return client.primary(self.address, self.timeout, self.connect_timeout)

    def connect(self) -> Wire:
        wire = super().connect()
        role = wire.ask(pack(("ROLE",)))
        if not isinstance(role, Refusal) and role[0] != b"master":
            wire.close()
            raise StoreUnavailable(
                f"{wire.where}, which the sentinels of {self.address} name as the primary, is a replica still; "
                "a fail-over is under way"
            )
        return wire


class ClusterLink(Link):
    """A cluster: a link to each of its primaries, and which slots are whose."""

    def __init__(self, address: Address, timeout: float, connect_timeout: float) -> None:
        from regiment_redis.client import key_slot

        super().__init__(address, timeout, connect_timeout)
        self._slot = key_slot
        self._links: dict[tuple[str, int], Link] = {}
        self._owners: list[tuple[int, int, tuple[str, int]]] = []

    def ready(self) -> Wire:
        return self.link("").ready()

    def link(self, key: str) -> Link:
        slot = self._slot(key.encode())
        if not self._owners:
            self._learn()
        for first, last, peer in self._owners:
            if first <= slot <= last:
                return self._to(peer)
        self._owners = []
        raise StoreUnavailable(f"{self.address} serves no slot {slot} now; is the cluster complete?")

    def moved(self, refusal: Refusal) -> Link | None:
        words = str(refusal).split()
        host, _, port = words[2].rpartition(":")
        self._owners = []
        return self._to((host.strip("[]") or self.address.hosts[0][0], int(port)))

    def forget(self) -> None:
        """Ask for the slots again: a server that answered before does not."""
        self._owners = []

    def links(self) -> list[Link]:
        """A link to every primary."""
        if not self._owners:
            self._learn()
        return [self._to(peer) for peer in dict.fromkeys(owner[2] for owner in self._owners)]

    def _to(self, peer: tuple[str, int]) -> Link:
        if peer not in self._links:
            self._links[peer] = _Member(self, peer)
        return self._links[peer]

    def _learn(self) -> None:
        problems = []
        for host in dict.fromkeys([*self._links, *self.address.hosts]):
            try:
                wire = connect(self.address, self.timeout, self.connect_timeout, host)
                try:
                    reply = wire.ask(pack(("CLUSTER", "SLOTS")))
                finally:
                    wire.close()
            except StoreUnavailable as error:
                problems.append(str(error))
                continue
            if isinstance(reply, Refusal):
                if "cluster support disabled" in str(reply):
                    raise StoreError(f"{wire.where} is no cluster; use redis://{wire.where}")
                raise refused(reply, wire.where)
            owners = [
                (int(first), int(last), ((primary[0] or b"").decode() or host[0], int(primary[1])))
                for first, last, primary, *_ in reply
            ]
            if owners:
                self._owners = owners
                return
            problems.append(f"{wire.where} serves no slots")
        raise StoreUnavailable(f"no node of {self.address} knows who serves what: {'; '.join(problems)}")

    def close(self) -> None:
        for link in self._links.values():
            link.close()


class _Member(Link):
    """The link to one node of a cluster."""

    def __init__(self, cluster: ClusterLink, peer: tuple[str, int]) -> None:
        super().__init__(cluster.address, cluster.timeout, cluster.connect_timeout, peer)
        self._cluster = cluster

    def ready(self) -> Wire:
        self.closed = self._cluster.closed
        if self.wire is None or not self.wire.open:
            # Whatever broke the connection may have made another node the primary of these slots.
            self._cluster.forget()
        return super().ready()

    def moved(self, refusal: Refusal) -> Link | None:
        return self._cluster.moved(refusal)


def link_to(address: Address, timeout: float, connect_timeout: float) -> Link:
    """The link that an address needs."""
    kinds: dict[str, type[Link]] = {"sentinel": SentinelLink, "cluster": ClusterLink}
    kind = kinds.get(address.kind, Link)
    return kind(address, timeout, connect_timeout)


def field(info: bytes, name: str) -> str:
    """One field of an INFO reply; empty if it is not there."""
    for line in info.decode(errors="replace").splitlines():
        key, colon, value = line.partition(":")
        if colon and key == name:
            return value
    return ""


NO_LANES = "NOFLOW"
"""How a script for a queue with lanes says that this one has none."""


class NoLanes(StoreError):
    """A verb that asks about lanes met a queue that has none."""


class HasLanes(StoreError):
    """An exchange of a queue that was thought to have no lanes met one that has."""


def has_lanes(text: str) -> bool:
    """Whether a script without flow met a queue with lanes: it says so, or finds what it cannot read (`scripts/begin.lua`)."""
    return text.startswith("ISFLOW") or "WRONGTYPE" in text or "data string too short" in text


class Scripts:
    """Calls scripts by their sum, and sends a script's text where the server does not have it."""

    def __init__(self, root: Link) -> None:
        self.root = root
        self.lanes: set[str] = set()
        """Stems of queues that are known to have lanes (extra `flow`): their scripts are the twins."""

    def run(self, script: Script, key: str, *args: Part, pushing: bool = False) -> Any:
        """The reply of a script on the server of `key`."""
        script = self.of(script, key)
        link = self.root.link(key)
        wire = link.wire
        if wire is None or not wire.open:
            wire = link.ready()
        command = pack(("EVALSHA", script.sha, 1, key, *args))
        reply = wire.ask(command)
        if isinstance(reply, Refusal):
            return self.again(link, wire, script, command, reply, pushing, key)
        return reply

    def of(self, script: Script, key: str) -> Script:
        """The script, or its twin if this queue has lanes."""
        return script.twin if self.lanes and key in self.lanes and not script.flow else script

    def again(
        self,
        link: Link,
        wire: Wire,
        script: Script,
        command: bytes,
        reply: Any,
        pushing: bool = False,
        key: str = "",
    ) -> Any:
        """The reply after an error reply: the script is sent first, or its twin, or a cluster's other node asked."""
        # A refused script has done nothing, so it may be sent again at once.
        told: Refusal | None = None
        for _ in range(8):
            if not isinstance(reply, Refusal):
                return reply
            text = str(reply)
            if text.startswith("NOSCRIPT"):
                loaded = wire.ask(pack(("SCRIPT", "LOAD", script.text)))
                if isinstance(loaded, Refusal):
                    raise link.judge(loaded, wire, pushing)
            elif text.startswith("MOVED") and (there := link.moved(reply)) is not None:
                link = there
                wire = link.ready()
            elif key and told is None and (other := self._other(script, key, text)) is not None:
                told, command = reply, command.replace(script.sha.encode(), other.sha.encode(), 1)
                script = other
            elif text.startswith(NO_LANES):
                self.lanes.discard(key)
                raise NoLanes(text) if told is None else link.judge(told, wire, pushing)
            elif not key and not script.flow and has_lanes(text):
                raise HasLanes(str(link.judge(reply, wire)))
            else:
                raise link.judge(reply, wire, pushing)
            reply = wire.ask(command)
        if isinstance(reply, Refusal):
            raise link.judge(reply, wire, pushing)
        return reply

    def _other(self, script: Script, key: str, text: str) -> Script | None:
        """The script to run after this refusal, if the queue has lanes and was thought to have none, or the other way round."""
        if script.flow and text.startswith(NO_LANES) and script.plain is not None:
            self.lanes.discard(key)
            return script.plain
        if not script.flow and has_lanes(text):
            self.lanes.add(key)
            return script.twin
        return None

    def run_all(self, script: Script, calls: list[tuple[str, list[Part]]]) -> list[Any]:
        """Several calls of a script, one round trip for each server."""
        replies: list[Any] = [None] * len(calls)
        groups: dict[Link, list[int]] = {}
        for i, (key, _) in enumerate(calls):
            groups.setdefault(self.root.link(key), []).append(i)
        for link, indexes in groups.items():
            asked = [self.of(script, calls[i][0]) for i in indexes]
            commands = [
                pack(("EVALSHA", one.sha, 1, calls[i][0], *calls[i][1])) for one, i in zip(asked, indexes, strict=True)
            ]
            wire = link.ready()
            for one, i, command, reply in zip(asked, indexes, commands, wire.ask_all(commands), strict=True):
                if isinstance(reply, Refusal):
                    reply = self.again(link, link.ready(), one, command, reply, key=calls[i][0])
                replies[i] = reply
        return replies
