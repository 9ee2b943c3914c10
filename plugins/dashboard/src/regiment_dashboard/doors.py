"""Who comes in, and what a browser may do with what it gets. Closed by default: no other page on the web can read or change anything.

- `Host` must be one that the operator named (or this host's loopback names): a name that an attacker lets point here reads nothing.
- What changes something needs a POST from this page itself (`Sec-Fetch-Site`, `Origin`) with the token of this session.
- Nothing but our own files is loaded, and nothing may frame the pages (Content-Security-Policy).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Literal, NamedTuple

Role = Literal["viewer", "operator"]
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

    def __init__(self, hosts: frozenset[str], tokens: Mapping[Role, str], free: Role, port: int) -> None:
        self.name = f"regiment_session_{port}"
        self._hosts, self._tokens, self._free = hosts, tokens, free
        self._secret = secrets.token_bytes(32)

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
            known: Role | None = "operator" if role == "operator" else "viewer" if role == "viewer" else None
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
                return Visitor(secrets.token_urlsafe(24), role)
        return None

    def form_token(self, visitor: Visitor) -> str:
        """What each form of this session carries."""
        return self._seal("form", visitor.session)

    def form_is_ours(self, visitor: Visitor, token: str) -> bool:
        """True if a form was made for this session."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.form_token(visitor).encode())

    def _seal(self, *words: str) -> str:
        return hmac.new(self._secret, "\0".join(words).encode("utf-8", "replace"), hashlib.sha256).hexdigest()
