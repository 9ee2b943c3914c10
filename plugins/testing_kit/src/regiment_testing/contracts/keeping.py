"""The promises of records: replaced by rank, kept for their time, found, listed, dropped."""

from __future__ import annotations

import os
import time

from regiment.contracts import Drop, Keep
from regiment_testing.contracts.bench import MIB, Bench, Open, durable, extra, push, together, until
from regiment_testing.contracts.leaving import able, apply, keep, record, values

ODD = ["k", "K", " k", "a b", "a:b", "a/b", "{a}", "a*", "ключ", "🔑", "a\nb", "a\\b", "'", '"', "%s", "k" * 400]
"""Keys that a store could mistake for each other, or for something else."""


@extra("effects")
class KeepingContract(Bench):
    """Keep, Drop, records, listed; E11."""

    def test_a_record_is_read_by_every_connection(self, open: Open) -> None:
        """Its value, its rank and a version."""
        assert record(open("look")) is None
        applied = apply(open("push"), "q", keep("k", b"\x00one\xff", rank=3))
        found = record(open("look"))
        assert found is not None and found.version == applied.version > 0
        assert (found.value, found.rank) == (b"\x00one\xff", 3)

    def test_values_may_be_empty_and_of_a_megabyte(self, open: Open) -> None:
        """An empty value is not the same as no record."""
        large = os.urandom(MIB)
        apply(open("push"), "q", keep("empty", b""), keep("large", large))
        assert values(open("look"), "q", "empty", "large", "none") == [b"", large, None]

    def test_keys_are_any_text(self, open: Open) -> None:
        """None is mistaken for another one."""
        apply(open("push"), "q", *[keep(key, key.encode()) for key in ODD])
        assert values(open("look"), "q", *ODD) == [key.encode() for key in ODD]

    def test_records_are_found_in_the_order_of_the_keys(self, open: Open) -> None:
        """A thousand of them, with those that are absent."""
        apply(open("push"), "q", *[keep(f"key {n}", b"%d" % n) for n in range(0, 1000, 2)])
        keys = [f"key {n}" for n in reversed(range(1000))]
        assert values(open("look"), "q", *keys) == [None if n % 2 else b"%d" % n for n in reversed(range(1000))]
        assert list(able(open("look")).records("q", [])) == []

    def test_a_record_belongs_to_its_queue(self, open: Open) -> None:
        """The same key beside another queue is another record; neither is a value of `set`."""
        connector = able(open("push"))
        connector.set("k", b"set")
        apply(connector, "q", keep("k", b"here"), keep("k", b"there", queue="r"))
        assert values(connector, "q", "k") == [b"here"]
        assert values(connector, "r", "k") == [b"there"]
        assert connector.get("k") == b"set"
        apply(connector, "q", Drop(["k"], "r"))
        assert values(connector, "q", "k") == [b"here"]
        assert values(connector, "r", "k") == [None]
        assert list(connector.records("nowhere", ["k"])) == [None]

    def test_a_record_makes_no_queue_and_outlives_a_purge(self, open: Open) -> None:
        """What is kept beside a queue is no task."""
        connector = open("push")
        apply(connector, "q", keep())
        assert "q" not in connector.queues()
        push(connector, "q", b"a")
        assert connector.purge("q") == 1
        assert values(connector, "q", "k") == [b"v"]

    # ranks and versions

    def test_a_lower_rank_changes_nothing(self, open: Open) -> None:
        """E11: so what is sent on late undoes nothing; an equal or higher rank replaces."""
        connector = open("push")
        for value, rank in ((b"a", 1), (b"b", 0), (b"c", 1), (b"d", 2**53 - 1), (b"e", 2**53 - 2)):
            applied = apply(connector, "q", keep("k", value, rank=rank))
            assert bool(applied.version) is (value in b"acd"), "version of what was kept"
        found = record(connector)
        assert found is not None and (found.value, found.rank) == (b"d", 2**53 - 1)

    def test_a_record_that_is_gone_has_no_rank(self, open: Open) -> None:
        """After it was dropped or has expired, any rank is kept."""
        connector = open("push")
        apply(connector, "q", keep("dropped", b"old", rank=5), keep("over", b"old", 0.3, rank=5))
        apply(connector, "q", Drop(["dropped", "absent"]))
        until(lambda: record(connector, "over") is None)
        apply(connector, "q", keep("dropped", b"new"), keep("over", b"new"))
        assert values(connector, "q", "dropped", "over") == [b"new", b"new"]

    def test_a_version_grows_and_never_comes_back(self, open: Open) -> None:
        """Also after the record was dropped or has expired, and whoever keeps it."""
        versions: list[int] = []
        for n, connector in enumerate((open("push"), open("lease"), open("push"), open("keep"), open("push"))):
            applied = apply(connector, "q", keep("k", b"%d" % n, 0.3 if n == 2 else None))
            versions.append(applied.version)
            found = record(connector)
            assert found is None or found.version == applied.version
            if n == 0:
                apply(connector, "q", Drop(["k"]))
            if n == 2:
                until(lambda connector=connector: record(connector) is None)  # type: ignore[misc]
        assert versions == sorted(set(versions)) and versions[0] > 0

    # times

    def test_a_record_ends_with_its_time(self, open: Open) -> None:
        """Without a time it stays until it is dropped."""
        connector = open("push")
        apply(connector, "q", keep("short", b"x", 0.3, listed=True), keep("long"), Keep("for ever", b"y", None))
        time.sleep(0.6)
        assert values(connector, "q", "short", "long", "for ever") == [None, b"v", b"y"]
        apply(connector, "q", Drop(["long", "for ever", "short"]))
        assert values(connector, "q", "short", "long", "for ever") == [None, None, None]

    def test_a_record_that_is_kept_again_has_the_time_of_the_last(self, open: Open) -> None:
        """Longer, shorter or without end; a lower rank prolongs nothing."""
        connector = open("push")
        names = ("longer", "endless", "shorter", "lower")
        apply(connector, "q", *[keep(key, b"1", 60.0 if key == "shorter" else 0.5, rank=1) for key in names])
        apply(connector, "q", keep("longer", b"2", rank=1), keep("endless", b"2", None, rank=1))
        apply(connector, "q", keep("shorter", b"2", 0.5, rank=1), keep("lower", b"2", rank=0))
        time.sleep(1.0)
        assert values(connector, "q", *names) == [b"2", b"2", None, None]

    @durable
    def test_a_record_outlives_the_process_that_kept_it(self, open: Open) -> None:
        """As a pushed task does."""

        def work() -> None:
            connector = open("push")
            apply(connector, "q", keep())
            connector.close()

        together([work])
        assert values(open("look"), "q", "k") == [b"v"]

    # listed

    def test_what_is_listed_comes_newest_first_in_pages(self, open: Open) -> None:
        """`after` continues behind a key; what was kept again is new."""
        connector = able(open("push"))
        for n in [*range(8), 3]:
            apply(
                connector, "q", keep(f"k{n}", listed=True), keep(f"unlisted {n}"), keep(f"x{n}", queue="r", listed=True)
            )
        assert list(connector.listed("q", 3)) == ["k3", "k7", "k6"]
        assert list(connector.listed("q", 3, after="k6")) == ["k5", "k4", "k2"]
        assert list(connector.listed("q", 3, after="k2")) == ["k1", "k0"]
        assert list(connector.listed("q", after="k0")) == []
        assert list(connector.listed("nowhere")) == []
        assert list(connector.listed("r"))[:2] == ["x3", "x7"]

    def test_what_is_gone_is_not_listed(self, open: Open) -> None:
        """Dropped, expired, or kept again without `listed`; what a lower rank did not replace stays."""
        connector = able(open("push"))
        for key, ttl in (("stays", 60), ("dropped", 60), ("over", 0.3), ("not any more", 60), ("high", None)):
            apply(connector, "q", keep(key, ttl=ttl, rank=1, listed=True))
        apply(connector, "q", Drop(["dropped"]), keep("not any more", rank=1), keep("high", rank=0))
        until(lambda: record(connector, "over") is None)
        assert list(connector.listed("q")) == ["high", "stays"]
        assert list(connector.listed("q", 1)) == ["high"]

    def test_behind_a_key_that_is_listed_no_longer_is_nothing(self, open: Open) -> None:
        """Dropped, over, or kept again without `listed`."""
        connector = able(open("push"))
        for key, ttl in (("first", 60.0), ("dropped", 60.0), ("over", 0.3), ("unlisted", 60.0), ("last", 60.0)):
            apply(connector, "q", keep(key, ttl=ttl, listed=True))
        assert list(connector.listed("q", after="unlisted"))[-2:] == ["dropped", "first"]
        apply(connector, "q", Drop(["dropped"]), keep("unlisted"))
        until(lambda: record(connector, "over") is None)
        for gone in ("dropped", "over", "unlisted", "never"):
            assert list(connector.listed("q", after=gone)) == [], gone
        assert list(connector.listed("q", after="last")) == ["first"]
