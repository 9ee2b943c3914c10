"""What a budget may say, in code, as plain data and on the command line, and the rule of the store that it makes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from regiment.bounds import MOST, SECONDS, limit, seen, whole
from regiment.contracts import LONGEST_NAME, Rule
from regiment.errors import ConfigError, nearest

QUEUE = ("at_once", "rate", "burst", "waiting")
LANE = (*QUEUE, "weight")
TYPED = (*LANE, "lane")
POOL = (*TYPED, "breaker")
WHOLE = (*QUEUE, "lane")
"""What a queue may have; `lane` is of each lane that is in no pool. An operator types `TYPED` of a pool."""
BREAKER = {"share": 0.5, "least": 10, "window": 60.0, "pause": 30.0, "longest": 3600.0}
"""What a breaker says, and what counts where it does not."""
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
RATE = 'tasks for a time: "100/m", "10/s", "5/10s", or (100, 60.0)'
"""What a rate may be, in words."""
HEAVIEST = 1000
NOT_THERE = {
    "gather": "a lane opens at a time and not at a number, and nothing leases the rest of one lane; take(n) takes what is there",
    "soft": "whether nobody else has something is known in the step that leases alone; give the others room with weight=",
    "full": "a push that is refused drops nothing, so there is no full=; QueueFull says what waits, and `regiment tasks cancel --now` makes room",
}
"""Budgets that people look for and stores do not keep, and why; docs/limits.md has the whole reason."""
_RATE = re.compile(r"(\d+)\s*/\s*(\d+(?:\.\d+)?)?\s*(ms|s|m|h|d)")


def rate_of(value: Any) -> tuple[int, float] | None:
    """A rate as (tasks, seconds); None for what is none."""
    if isinstance(value, str):
        match = _RATE.fullmatch(value.strip())
        if match is None:
            return None
        value = (int(match[1]), float(match[2] or 1) * UNITS[match[3]])
    pair = isinstance(value, (list, tuple)) and len(value) == 2
    return (value[0], float(value[1])) if pair and whole(value[0], 1) and limit(value[1]) else None


def problems_of(where: str, options: Mapping[str, Any], known: tuple[str, ...]) -> list[str]:
    """What is wrong with a budget, a sentence each; `where` begins each of them: "pool 'crm': "."""
    problems = [
        f'{where}no budget "{name}"{_instead(str(name), known)} There are: {", ".join(known)}'
        for name in options
        if name not in known
    ]
    for name, least, most in (("at_once", 1, MOST), ("burst", 1, MOST), ("weight", 1, HEAVIEST), ("waiting", 1, MOST)):
        value = options.get(name)
        if name in known and value is not None and not whole(value, least, most):
            problems.append(f"{where}{name} is {seen(value)}; expected a whole number from {least} to {most:,}")
    if options.get("rate") is not None and rate_of(options["rate"]) is None:
        problems.append(f"{where}rate is {seen(options['rate'])}; expected {RATE}, with at least one task")
    if options.get("burst") is not None and options.get("rate") is None:
        problems.append(f"{where}burst is {seen(options['burst'])} and there is no rate, of which it is a part")
    if options.get("lane") is not None and "lane" in known:
        lane = options["lane"]
        if isinstance(lane, Mapping):
            problems += problems_of(f"{where}lane: ", lane, LANE)
        else:
            problems.append(f"{where}lane is {seen(lane)}; expected Lane(…)")
    if options.get("breaker") and "breaker" in known:
        problems += breaker_problems(f"{where}breaker: ", options["breaker"])
    return problems


def _instead(name: str, known: tuple[str, ...]) -> str:
    return f": {NOT_THERE[name]}." if name in NOT_THERE else f".{nearest(name, known)}"


def breaker_problems(where: str, breaker: Any) -> list[str]:
    """What is wrong with a breaker, a sentence each."""
    if breaker is True:
        return []
    if not isinstance(breaker, Mapping):
        return [f"{where}it is {seen(breaker)}; expected Breaker(…), or True"]
    problems = [
        f'{where}no option "{name}".{nearest(str(name), tuple(BREAKER))} There are: {", ".join(BREAKER)}'
        for name in breaker
        if name not in BREAKER
    ]
    full = {**BREAKER, **breaker}
    if not limit(full["share"]) or full["share"] > 1:
        problems.append(f"{where}share is {seen(full['share'])}; expected the part that fails, above 0 and at most 1")
    if not whole(full["least"], 1, MOST):
        problems.append(f"{where}least is {seen(full['least'])}; expected a whole number of ends from 1 to {MOST:,}")
    problems += [
        f"{where}{name} is {seen(full[name])}; expected {SECONDS}"
        for name in ("window", "pause", "longest")
        if not limit(full[name])
    ]
    if not problems and full["longest"] < full["pause"]:
        problems.append(
            f"{where}longest is {full['longest']:g} and pause {full['pause']:g}; expected the longest pause"
        )
    return problems


def name_problem(name: object) -> str | None:
    """What is wrong with the name of a pool, or None."""
    if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name.encode()) <= LONGEST_NAME:
        return f"a pool is named {seen(name)}; expected 1 to {LONGEST_NAME} printable bytes"
    return f"a pool is named {name!r}; expected a name without /, : and braces" if set(name) & set("/:{}") else None


def all_problems(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with the options of `Limits`."""
    pools = options.get("pools") or {}
    problems = problems_of("", {name: value for name, value in options.items() if name != "pools"}, WHOLE)
    if not isinstance(pools, Mapping):
        return [*problems, f'pools is {seen(pools)}; expected pools by name: {{"crm": Pool(at_once=5)}}']
    for name, pool in pools.items():
        if (wrong := name_problem(name)) is not None:
            problems.append(wrong)
        elif not isinstance(pool, Mapping):
            problems.append(f"pool {name!r} is {seen(pool)}; expected Pool(…)")
        else:
            problems += problems_of(f"pool {name!r}: ", pool, POOL)
    return problems


def rule_of(budget: Mapping[str, Any]) -> Rule | None:
    """The rule that a budget makes; None if it bounds nothing."""
    lane = budget.get("lane")
    made = Rule(
        at_once=budget.get("at_once"),
        rate=None if budget.get("rate") is None else rate_of(budget["rate"]),
        burst=budget.get("burst") or 1,
        weight=budget.get("weight") or 1,
        waiting=budget.get("waiting"),
        lanes=None if lane is None else rule_of(lane),
    )
    return None if made == Rule() else made


def rules_of(options: Mapping[str, Any]) -> dict[str, Rule]:
    """Pool -> its rule, of the options of `Limits`; that of the queue is under the empty name."""
    budgets = {"": options, **(options.get("pools") or {})}
    return {name: rule for name, budget in budgets.items() if (rule := rule_of(budget)) is not None}


def breakers_of(options: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Pool -> its breaker, of the options of `Limits`."""
    given = {name: pool["breaker"] for name, pool in (options.get("pools") or {}).items() if pool.get("breaker")}
    return {name: {**BREAKER, **({} if one is True else one)} for name, one in given.items()}


def in_words(rule: Rule | None) -> str:
    """A rule as people type it: "at_once=5 rate=10/m"; empty for none."""
    if rule is None:
        return ""
    words = [] if rule.at_once is None else [f"at_once={rule.at_once}"]
    if rule.rate is not None:
        words.append(f"rate={rate_in_words(rule.rate)}")
    words += [f"burst={rule.burst}"] if rule.burst != 1 else []
    words += [f"weight={rule.weight}"] if rule.weight != 1 else []
    words += [f"waiting={rule.waiting}"] if rule.waiting is not None else []
    if rule.lanes is not None:
        words += [f"lane.{word}" for word in in_words(rule.lanes).split()]
    return " ".join(words)


def rate_in_words(rate: tuple[int, float]) -> str:
    """A rate as people type it: 100/m, 5/10s."""
    number, seconds = rate
    unit = next((unit for unit, size in UNITS.items() if size == seconds), None)
    return f"{number}/{unit}" if unit else f"{number}/{seconds:g}s"


def typed(words: tuple[str, ...], pool: bool, lane: bool) -> Rule:
    """The rule that was typed, as `in_words` writes it; `ConfigError` with all that is wrong."""
    known = LANE if lane else TYPED if pool else WHOLE
    budget: dict[str, Any] = {}
    problems: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        into, name = (
            (budget.setdefault("lane", {}), name[5:]) if not lane and name.startswith("lane.") else (budget, name)
        )
        if not equals:
            problems.append(f"{word!r} is no budget; expected name=value, such as at_once=5 or rate=10/m")
        elif name in into:
            problems.append(f"{name} is given twice")
        else:
            into[name] = int(value) if value.isascii() and value.isdigit() else value
    problems += problems_of("", budget, known)
    if problems:
        raise ConfigError(problems)
    rule = rule_of(budget)
    if rule is None:
        raise ConfigError(
            f"nothing is limited; expected some of {', '.join(f'{name}=' for name in known if name != 'lane')}"
        )
    return rule
