"""What an operator sees of arguments: values whose names sound secret, those that a plugin hides, and what is in a URL beside its
host, are not shown.
"""

from __future__ import annotations

import re
from typing import Any

from regiment.masking import masked
from regiment_console.asked import masked_by

HIDDEN = "***"
"""What is shown in place of a secret."""
_WORDS = frozenset(
    ("password", "passwd", "pwd", "passphrase", "secret", "token", "credential", "credentials", "authorization", "cvv")
)
_ENDS = ("api_key", "apikey", "private_key", "access_key", "secret_key", "card_number", "credit_card")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def secret(name: object) -> bool:
    """True if a value of this name is not to be seen: `password`, `accessToken`, `stripe_api_key`."""
    text = _CAMEL.sub("_", str(name)).lower().replace("-", "_")
    return not _WORDS.isdisjoint(text.split("_")) or text.endswith(_ENDS)


def hidden(value: Any, name: object = "") -> Any:
    """A value without its secrets, however deep they lie."""
    if secret(name):
        return HIDDEN
    shown = masked_by(str(name), value, HIDDEN) if name != "" else None
    if shown is not None:
        return shown
    if isinstance(value, dict):
        return {key: hidden(one, key) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [hidden(one) for one in value]
    return masked(value) if isinstance(value, str) else value
