"""Ticks are a set: the same from wherever one looks, in both directions, at every change of offset of thirteen zones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import pytest
from cronsim import CronSim

from harness.scale import size
from regiment_schedules.ticks import Ticks, jitter, read, written
from regiment_schedules.zones import Segment, offsets

ZONES = (
    "Europe/Berlin America/New_York Australia/Lord_Howe America/Santiago Africa/Casablanca Europe/Dublin America/Sao_Paulo "
    "Africa/Cairo Asia/Beirut Pacific/Apia America/Havana Asia/Kathmandu Antarctica/Troll"
).split()
FIVE = (
    "30 2 * * *|0 2 * * *|0 3 * * *|30 1 * * *|0 0 * * *|30 0 * * *|15 2,3 * * *|*/15 * * * *|0 * * * *|0 */2 * * *|30 */3 * * *|"
    "*/20 1-4 * * *|0 9 * * 1-5|59 23 * * *|5 0 1 * *|0 2 * * 0|30 2 31 3 *|*/7 2 * * *|10 3 * * 0|0 2-3 * * *|0 0 10-20 * 5"
).split("|")
SIX = "0 30 2 * * *|15 0 2 * * *|5,50 30 1 * * *|0 0 * * * *|0 0 0 * * *|20 */30 * * * *".split("|")
SPAN = 27 * 3600


def changes(zone: str) -> list[Segment]:
    """Every change of a zone's offset from 2024 to 2027, and one of the past where it has had none since."""
    known, found = offsets(zone), []
    for year in (2011, 2018, *range(2024, 2028)):
        at = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
        while datetime.fromtimestamp(at, UTC).year == year:
            segment = known.segment(at)
            if segment.offset != segment.before:
                found.append(segment)
            at = segment.end
    return found if changes_since(found) else found[:2]


def changes_since(found: list[Segment]) -> list[Segment]:
    return [one for one in found if one.start > datetime(2024, 1, 1, tzinfo=UTC).timestamp()]


CASES = [(zone, change) for zone in ZONES for change in changes(zone)]


# The rules once more, by looking at every second field, minute and day one by one


@lru_cache(10_000)
def field(text: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for term in text.split(","):
        span, _, step = term.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            found.update(range(low, high + 1, int(step or 1)))
        else:
            found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return frozenset(found)


def on_day(parts: list[str], day: date) -> bool:
    dom, month, dow = parts[-3:]
    in_month = day.day in field(dom, 1, 31)
    in_week = {day.isoweekday(), day.isoweekday() % 7} & field(dow, 0, 7)
    both = dom.startswith("*") or dow.startswith("*")
    return day.month in field(month, 1, 12) and bool(in_month and in_week if both else in_month or in_week)


def by_hand(expression: str, zone: str, low: int, high: int) -> list[int]:
    """The ticks from `low` to `high`."""
    parts = expression.split()
    tz, minutes, hours = offsets(zone).zone, field(parts[-5], 0, 59), field(parts[-4], 0, 23)
    seconds = sorted(field(parts[0], 0, 59)) if len(parts) == 6 else [0]
    found: set[int] = set()
    if parts[-5].startswith("*") or parts[-4].startswith("*"):
        for at in range(low - low % 60, high + 1, 60):
            local = datetime.fromtimestamp(at, tz)
            if local.minute in minutes and local.hour in hours and on_day(parts, local.date()):
                found.add(at)
    else:
        day = datetime.fromtimestamp(low - 86_400, tz).date()
        while day <= datetime.fromtimestamp(high + 86_400, tz).date():
            for hour in hours if on_day(parts, day) else ():
                for minute in minutes:
                    found.add(first_moment(datetime(day.year, day.month, day.day, hour, minute, tzinfo=tz)))
            day += timedelta(days=1)
    return sorted(at + plus for at in found for plus in seconds if low <= at + plus <= high)


def first_moment(local: datetime) -> int:
    """When this time of day is for the first time; if it is never, the first moment after the gap."""
    at = local.timestamp()
    if datetime.fromtimestamp(at, local.tzinfo).replace(tzinfo=None, fold=0) == local.replace(tzinfo=None, fold=0):
        return int(at)
    before = local.replace(fold=0).utcoffset()
    assert before is not None
    low, high = int(at) - 86_400, int(at) + 86_400
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, local.tzinfo).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


@pytest.mark.fault(80)
@pytest.mark.parametrize(("zone", "change"), CASES, ids=[f"{zone}-{change.start}" for zone, change in CASES])
def test_ticks_beside_a_change_of_offset_are_those_of_the_rules_from_any_start_and_in_both_directions(
    zone: str, change: Segment
) -> None:
    chance = random.Random(change.start)
    low, high = change.start - SPAN, change.start + SPAN
    for expression in (*FIVE, *SIX):
        ticks = Ticks(expression, tz=zone)
        wanted = by_hand(expression, zone, low + 1, high)
        assert ticks.between(low, high) == wanted, expression
        assert ticks.newest(low, high, 100_000) == wanted, expression
        for shift in chance.sample(range(-SPAN, SPAN), size(3, 30)):
            at = change.start + shift + chance.choice((0.0, 0.4))
            assert ticks.after(at) == next((tick for tick in wanted if tick > at), ticks.after(high)), (expression, at)
            assert ticks.last(at) == next((tick for tick in reversed(wanted) if tick <= at), ticks.last(low)), (
                expression,
                at,
            )


def test_where_no_offset_changes_ticks_are_those_of_cronsim() -> None:
    chance = random.Random(7)
    for zone in ZONES:
        for expression in (*FIVE, *SIX, "0 0 L * *", "0 12 * * 5#2", "0 0 LW * *", "0 6 29 2 *", "*/10 * * * * *"):
            start = datetime.fromtimestamp(chance.randrange(1_704_000_000, 1_830_000_000), UTC)
            mine, theirs = Ticks(expression, tz=zone), CronSim(expression, start.astimezone(offsets(zone).zone))
            at: float = start.timestamp()
            for _ in range(20):
                following = next(theirs).timestamp()
                segment = offsets(zone).segment(int(following))
                calm = (
                    min(following - segment.start, segment.end - following) > 2 * 86_400
                    and following - at < 30 * 86_400
                )
                if not calm:
                    break
                assert mine.after(at) == following, (zone, expression, at)
                at = following


def test_a_year_end_is_no_border() -> None:
    ticks = Ticks("59 23 31 12 *", tz="Asia/Kathmandu")
    found = ticks.between(1_704_000_000, 1_830_000_000)
    assert len(found) == 4 and found == ticks.newest(1_704_000_000, 1_830_000_000, 100)


def test_every_counts_from_the_epoch_or_from_its_start_whoever_asks() -> None:
    ticks = Ticks(every=10.0)
    assert ticks.after(1_000_000_003.2) == 1_000_000_010.0 and ticks.last(1_000_000_003.2) == 1_000_000_000.0
    begun = Ticks(every=0.3 * 1000, start=1_000_000_007.5, end=1_000_000_700.0)
    assert begun.between(0, 2e9) == [1_000_000_007.5, 1_000_000_307.5, 1_000_000_607.5]
    assert (
        begun.last(2e9) == 1_000_000_607.5
        and begun.last(1_000_000_007.0) is None
        and begun.after(1_000_000_608) is None
    )


@pytest.mark.parametrize("zone", ["UTC", "America/Sao_Paulo", "Asia/Beirut"])
def test_days_off_have_no_tick_and_cost_one_step_each(zone: str) -> None:
    days = [date(2026, 10, 24) + timedelta(days=n) for n in range(4)]
    ticks = Ticks("* * * * * *", tz=zone, off=[day.isoformat() for day in days])
    tz = offsets(zone).zone
    before = datetime(2026, 10, 23, 23, 59, 59, tzinfo=tz).timestamp()
    after = ticks.after(before)
    assert after is not None and datetime.fromtimestamp(after, tz).isoformat()[:19] == "2026-10-28T00:00:00"
    assert ticks.last(after - 1) == before


def ids() -> Iterator[float]:
    yield from (0.0, 1_795_939_200.0, 1_795_939_200.5, 4_000_000_000.001)


@pytest.mark.parametrize("tick", list(ids()))
def test_a_tick_is_read_as_it_was_written(tick: float) -> None:
    assert read(written(tick)).timestamp() == pytest.approx(tick, abs=0.0004)


def test_jitter_is_the_same_for_all_and_spread() -> None:
    found = [jitter("a", tick, 2.0) for tick in range(1000)]
    assert found == [jitter("a", tick, 2.0) for tick in range(1000)]
    assert 0 <= min(found) < 0.1 and 1.9 < max(found) <= 2.0 and jitter("b", 1, 2.0) != jitter("a", 1, 2.0)
