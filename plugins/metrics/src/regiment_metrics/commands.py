"""`regiment metrics` and `regiment scale`."""

from __future__ import annotations

import signal
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from regiment.config import CONNECTOR_VARIABLE
from regiment.errors import ConfigError, RegimentError, nearest
from regiment_cli.listening import address, refused, secret, this_host_alone
from regiment_cli.options import json_option
from regiment_cli.printing import put, say
from regiment_cli.reaching import chosen
from regiment_cli.terminal import Duration, show_json
from regiment_metrics.sampling import Sampler, look
from regiment_metrics.scaling import record, wanted
from regiment_metrics.serving import TARGET, Pages, listening


def store_options(function: Any) -> Any:
    """`--connector` and `-A`."""
    connector = click.option(
        "--connector", metavar="URL", help=f"Look at this store.  [default: ${CONNECTOR_VARIABLE}]"
    )
    return connector(
        click.option("-A", "--app", metavar="MODULE[:NAME]", help="The worker whose store is looked at.")(function)
    )


@click.command("metrics")
@click.option("--listen", metavar="HOST:PORT", default="127.0.0.1:9464", show_default=True, help="Where to serve.")
@click.option("--every", type=Duration(), default="5s", show_default=True, help="How often the store is looked at.")
@click.option(
    "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="Readers have to send what is in it."
)
@click.option("--open", "opened", is_flag=True, help="Serve other hosts without a token.")
@store_options
def metrics(
    listen: str, every: float, token_file: Path | None, opened: bool, connector: str | None, app: str | None
) -> int:
    """Serve what waits, runs and died in each queue of a store: /metrics, /scale?queue=NAME, /health. One process for each store."""
    host, port = address(listen, "127.0.0.1:9464")
    token = None if token_file is None else secret("--token-file", token_file)
    if token is None and not opened and not this_host_alone(host):
        raise ConfigError(
            f"--listen {listen} is open to other hosts, and there is no token; expected --token-file FILE, or --open if "
            f"the network keeps strangers away"
        )
    if every < 0.1:
        raise ConfigError(f"--every is {every:g} s; expected at least 0.1")
    broker, _ = chosen(None, app, connector)
    sampler = Sampler(broker.open, every)
    try:
        server = listening(host, port)
    except OSError as error:
        raise refused("--listen", listen, error) from None
    server.set_app(Pages(sampler, token))
    thread = threading.Thread(target=sampler.run, name="sampler")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    thread.start()
    try:
        say(f"serving http://{host}:{server.server_port}/metrics")
        server.serve_forever(poll_interval=0.5)
    finally:
        sampler.stop()
        server.server_close()
        thread.join()
    return 0


@click.command("scale")
@click.argument("name", metavar="QUEUE")
@click.option(
    "--target", type=Duration(), default=f"{TARGET:g}s", show_default=True, help="When the load is to be ended."
)
@store_options
@json_option
def scale(name: str, target: float, app: str | None, connector: str | None, as_json: bool) -> None:
    """Say how many workers QUEUE needs, so that what is ready or runs now is ended within the target."""
    if target <= 0:
        raise ConfigError(f"--target is {target:g} s; expected more than 0")
    broker, _ = chosen(None, app, connector)
    with closing(broker.open("look")) as store:
        found = look(store)
    if name not in found:
        raise RegimentError(f'no queue named "{name}".{nearest(name, found)} There are: {", ".join(found) or "none"}')
    standing = found[name]
    said: dict[str, Any] = record(name, standing, standing.load, wanted(standing, standing.load, target))
    if as_json:
        show_json(said)
    else:
        put(said["wanted"])
