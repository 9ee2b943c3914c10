"""Who comes in, and what a browser may do with what it gets. Closed by default: no other page on the web can read or change anything.

- `Host` must be one that the operator named (or this host's loopback names): a name that an attacker lets point here reads nothing.
- What changes something needs a POST from this page itself (`Sec-Fetch-Site`, `Origin`) with a token of this session, which counts once.
- Nothing but our own files is loaded, and nothing may frame the pages (Content-Security-Policy).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Literal, NamedTuple

Role = Literal["viewer", "operator", "admin"]
"""Who looks; who acts as well; who deletes as well."""
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
FORM_AGE = 12 * 3600
"""Seconds for which a form is obeyed."""
MOST_SPENT = 100_000
"""Forms that are remembered because they were obeyed; of more, what was made before the oldest of them is not obeyed any more."""
LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Visitor(NamedTuple):
    """Who asks."""

    session: str
    role: Role | None
    """None: has yet to sign in."""


class Doors:
    """Decides who comes in. Without tokens everybody who reaches the port is `free`, which is this host alone.

    Browsers send a host's cookies to each of its ports, so what this process calls its own (`name`) has the port in it.
    """

    def __init__(
        self, hosts: frozenset[str], tokens: Mapping[Role, str], free: Role, port: int, *, read_only: bool = False
    ) -> None:
        self._read_only = read_only
        self.name = f"regiment_session_{port}"
        self._hosts, self._tokens, self._free = hosts, tokens, free
        self._secret = secrets.token_bytes(32)
        self._spent: dict[str, float] = {}
        self._oldest = 0.0

    def host_is_ours(self, host: str) -> bool:
        """True if `Host` is a name under which these pages are served."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return name.lower() in self._hosts

    def from_ourselves(self, headers: Mapping[str, str]) -> bool:
        """True if a browser says that one of our own pages sent this, or says nothing, as programs do."""
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("origin")
        return origin is None or origin.partition("://")[2] == headers.get("host")

    # Sessions: the cookie holds a random word, the role, and a seal over both

    def visitor(self, cookie: str | None) -> Visitor:
        """Who shows this cookie; a new one for a stranger."""
        session, _, rest = (cookie or "").partition(".")
        role, _, seal = rest.partition(".")
        if session and hmac.compare_digest(seal.encode(), self._seal("session", session, role).encode()):
            known = next((one for one in ROLES if one == role), None)
            return Visitor(session, known or (None if self._tokens else self._free))
        return Visitor(secrets.token_urlsafe(24), None if self._tokens else self._free)

    def cookie(self, visitor: Visitor) -> str:
        """What a visitor is to show from now on."""
        role = visitor.role if self._tokens and visitor.role else "none"
        return f"{visitor.session}.{role}.{self._seal('session', visitor.session, role)}"

    def sign_in(self, token: str) -> Visitor | None:
        """A new session for who knows a token; None for who does not."""
        for role, known in self._tokens.items():
            if hmac.compare_digest(token.encode("utf-8", "replace"), known.encode()):
                return Visitor(secrets.token_urlsafe(24), "viewer" if self._read_only else role)
        return None

    def form_token(self, visitor: Visitor) -> str:
        """What the forms of a page carry; it is another one for each page."""
        made = f"{time.time():.0f}x{secrets.token_hex(12)}"
        return f"{made}x{self._seal('form', visitor.session, made)}"

    def form_is_ours(self, visitor: Visitor, token: str) -> bool:
        """True if a form was made for this session, not long ago, and is sent for the first time. Sent again, it is refused: one that
        was sent twice by mistake, or that somebody has recorded, does nothing.
        """
        made, _, seal = token.rpartition("x")
        if not hmac.compare_digest(seal.encode("utf-8", "replace"), self._seal("form", visitor.session, made).encode()):
            return False
        at = float(made.partition("x")[0])
        if not max(self._oldest, time.time() - FORM_AGE) <= at or made in self._spent:
            return False
        self._spent[made] = at
        while len(self._spent) > MOST_SPENT:
            self._oldest = max(self._oldest, self._spent.pop(next(iter(self._spent))) + 1)
        return True

    def _seal(self, *words: str) -> str:
        return hmac.new(self._secret, "\0".join(words).encode("utf-8", "replace"), hashlib.sha256).hexdigest()
