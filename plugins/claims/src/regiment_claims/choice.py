"""The typed way to choose this extension."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment.config import Use
from regiment.errors import ConfigError
from regiment_claims.settings import ABOVE, LETTER_TTL, TTL, problems_of


class Claims(Use):
    """Keep large arguments and results elsewhere: `Queue("images", plugins=[Claims("file:///srv/claims")])`.

    `place`: "file:///folder" on a file system that producers and workers share, any URL that fsspec knows ("s3://bucket/folder",
    "memory://name"), or "store", the store of the queue itself. `above`: bytes of arguments that a message may have; where there are
    more, the largest ones are put there until the rest has fewer, and a result with more is. `ttl`: seconds for which a claim is kept at least, from
    the push or the last failed run on (of a result: as long as the result); `letter_ttl`: from the death of its task on. `limit`: bytes of the largest
    value (256 MiB; in the store 8 MiB). `sweep`: whether trees of workers remove what is over; False where the storage has rules of its own for that.
    `options`: what fsspec is given for this place, such as `endpoint_url`; shown nowhere. `ConfigError` with all that is wrong.
    """

    __slots__ = ()

    def __init__(
        self,
        place: str,
        *,
        above: int = ABOVE,
        ttl: float = TTL,
        letter_ttl: float = LETTER_TTL,
        limit: int | None = None,
        sweep: bool = True,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        given: dict[str, Any] = {"place": place, "above": above, "ttl": ttl, "letter_ttl": letter_ttl, "sweep": sweep}
        given |= {} if limit is None else {"limit": limit}
        given |= {} if options is None else {"options": dict(options) if isinstance(options, Mapping) else options}
        problems = problems_of(given)
        if problems:
            raise ConfigError(problems)
        super().__init__("claims", **given)
