"""The account of what people did to one queue."""

from __future__ import annotations

import time
from itertools import count

from regiment.contracts import Act, steer


class Acts:
    """Acts by their tokens, the oldest first. Every method is called under the store's lock."""

    def __init__(self) -> None:
        self._by_token: dict[str, Act] = {}
        self._ids = count(1)

    def keep(self, entry: bytes, token: str) -> None:
        """Keep one, unless its token is here; forget those that are too many or too old."""
        now = time.time()
        self._by_token = {t: act for t, act in self._by_token.items() if act.at > now - steer.ACT_AGE}
        if token not in self._by_token:
            self._by_token[token] = Act(str(next(self._ids)), now, bytes(entry))
        for oldest in list(self._by_token)[: -steer.MOST_ACTS]:
            del self._by_token[oldest]

    def newest(self, limit: int, after: str | None) -> list[Act]:
        """The newest first, from behind the act `after` on."""
        oldest = time.time() - steer.ACT_AGE
        found = [act for act in reversed(self._by_token.values()) if act.at > oldest]
        if after is not None:
            found = [act for act in found if int(act.id) < int(after)]
        return found[: max(0, limit)]
