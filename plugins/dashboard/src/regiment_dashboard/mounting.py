"""The pages inside of another ASGI application: `Mount("/queues", mounted("redis://db1", hosts=["shop.example"], operator_token=…))`."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette

from regiment.bounds import seen
from regiment.build import make_connector
from regiment.config import Use, WorkerConfig
from regiment.errors import ConfigError
from regiment_cli.listening import LEAST_SECRET
from regiment_dashboard.app import Dashboard
from regiment_dashboard.doors import LOCAL, Doors, Role


def mounted(
    connector: str | Use | None = None,
    *,
    hosts: Sequence[str],
    admin_token: str | None = None,
    operator_token: str | None = None,
    viewer_token: str | None = None,
) -> Starlette:
    """The pages of one store, for an application that mounts them below a path of its own; they need no lifespan.

    `hosts` are the names under which browsers reach the application, beside those of this host alone. People sign in with one of
    the tokens; there is no default that lets anybody in. `connector` as in `WorkerConfig`. The store is asked when somebody looks.
    Raises `ConfigError` for a token that is missing or short.
    """
    tokens: dict[Role, str] = {}
    given: tuple[tuple[Role, str | None], ...] = (
        ("viewer", viewer_token),
        ("operator", operator_token),
        ("admin", admin_token),
    )
    for role, token in given:
        if token is None:
            continue
        if not isinstance(token, str) or len(token) < LEAST_SECRET:
            raise ConfigError(f"{role}_token is {seen(token)}; expected a text of {LEAST_SECRET} characters at least")
        tokens[role] = token
    if not tokens:
        raise ConfigError("nobody would have to sign in; expected admin_token=, operator_token= or viewer_token=")
    if isinstance(hosts, str):
        raise ConfigError(f"hosts is {seen(hosts)}; expected a list of names")
    config, why = WorkerConfig(name="dashboard", connector=connector), "from mounted(…)"
    doors = Doors(frozenset({*LOCAL, *(name.lower() for name in hosts)}), tokens, "viewer", 0)
    where = make_connector(config, why)().describe()
    return Dashboard(config, why, where, doors).application()
