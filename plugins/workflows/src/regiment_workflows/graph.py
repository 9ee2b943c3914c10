"""A flow as a graph of nodes: written with names, or made from pieces. What cannot be is refused here, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import count
from typing import Any

from regiment.bounds import limit, seen, text
from regiment.task import new_id
from regiment_workflows.errors import GraphError
from regiment_workflows.keys import CHUNK, FORBIDDEN
from regiment_workflows.pieces import Chain, Group, Piece, Policy, Prev, Step, checked_policy
from regiment_workflows.runs import Run

LONGEST_ID = 100
INLINE = 1000
"""Members of a group that are not simple steps of one queue; each is a node of its own then."""


class Ref:
    """The value of a node, or a part of it: pass it to a step, and that waits for the node."""

    def __init__(self, node: Node, path: tuple[Any, ...] = ()) -> None:
        self.node, self.path = node, path

    def __getitem__(self, part: str | int) -> Ref:
        return Ref(self.node, Prev(self.path)[part].path)

    def __iter__(self) -> Any:
        raise TypeError(f'the value of step "{self.node.name}" is not there yet; it cannot be gone through')

    def __repr__(self) -> str:
        return self.node.name + "".join(f"[{part!r}]" for part in self.path)


Value = Ref | list[Any]
"""What a later step may be given: a reference, or a list of such."""


class Node:
    """A step, a group, or a gate, and what it waits for."""

    def __init__(self, name: str, kind: str, policy: Policy | None) -> None:
        self.name, self.kind, self.policy = name, kind, policy
        self.step: Step[Any] | None = None
        self.group: Group[Any] | None = None
        self.given: dict[str, Any] = {}
        self.refs: dict[str, Value] = {}
        self.needs: list[Node] = []
        self.after: list[str] = []
        self.timeout: float | None = None

    def need(self, nodes: Iterable[Node]) -> None:
        """Wait for these, too."""
        self.needs += [node for node in dict.fromkeys(nodes) if node not in self.needs]

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


class Flow:
    """A graph under construction: `add` steps, `gate`s; then `start` it. Passing a step's answer to another is waiting for it."""

    def __init__(
        self,
        name: str = "",
        *,
        on_error: Policy = "fail",
        deadline: float | None = None,
        tell: Step[Any] | None = None,
        inside: str = "",
        above: tuple[str, int | None] | None = None,
    ) -> None:
        if name and (not text(name, LONGEST_ID)):
            raise GraphError(f"the name of a flow is {seen(name)}; expected at most {LONGEST_ID} printable characters")
        if deadline is not None and not limit(deadline):
            raise GraphError(f"deadline is {seen(deadline)}; expected seconds above 0, or None")
        self.name, self.policy, self.deadline = name, checked_policy(on_error), deadline
        self.inside, self.above = inside, above
        """What begins the names of its steps, and the step (and which member) that has returned it, if it is a piece of a flow."""
        self.nodes: dict[str, Node] = {}
        self.value: Value | None = None
        self.teller: Step[Any] | None = None
        if tell is not None:
            self.on_error(tell)

    def __enter__(self) -> Flow:
        return self

    def __exit__(self, *_: object) -> None:
        """A block that shows what belongs together; it starts nothing."""

    # Writing

    def add(
        self,
        piece: Piece[Any],
        *,
        name: str = "",
        after: Sequence[Ref | str] = (),
        on_error: Policy | None = None,
    ) -> Any:
        """Add a piece. `after`: what it waits for beside what it is given, as answers of `add`, or names, also of steps that
        are added later. The answer stands for its value.
        """
        if not isinstance(piece, Piece):
            raise GraphError(f"add got {seen(piece)}; expected a step, as fetch.s() or s(fetch)")
        waits = [after] if isinstance(after, (Ref, str)) or not isinstance(after, Iterable) else list(after)
        for one in waits:
            self._mine(one)
        value = self._lower(piece, None, name, checked_policy(on_error), waits)
        return value

    def gate(self, name: str, *, timeout: float | None = None) -> Ref:
        """A step that nobody runs: it is done when `run.open(name, value)` says so; its value is that. If nobody has within
        `timeout` seconds of the start, the flow fails.
        """
        if timeout is not None and not limit(timeout):
            raise GraphError(f"timeout of the gate is {seen(timeout)}; expected seconds above 0, or None")
        node = self._node(name or "gate", "gate", None, named=True)
        node.timeout = timeout
        return Ref(node)

    def on_error(self, step: Step[Any]) -> None:
        """Push this step once if the flow fails; its one missing parameter, if it has one, gets the failure."""
        if not isinstance(step, Step) or len(step.missing) > 1:
            raise GraphError(f"on_error got {seen(step)}; expected a step with at most one parameter missing")
        self.teller = step

    def take(self, piece: Piece[Any]) -> None:
        """Be this piece: what `piece.start()` does."""
        self.value = self._lower(piece, None, "", None, [])

    def start(self, *, id: str | None = None) -> Run[Any]:
        """Start it, in one step: all of it, or nothing. With the `id` of a flow that is there already nothing is started, and
        the answer is the run of that (`existed`).
        """
        if id is not None and (not text(id, LONGEST_ID) or any(one in id for one in FORBIDDEN)):
            raise GraphError(
                f"id is {seen(id)}; expected 1 to {LONGEST_ID} printable characters, none of them / ! + ~ @"
            )
        self.settle()
        run: Run[Any] = import_module("regiment_workflows.starting").start(self, id or new_id())
        return run

    def settle(self) -> None:
        """Find what `after` names, and see that no step waits for itself."""
        if not self.nodes:
            raise GraphError("the flow has no steps; add one")
        for node in self.nodes.values():
            for name in node.after:
                if name not in self.nodes:
                    there = ", ".join(self.nodes)
                    raise GraphError(f'step "{node.name}" is to come after "{name}", which is none of: {there}')
                node.need([self.nodes[name]])
            node.after = []
        self._refuse_circles()

    def _refuse_circles(self) -> None:
        done, way = set[str](), list[str]()

        def visit(node: Node) -> None:
            if node.name in way:
                circle = [*way[way.index(node.name) :], node.name]
                raise GraphError(f"steps wait for each other in a circle: {' → '.join(reversed(circle))}")
            if node.name not in done:
                way.append(node.name)
                for other in node.needs:
                    visit(other)
                way.pop()
                done.add(node.name)

        for node in self.nodes.values():
            visit(node)

    # From pieces to nodes

    def _lower(
        self, piece: Piece[Any], before: Value | None, name: str, policy: Policy | None, after: Sequence[Ref | str]
    ) -> Value:
        """Add the nodes of a piece that comes after `before`; its value."""
        policy = piece.policy or policy
        if isinstance(piece, Chain):
            *firsts, last = piece.parts
            for one in firsts:
                before, after = self._lower(one, before, "", policy, after), ()
            return self._lower(last, before, name, policy, after)
        if isinstance(piece, Group):
            return self._group(piece, before, name, policy, after)
        if isinstance(piece, Step):
            return self._step(piece, before, name, policy, after)
        raise GraphError(f"{seen(piece)} is no piece of a flow")

    def _step(
        self, step: Step[Any], before: Value | None, name: str, policy: Policy | None, after: Sequence[Ref | str]
    ) -> Ref:
        node = self._node(name or step.label, "step", policy, named=bool(name))
        try:
            node.step = step
            node.given, node.refs = self._arguments(step, before)
            for value in node.refs.values():
                node.need(_nodes(value))
            self._wait(node, before, after)
        except BaseException:
            del self.nodes[node.name]
            raise
        return Ref(node)

    def _wait(self, node: Node, before: Value | None, after: Sequence[Ref | str]) -> None:
        node.need(_nodes(before))
        node.need(one.node for one in after if isinstance(one, Ref))
        node.after += [one for one in after if isinstance(one, str)]

    def _arguments(self, step: Step[Any], before: Value | None) -> tuple[dict[str, Any], dict[str, Value]]:
        """What is known of a step's arguments, and what comes from others."""
        given, refs, named = dict[str, Any](), dict[str, Value](), False
        for name, value in step.given.items():
            if isinstance(value, Prev):
                if before is None:
                    raise GraphError(f"{step.label}: {name} is {value!r}, and nothing comes before it")
                refs[name], named = _part_of(before, value.path, step.label), True
            elif (found := self._referred(value)) is not None:
                refs[name] = found
            else:
                given[name] = value
        missing = step.missing
        if missing and (before is None or named or len(missing) > 1):
            raise GraphError(_missing(step, missing, before, named))
        if missing:
            assert before is not None
            refs[missing[0]] = before
        elif before is not None and not named and step.parameters.__class__.__name__ == "Parameters":
            raise GraphError(
                f"{step.label}: the value of what comes before has no parameter to go to, for all are given; leave one out, or "
                f"say where it goes with prev. A step that only waits is written in a flow(), with after=[…]"
            )
        return given, refs

    def _referred(self, value: Any) -> Value | None:
        """The references in an argument: one, or a list of nothing else."""
        if isinstance(value, Ref):
            self._mine(value)
            return value
        if type(value) in (list, tuple) and value and all(isinstance(one, (Ref, list)) for one in value):
            found = [self._referred(one) for one in value]
            return None if None in found else found
        return None

    def _mine(self, one: Ref | str) -> None:
        if isinstance(one, Ref) and self.nodes.get(one.node.name) is not one.node:
            raise GraphError(f'step "{one.node.name}" belongs to another flow')
        if not isinstance(one, (Ref, str)):
            raise GraphError(f"after got {seen(one)}; expected what add or gate answered, or a name")

    def _group(
        self, group: Group[Any], before: Value | None, name: str, policy: Policy | None, after: Sequence[Ref | str]
    ) -> Value:
        first = group.first(CHUNK + 1)
        for member in first:
            if not isinstance(member, Piece):
                raise GraphError(f"a group has the member {seen(member)}; expected a step, as fetch.s() or s(fetch)")
        into = self._simple(first, before)
        if into is None:
            if len(first) > INLINE:
                raise GraphError(
                    f"a group of more than {INLINE:,} members takes plain steps of one queue, with the same missing "
                    f"parameter; put what is more than a step into a task that returns it as a piece"
                )
            base = name or group.label or "group"
            made = [
                self._lower(member, before, f"{base}-{index}" if name else "", policy, after)
                for index, member in enumerate(first)
            ]
            return made
        label = name or group.label or (getattr(first[0], "label", "") if first else "") or "group"
        node = self._node(label, "group", policy, named=bool(name))
        node.group = group
        if before is not None and into:
            node.refs = {into: before}
        self._wait(node, before, after)
        if (node.needs or node.after) and len(first) > CHUNK:
            raise GraphError(
                f"a group that comes after something may have {CHUNK:,} members; let the step before it return the group"
            )
        return Ref(node)

    def _simple(self, members: Sequence[Piece[Any]], before: Value | None) -> str | None:
        """The parameter into which all these simple steps take what comes before ("" for none); None if they are not simple."""
        into: str | None = None
        for one in members:
            if not isinstance(one, Step) or one.policy is not None:
                return None
            if one.outlet.config().name != members[0].outlet.config().name:  # type: ignore[attr-defined]
                return None
            if any(isinstance(value, Prev) or self._referred(value) is not None for value in one.given.values()):
                return None
            missing = one.missing
            mine = "".join(missing) if len(missing) < 2 else None
            if mine is None or (mine == "") != (before is None) or (into is not None and into != mine):
                return None
            into = mine
        return into if into is not None else ""

    def _node(self, name: str, kind: str, policy: Policy | None, *, named: bool) -> Node:
        if named:
            if not text(name, LONGEST_ID) or any(one in name for one in FORBIDDEN + "."):
                raise GraphError(
                    f"the name of a step is {seen(name)}; expected printable characters, none of them . / ! + ~ @"
                )
            if name in self.nodes:
                raise GraphError(f'the flow has a step "{name}" already; give one another name: add(…, name="…")')
        else:
            plain = re.sub(r"[^\w-]", "_", name)[:LONGEST_ID] or "step"
            name = next(one for one in (plain if n == 1 else f"{plain}-{n}" for n in count(1)) if one not in self.nodes)
        node = self.nodes[name] = Node(name, kind, policy)
        return node


def flow(name: str = "", **how: Any) -> Flow:
    """A graph of named steps: `with flow("nightly", deadline=3600) as f: page = f.add(fetch.s(url=u)); …`"""
    return Flow(name, **how)


def _nodes(value: Value | None) -> list[Node]:
    if value is None:
        return []
    return [value.node] if isinstance(value, Ref) else [node for one in value for node in _nodes(one)]


def _part_of(value: Value, path: tuple[Any, ...], label: str) -> Value:
    if isinstance(value, Ref):
        return Ref(value.node, (*value.path, *path))
    for part in path:
        if not isinstance(value, list) or not isinstance(part, int) or not -len(value) <= part < len(value):
            raise GraphError(
                f"{label}: prev[{part!r}] of a group of {len(value) if isinstance(value, list) else 1} members"
            )
        value = value[part]
        if isinstance(value, Ref):
            return Ref(value.node, (*value.path, *path[path.index(part) + 1 :]))
    return value


def _missing(step: Step[Any], missing: Sequence[str], before: Value | None, named: bool) -> str:
    names = ", ".join(missing)
    if before is None or named:
        return f"{step.label} needs {names}; got {', '.join(step.given) or 'nothing'}"
    return (
        f"{step.label} needs {names}, and only one of them can be the value of what comes before; give the others, or say "
        f"where it goes: {missing[0]}=prev"
    )
