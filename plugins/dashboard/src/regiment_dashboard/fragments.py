"""The part of a page that changes: made once for each look, however many viewers ask for it, and sent only to those that have another."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple

from starlette.responses import Response

LEVEL = 1
"""Of compression: the fastest makes a tenth of it."""


class Fragment(NamedTuple):
    """A part of a page."""

    version: int
    tag: str
    text: str
    packed: bytes

    def answer(self, headers: Mapping[str, str]) -> Response:
        """Nothing if whoever asks has it. It holds no secret of a session, so that it may be compressed."""
        sent = {"ETag": self.tag, "Vary": "Accept-Encoding"}
        if headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=sent)
        if "gzip" in headers.get("accept-encoding", ""):
            return Response(self.packed, headers={**sent, "Content-Encoding": "gzip"}, media_type="text/html")
        return Response(self.text, headers=sent, media_type="text/html")


class Fragments:
    """The last fragment of each address under which it is shown."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, Fragment] = {}

    def now(self, root: str, version: int) -> Fragment | None:
        """The fragment of this version, or of the one before while this one is being made; None if there is neither."""
        found = self._last.get(root)
        return found if found is not None and (found.version == version or self._lock.locked()) else None

    def get(self, root: str, version: int, make: Callable[[], str]) -> Fragment:
        """The fragment of this version."""
        with self._lock:
            found = self._last.get(root)
            if found is None or found.version != version:
                text = make()
                body = text.encode(errors="replace")
                tag = f'"{sha256(body).hexdigest()[:20]}"'
                found = Fragment(version, tag, text, gzip.compress(body, LEVEL))
                self._last = {**self._last, root: found} if len(self._last) < 8 else {root: found}
            return found
