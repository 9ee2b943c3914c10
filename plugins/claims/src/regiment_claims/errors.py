"""What may be wrong with a claim: to the program that pushes, in `result()`, and as the reason of a dead letter."""

from __future__ import annotations

from regiment.errors import PayloadTooLarge, RegimentError


class ClaimError(RegimentError):
    """Base of everything that goes wrong with a claim."""


class ClaimRefused(ClaimError):
    """The place of claims could not be written; nothing was pushed."""


class ClaimTooLarge(ClaimError, PayloadTooLarge):
    """A value is larger than `Claims(limit=…)`; nothing was pushed."""


class ClaimLost(ClaimError):
    """What was claimed is gone before its time, or what is there has another digest."""


class ClaimExpired(ClaimError):
    """The time to live of what was claimed is over, and it is gone."""


class ClaimUnreadable(ClaimError):
    """What was claimed is there, whole, and cannot be read here: another key, serializer or limit, or a newer release."""


class ClaimUnreachable(ClaimError):
    """The place of claims does not answer, is not mounted, or is another one than that in which the claim was put."""
