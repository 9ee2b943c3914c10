"""What this project's distributions offer, by name: what an error tells people to install. A test holds it to the offers."""

from __future__ import annotations

DISTRIBUTIONS = {
    "local": "regiment-local",
    "memory": "regiment-local",
    "redis": "regiment-redis",
    "mongo": "regiment-mongo",
    "msgpack": "regiment-serializers",
    "json": "regiment-serializers",
    "pickle": "regiment-serializers",
    "signed": "regiment-serializers",
    "zlib": "regiment-compressors",
    "gzip": "regiment-compressors",
    "bzip2": "regiment-compressors",
    "lzma": "regiment-compressors",
    "zstd": "regiment-compressors",
    "serial": "regiment-executors",
    "threaded": "regiment-executors",
    "asyncio": "regiment-executors",
    "process": "regiment-killers",
    "thread": "regiment-killers",
    "coroutine": "regiment-killers",
    "sqlite": "regiment-local",
    "rediss": "regiment-redis",
    "unix": "regiment-redis",
    "redis+sentinel": "regiment-redis",
    "redis+cluster": "regiment-redis",
    "mongodb": "regiment-mongo",
    "mongodb+srv": "regiment-mongo",
}
"""Our own options and URL schemes, and the distribution that has each: what an error tells people to install."""

COMMANDS = {
    **dict.fromkeys(("run", "check", "workers", "top", "health"), "regiment-runner"),
    **dict.fromkeys(("push", "queues", "dead", "config", "plugins show", "demo", "completion"), "regiment-console"),
    **dict.fromkeys(("plugins check", "plugins new"), "regiment-testing"),
}
"""Our verbs beside `plugins`, in the order of `--help`, and the distribution that has each."""

OURS = frozenset({*DISTRIBUTIONS.values(), *COMMANDS.values()})
"""Distributions whose names come before those of all others: a stranger's plugin takes none of them."""
