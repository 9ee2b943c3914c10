"""`regiment dashboard`: serve the pages of one store."""

from __future__ import annotations

from pathlib import Path

import click

from regiment.errors import ConfigError
from regiment_cli.listening import LEAST_SECRET, address, in_url, refused, secret, taken, this_host_alone
from regiment_cli.printing import say
from regiment_console.store import Store, choose, store_options
from regiment_dashboard.doors import LOCAL, Doors, Role


@click.command("dashboard")
@click.option("--listen", metavar="HOST:PORT", default="127.0.0.1:8420", show_default=True, help="Where to serve.")
@click.option(
    "--host", "hosts", metavar="NAME", multiple=True, help="A name under which browsers reach it; may be repeated."
)
@click.option(
    "--admin-token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Who knows what is in it may act and delete.",
)
@click.option(
    "--operator-token-file", type=click.Path(dir_okay=False, path_type=Path), help="Who knows what is in it may act."
)
@click.option(
    "--viewer-token-file", type=click.Path(dir_okay=False, path_type=Path), help="Who knows what is in it may look."
)
@click.option("--read-only", is_flag=True, help="Nobody may act.")
@click.option("--prefix", metavar="/PATH", default="", help="The path under which a proxy serves it.")
@store_options
def command(
    listen: str,
    hosts: tuple[str, ...],
    admin_token_file: Path | None,
    operator_token_file: Path | None,
    viewer_token_file: Path | None,
    read_only: bool,
    prefix: str,
    app: str | None,
    connector: str | None,
) -> int:
    """Serve pages that show what the queues of a store do. On this host alone; elsewhere with a token."""
    host, port = address(listen, "127.0.0.1:8420")
    tokens: dict[Role, str] = {}
    files: tuple[tuple[Role, Path | None], ...] = (
        ("viewer", viewer_token_file),
        ("operator", operator_token_file),
        ("admin", admin_token_file),
    )
    for role, file in files:
        if file is not None:
            tokens[role] = secret(f"--{role}-token-file", file)
    if not tokens and not this_host_alone(host):
        raise ConfigError(
            f"--listen {listen} is open to other hosts, and nobody would have to sign in; expected --admin-token-file, --operator-token-file "
            f"or --viewer-token-file, each with a secret of {LEAST_SECRET} characters at least"
        )
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise ConfigError(
            f'--prefix is "{prefix}"; expected a path that begins with / and does not end with one, such as /queues'
        )
    config, why = choose(app, connector)
    try:
        listening = taken(host, port)
    except OSError as error:
        raise refused("--listen", listen, error) from None
    with listening:
        from regiment_dashboard.app import Dashboard
        from regiment_dashboard.serving import serve

        names = frozenset({*LOCAL, host.lower(), f"[{host}]".lower(), *(name.lower() for name in hosts)})
        port = listening.getsockname()[1]
        doors = Doors(names, tokens, "viewer" if read_only else "admin", port, read_only=read_only)
        store = Store(config, why)
        pages = Dashboard(config, why, store.where, doors)
        store.looking.close()
        say(f"serving http://{in_url(host)}:{port}{prefix}/" + (" (read only)" if read_only else ""))
        serve(pages.application(), listening, prefix)
    return 0
