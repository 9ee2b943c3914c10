"""What the pages say of the last hour and day: counted right, drawn so that no failure vanishes, and served without scripts."""

from __future__ import annotations

import re
from typing import Any

from harness.store import connector
from regiment.contracts import OUTCOMES, Past, Tallied
from regiment_dashboard.drawing import bars, lasted, spikes
from regiment_dashboard.trends import Row, Trend, trend

NOW = 1_800_000_030.0
MINUTE = 1_800_000_000


def ended(task: str, ms: int = 0, **counts: int) -> Tallied:
    return Tallied(task, tuple(counts.get(name, 0) for name in OUTCOMES), ms)


def test_each_end_stands_in_its_minute_and_under_its_task() -> None:
    slices = [
        Past("mail", MINUTE - 60 * 60, [ended("old", success=99)]),
        Past("mail", MINUTE - 59 * 60, [ended("send", 400, success=3, failure=1)]),
        Past("mail", MINUTE, [ended("send", 600, success=1), ended("sweep", 9, dead=1, timeout=1, retry=2)]),
        Past("other", MINUTE, [ended("send", success=5)]),
    ]
    found = trend(slices, "hour", NOW)
    assert (found.step, len(found.bars)) == ("minute", 60)
    assert found.bars[0] == (3, 1) and found.bars[-1] == (6, 2)
    assert (found.done, found.failed) == (9, 3)
    assert list(found.rows) == [Row("sweep", 0, 2, 1, 2, 0.00225), Row("send", 9, 1, 0, 0, 0.1)]


def test_a_store_whose_clock_is_ahead_is_shown_up_to_its_own_time() -> None:
    found = trend([Past("mail", MINUTE + 600, [ended("send", success=1)])], "hour", NOW)
    assert found.bars[-1] == (1, 0)


def test_the_picture_of_an_hour_is_drawn_like_this() -> None:
    quiet = [(0, 0)] * 57
    found = Trend("minute", [*quiet, (100, 0), (1, 0), (50, 50)], ())
    assert bars(found, "hour") == (
        '<svg class="bars" viewBox="0 0 600 100" preserveAspectRatio="none" role="img" aria-label="last hour: 151 done, 50 failed">'
        '<g><title>2 minutes ago: 100 done, 0 failed</title><rect class="done" x="570.5" y="0.0" width="9.0" height="100.0"/>'
        '<rect class="failed" x="570.5" y="0.0" width="9.0" height="0.0"/></g>'
        '<g><title>1 minute ago: 1 done, 0 failed</title><rect class="done" x="580.5" y="99.0" width="9.0" height="1.0"/>'
        '<rect class="failed" x="580.5" y="99.0" width="9.0" height="0.0"/></g>'
        '<g><title>this minute: 50 done, 50 failed</title><rect class="done" x="590.5" y="50.0" width="9.0" height="50.0"/>'
        '<rect class="failed" x="590.5" y="0.0" width="9.0" height="50.0"/></g></svg>'
    )
    assert spikes(found, "hour") == (
        '<svg class="spikes" viewBox="0 0 120 28" role="img" aria-label="last hour: 151 done, 50 failed">'
        '<path class="done" d="M115 28V0.0M117 28V27.0M119 28V14.0"/><path class="failed" d="M119 14.0V0.0"/></svg>'
    )


def test_one_failure_among_a_million_can_be_seen() -> None:
    drawn = bars(Trend("hour", [(1_000_000, 1)], ()), "day")
    heights = [float(found) for found in re.findall(r'height="([\d.]+)"', drawn)]
    assert heights == [98.0, 2.0]


def test_nothing_is_drawn_of_an_hour_in_which_nothing_ended() -> None:
    assert "<rect" not in bars(Trend("minute", [(0, 0)] * 60, ()), "hour")


def test_the_length_of_a_run_is_said_in_a_few_digits() -> None:
    said = [lasted(seconds) for seconds in (None, 0.00012, 0.0123, 0.5, 2.345, 1234.5)]
    assert said == ["–", "0.1 ms", "12 ms", "500 ms", "2.3 s", "1,234 s"]


def test_the_pages_show_what_ended_in_the_last_hour_and_day(url: str, serve: Any) -> None:
    store: Any = connector(url, "keep")
    store.record("mail", "a tree", 1, [ended("send", 5000, success=10, failure=2), ended("<b>", success=1)])
    store.close()
    served = serve(url)
    first, queue = served.ask("/").text, served.ask("/queue?name=mail").text
    for page in (first, queue):
        for span in ("hour", "day"):
            assert f'aria-label="last {span}: 11 done, 2 failed"' in page
    assert first.count('class="bars"') == 2 and first.count('class="spikes"') == 1
    assert '<th scope="row">&lt;b&gt;</th>' in queue and "<b>" not in queue
    row = re.search(r'<th scope="row">send</th>((?:<td[^>]*>[^<]*</td>)+)</tr>\n<tr><th scope="row">&lt;b', queue)
    assert row is not None
    assert re.findall(r">([^<]*)</td>", row[1]) == ["10", "2", "0", "0", "417 ms"]


def test_a_queue_in_which_nothing_ended_says_so(file: str, serve: Any) -> None:
    served = serve(file)
    page = served.ask("/queue?name=mail").text
    assert page.count("none failed") == 2 and "What ended in the last day" not in page
