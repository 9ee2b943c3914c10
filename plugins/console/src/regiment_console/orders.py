"""`regiment workers quiet|drain|resume`: orders to the trees of a host, on the boards of the queues that they serve."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

import click

from regiment.contracts.steer import Steered
from regiment.errors import RegimentError, nearest
from regiment_cli.printing import say
from regiment_cli.serving import Tree, trees
from regiment_cli.text import many
from regiment_console.acting import account
from regiment_console.steering import steered
from regiment_console.store import Store, open_store, store_options


def _verb(name: str, help: str) -> Callable[[Callable[..., None]], click.Command]:
    """A verb with the arguments that all three have."""

    def made(function: Callable[..., None]) -> click.Command:
        function.__doc__ = help
        for decorate in (
            store_options,
            click.option("--reason", help="Why; kept with the account of what was done."),
            click.argument("whom", metavar="HOST|HOST:PID|PID"),
        ):
            function = decorate(function)
        return click.command(name)(function)

    return made


def _quiet(whom: str, reason: str | None, app: str | None, connector: str | None) -> None:
    _give("quiet", whom, reason, app, connector, "lease nothing more and finish what they have")


def _drain(whom: str, reason: str | None, app: str | None, connector: str | None) -> None:
    _give("drain", whom, reason, app, connector, "lease nothing more, finish what they have, and end")


quiet = _verb(
    "quiet",
    "Let the workers of a host, or of one supervisor, lease nothing more; what they have is finished, and they stay.",
)(_quiet)
drain = _verb(
    "drain",
    "Let the workers of a host, or of one supervisor, lease nothing more and end when what they have is finished.",
)(_drain)


def _give(order: str, whom: str, reason: str | None, app: str | None, connector: str | None, what: str) -> None:
    with open_store(app, connector) as store:
        steered(store.looking, f"regiment workers {order}")
        known = trees(store.looking)
        key = _key(whom)
        meant = [tree for tree in known if key in tree.orders]
        queues = sorted({queue for tree in meant for queue in tree.workers.values()})
        if not queues:
            raise RegimentError(_nobody(whom, known, store))
        _post(store, queues, {key: order}, order, reason)
    number = sum(len(tree.workers) for tree in meant)
    say(f"told {many(number, 'worker')} of {key.partition(':')[2]} ({', '.join(queues)}) to {what}")
    if order == "drain" and key.startswith("host:"):
        say(f"  a supervisor that starts there ends as well, until regiment workers resume {whom}")
    else:
        say(f"  until regiment workers resume {whom}")


def _resume(whom: str, reason: str | None, app: str | None, connector: str | None) -> None:
    with open_store(app, connector) as store:
        looking = steered(store.looking, "regiment workers resume")
        key = _key(whom)
        given = {queue: looking.board(queue).orders for queue in looking.queues()}
        own = f"tree:{whom}:" if key.startswith("host:") else key
        taken: dict[str, list[str]] = {}
        for queue, orders in given.items():
            for name in orders:
                if name == key or (key.startswith("host:") and name.startswith(own)):
                    taken.setdefault(queue, []).append(name)
        for queue, names in taken.items():
            _post(store, [queue], dict.fromkeys(names), "resume workers", reason)
        left = sorted({orders[host] for orders in given.values() if (host := _host(key)) in orders and host != key})
        known = sorted({name.partition(":")[2] for orders in given.values() for name in orders})
    if not taken:
        have = f"Orders stand for: {', '.join(known)}" if known else "Nobody has an order."
        raise RegimentError(f"no order stands for {whom}.{nearest(whom, known)} {have}")
    say(f"took back {', '.join(sorted({name for names in taken.values() for name in names}))} ({', '.join(taken)})")
    if left:
        say(f"  its host is still told to {', '.join(left)}: regiment workers resume {_host(key).partition(':')[2]}")


resume = _verb("resume", "Take back the orders to a host with all its supervisors, or to one supervisor.")(_resume)


def _key(whom: str) -> str:
    """The name under which it is given orders: a host, HOST:PID of a supervisor, or a pid on this host."""
    _, colon, pid = whom.rpartition(":")
    if colon and pid.isdigit():
        return f"tree:{whom}"
    return f"tree:{os.uname().nodename}:{whom}" if whom.isdigit() else f"host:{whom}"


def _host(key: str) -> str:
    """The name under which the host of this one is given orders."""
    name = key.partition(":")[2]
    return f"host:{name.rpartition(':')[0]}" if key.startswith("tree:") else key


def _nobody(whom: str, known: Sequence[Tree], store: Store) -> str:
    names: Iterable[str] = dict.fromkeys([*(tree.host for tree in known), *(tree.name for tree in known)])
    have = f"There are: {', '.join(names)}" if known else "No worker serves it at all."
    return f"no worker of {whom} serves {store.where}.{nearest(whom, names)} {have}"


def _post(
    store: Store, queues: Sequence[str], orders: dict[str, str | None] | dict[str, str], what: str, reason: str | None
) -> None:
    with store.open("push") as opened:
        writing: Steered = steered(opened, "orders to workers")
        for queue in queues:
            with account(writing, queue, what, reason, whom=", ".join(orders)) as made:
                writing.post(queue, orders={**orders})
                made.done = True
