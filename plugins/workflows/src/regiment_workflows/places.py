"""Where steps go: their queues, brokers and messages; and what cannot be in one flow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from regiment.broker import Broker
from regiment.errors import ConfigError, DecodeError
from regiment.pushing import Pushing
from regiment.registry import registry
from regiment_workflows.errors import GraphError
from regiment_workflows.graph import Node
from regiment_workflows.pieces import Step
from regiment_workflows.settings import Choices


def alike(step: Step[Any]) -> Any:
    return id(step.task), step.mapped, repr(sorted(step.asked.items())) if step.asked else ""


def pushing_of(step: Step[Any]) -> Pushing[...]:
    # What a flow needs of a result it keeps itself.
    asked = step if "result" in step.asked or "result" not in step.outlet.offered() else step.options(result=False)
    return asked.pushing()


def queue_of(step: Step[Any]) -> str:
    return str(step.asked.get("queue") or step.outlet.config().name)


def brokers_of(nodes: Iterable[Node], teller: Step[Any] | None) -> dict[str, tuple[Broker, Choices]]:
    """Queue -> broker and settings, of all that the flow goes through; `GraphError` if they cannot be in one flow."""
    found: dict[str, tuple[Broker, Choices]] = {}
    first: Broker | None = None
    for step in [*_steps(nodes), *([teller] if teller else [])]:
        queue = queue_of(step)
        if queue in found:
            continue
        broker = step.outlet.broker()
        if first is None:
            first = broker
        elif _place(broker) != _place(first):
            raise GraphError(
                f"the step {step.label} lives in {_place(broker)[0]}, and the flow lives in {_place(first)[0]}; expected one "
                f"connector with the same options, for a flow goes on in the step that settles a task, and that is in one "
                f"store. Push it from a task with its own push(…)"
            )
        found[queue] = broker, choices_of(broker)
    if not found:
        raise GraphError("the flow has nothing to run: an empty group alone has no queue; add a step after it")
    _readable(found)
    return found


def _steps(nodes: Iterable[Node]) -> Iterator[Step[Any]]:
    for node in nodes:
        if node.step is not None:
            yield node.step
        elif node.group is not None:
            first: list[Any] = [*node.group.first(1), node.group.model]
            yield from (one for one in first[:1] if isinstance(one, Step))


def choices_of(broker: Broker) -> Choices:
    """The settings of the extension of a broker's queue; `GraphError` without it, for who runs there could not go on."""
    scope = registry().scope(broker.config.plugins)
    for _, plugin in scope.pm.list_name_plugin():
        if isinstance(plugin, Choices):
            return plugin
    name = broker.config.name
    raise GraphError(
        f'the queue "{name}" takes no part in flows; name the extension: Queue("{name}", plugins=[Workflows()]), or FlowQueue("{name}")'
    )


def _place(broker: Broker) -> tuple[Any, ...]:
    options = {**getattr(broker.make, "keywords", {}), "push_durability": None}
    made = broker.make()
    return made.describe(), type(made), options


def _readable(found: Mapping[str, tuple[Broker, Choices]]) -> None:
    """Every queue must be able to read what the others write."""
    written = {}
    for queue, (broker, _) in found.items():
        written[broker.config.serializer if isinstance(broker.config.serializer, str) else queue] = queue, broker
    for queue, (reader, _) in found.items():
        for other, writer in written.values():
            where = other, "w:"
            try:
                reader.codec.unpack(writer.codec.pack(None, where), where)
            except (DecodeError, ConfigError) as error:
                raise GraphError(
                    f'the queue "{queue}" cannot read what "{other}" writes, so its steps cannot get values from there: {error}'
                ) from error
