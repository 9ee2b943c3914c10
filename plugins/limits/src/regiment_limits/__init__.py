"""Limits for regiment: budgets of queues, pools and lanes, counted where the tasks are, and keys that only one task has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiment import lazily

__all__ = [*lazily(globals(), {"choice": "Breaker Lane Limits Pool", "answers": "Admitted", "later": "Later"})]

if TYPE_CHECKING:
    from regiment_limits.answers import Admitted as Admitted
    from regiment_limits.choice import Breaker as Breaker
    from regiment_limits.choice import Lane as Lane
    from regiment_limits.choice import Limits as Limits
    from regiment_limits.choice import Pool as Pool
    from regiment_limits.later import Later as Later
