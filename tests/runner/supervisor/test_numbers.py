"""How many workers of which target: how it is written, and what is refused."""

from __future__ import annotations

import pytest

from regiment_runner.supervisor import numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app", ("app", 2, 3)),
        ("app:Crawl", ("app:Crawl", 2, 3)),
        ("app:Crawl=4", ("app:Crawl", 4, 4)),
        ("app=1..8", ("app", 1, 8)),
        ("app=0..8", ("app", 0, 8)),
    ],
)
def test_a_number_of_its_own_goes_before_the_common_one(text, expected):
    assert numbers.parse(text, (2, 3)) == expected


@pytest.mark.parametrize("text", ["", "x", "8..1", "0", "1..", "-1", "1.5", "1..2..3"])
def test_what_is_no_number_of_workers_is_refused_with_the_value_seen(text):
    with pytest.raises(ValueError, match="is no number of workers") as caught:
        numbers.parse_range(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        (["app:Crawl", "app:Crawl"], 'the target "app:Crawl" is named twice'),
        (["app", "app:Crawl"], '"app" means all workers of that module'),
        (["app:Crawl", "app"], '"app" means all workers of that module'),
    ],
)
def test_a_worker_that_is_named_twice_is_refused(texts, what):
    assert what in str(numbers.named_twice([numbers.parse(text) for text in texts]))


def test_different_workers_of_a_module_are_not_the_same():
    assert numbers.named_twice([numbers.parse("app:Crawl"), numbers.parse("app:Parse")]) is None
