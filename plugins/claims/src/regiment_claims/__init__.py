"""Claim check: large arguments and results are kept elsewhere, and a message holds where they are.

images = Queue("images", plugins=[Claims("file:///srv/claims", above=64_000, ttl=86_400)])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiment import lazily

__all__ = [
    *lazily(
        globals(),
        {
            "choice": "Claims",
            "errors": "ClaimError ClaimExpired ClaimLost ClaimRefused ClaimTooLarge ClaimUnreachable ClaimUnreadable",
        },
    )
]

if TYPE_CHECKING:
    from regiment_claims.choice import Claims as Claims
    from regiment_claims.errors import ClaimError as ClaimError
    from regiment_claims.errors import ClaimExpired as ClaimExpired
    from regiment_claims.errors import ClaimLost as ClaimLost
    from regiment_claims.errors import ClaimRefused as ClaimRefused
    from regiment_claims.errors import ClaimTooLarge as ClaimTooLarge
    from regiment_claims.errors import ClaimUnreachable as ClaimUnreachable
    from regiment_claims.errors import ClaimUnreadable as ClaimUnreadable
