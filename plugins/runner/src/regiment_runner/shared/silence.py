"""How often a keeper renews, how long it may be silent, and the shortest lease for which both are enough."""

from __future__ import annotations

RENEWALS = 4
"""Renewals in the time of a lease. Stores take more than a third of a lease without any for an outage of their own, and
move all deadlines (R8): renewing every third, and a little late as ever, kept a dead host's consumers alive."""

SILENCE = 2.5
"""Seconds after its last sign of life at which a keeper is killed and replaced."""

LEAST_LEASE = round((SILENCE + 0.5) / (1 - 1 / RENEWALS), 1)
"""Seconds in which a keeper that hangs right before a renewal is noticed, replaced, and its successor renews."""
