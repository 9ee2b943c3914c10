"""regiment's Redis connector: `connector="redis://…"`, `Use("redis", …)`, or, with types, `Redis(url=…)`."""

from __future__ import annotations

from regiment import Use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def Redis(  # noqa: N802 - it reads as the part that it chooses
    url: str | None = None,
    *,
    nodes: Sequence[str | Mapping[str, object]] | None = None,
    spread: str = "push",
    prefix: str = "regiment",
    timeout: float = 5.0,
    connect_timeout: float = 2.0,
    username: str | None = None,
    password: str | None = None,
) -> Use:
    """The choice of the redis connector; the options are those of `RedisConnector`."""
    given = {
        "url": url,
        "nodes": nodes,
        "spread": spread,
        "prefix": prefix,
        "timeout": timeout,
        "connect_timeout": connect_timeout,
        "username": username,
        "password": password,
    }
    defaults = {"spread": "push", "prefix": "regiment", "timeout": 5.0, "connect_timeout": 2.0}
    return Use("redis", **{k: v for k, v in given.items() if v is not None and defaults.get(k) != v})
