"""What this project's distributions offer, by name: what an error tells people to install. A test holds it to the offers."""

from __future__ import annotations

_OFFERED = {
    "regiment-local": "local memory sqlite",
    "regiment-redis": "redis rediss unix redis+sentinel redis+cluster",
    "regiment-mongo": "mongo mongodb mongodb+srv",
    "regiment-serializers": "msgpack json pickle signed",
    "regiment-compressors": "zlib gzip bzip2 lzma zstd",
    "regiment-executors": "serial threaded asyncio",
    "regiment-killers": "process thread coroutine",
    **{f"regiment-{name}": name for name in ("results", "schedules", "workflows", "limits", "claims")},
    **{f"regiment-{name}": name for name in ("dask", "django", "opentelemetry", "sentry")},
    "regiment-sqlalchemy": "outbox",
}
DISTRIBUTIONS = {name: home for home, names in _OFFERED.items() for name in names.split()}
"""Our own options and URL schemes, and the distribution that has each: what an error tells people to install."""

SHELL = "regiment-cli"
"""The distribution that has the command line."""
COMMANDS = {
    **dict.fromkeys(("run", "check", "workers", "top", "health"), "regiment-runner"),
    **dict.fromkeys(("push", "queues", "tasks", "why", "dead", "audit", "doctor", "config"), "regiment-console"),
    **dict.fromkeys(("workers quiet", "workers drain", "workers resume"), "regiment-console"),
    **dict.fromkeys(("plugins show", "demo", "completion"), "regiment-console"),
    **{name: f"regiment-{name}" for name in ("results", "schedules", "limits", "claims")},
    "flows": "regiment-workflows",
    "dashboard": "regiment-dashboard",
    "outbox": "regiment-sqlalchemy",
    **dict.fromkeys(("metrics", "scale"), "regiment-metrics"),
    "migrate": "regiment-celery",
    "plugins": SHELL,
    **dict.fromkeys(("plugins check", "plugins new"), "regiment-testing"),
}
"""Our verbs, in the order of `--help`, and the distribution that has each."""

OURS = frozenset({*DISTRIBUTIONS.values(), *COMMANDS.values()})
"""Distributions whose names come before those of all others: a stranger's plugin takes none of them."""


def written(name: str) -> str:
    """How a queue names an extension."""
    home = DISTRIBUTIONS.get(name, "").replace("-", "_")
    return f'Use("{name}")' + (home and f", or {name.title()}() of {home}")
